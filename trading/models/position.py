"""What is held, per strategy: a projection of fills, changed in the fill's own transaction."""

from decimal import Decimal

from django.db import models

from brokers.models import BrokerAccount, Instrument, Price
from tvapp.lib import clock
from tvapp.owned import OwnedModel

from .strategy import Strategy


class Position(OwnedModel):
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="positions")
    strategy = models.ForeignKey(Strategy, null=True, on_delete=models.PROTECT, related_name="positions")
    book = models.CharField(max_length=24, help_text="STRATEGY:7, or UNASSIGNED.")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    product = models.CharField(max_length=4)
    quantity = Price(default=Decimal(0), help_text="Signed; below zero is short.")
    average = Price(default=Decimal(0))
    realised = Price(default=Decimal(0), max_digits=30)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "book", "instrument", "product"], name="position_once")]
        indexes = [models.Index(fields=["account", "instrument"], condition=~models.Q(quantity=0), name="position_not_flat")]

    def __str__(self) -> str:
        return f"{self.quantity} {self.instrument}"
