"""What is held, per strategy, and each day's part of its result: projections of fills, changed in the fill's own transaction."""

from decimal import Decimal

from django.db import models

from brokers.models import BrokerAccount, Instrument, Price
from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check

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
    charges = Price(default=Decimal(0), max_digits=30, help_text="Of all its fills, estimated.")
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "book", "instrument", "product"], name="position_once")]
        indexes = [models.Index(fields=["account", "instrument"], condition=~models.Q(quantity=0), name="position_not_flat")]

    def __str__(self) -> str:
        return f"{self.quantity} {self.instrument}"


class Basis(models.TextChoices):
    """Where the price comes from that the day's result of a carried quantity counts from."""

    NONE = "", "Nothing was carried"
    CLOSE = "CLOSE", "Close of the day before"
    LAST = "LAST", "Last price before the day"
    AVERAGE = "AVERAGE", "Average cost: no close is known"


class PositionDay(models.Model):
    """One position on a day on which it was filled: the same arithmetic, begun at what was carried into the day and its basis."""

    position = models.ForeignKey(Position, on_delete=models.CASCADE, related_name="days")
    day = models.DateField(help_text="IST date.")
    start_quantity = Price(default=Decimal(0), help_text="Carried into the day, signed.")
    start_basis = Price(default=Decimal(0))
    basis_from = models.CharField(max_length=7, choices=Basis, blank=True)
    quantity = Price(default=Decimal(0))
    average = Price(default=Decimal(0))
    realised = Price(default=Decimal(0), max_digits=30, help_text="Of the day, before charges.")
    charges = Price(default=Decimal(0), max_digits=30)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["position", "day"], name="position_day_once"),
            enum_check("basis_from", Basis, "position_day_basis_known"),
        ]
        indexes = [models.Index(fields=["day"], name="position_day_day")]

    def __str__(self) -> str:
        return f"{self.position_id} on {self.day}"


class EquityPeak(models.Model):
    """The best result so far of a scope in one book (paper or live), after charges and with what is open. The fall counts from it."""

    scope = models.CharField(max_length=40, help_text="GLOBAL, ACCOUNT:3, STRATEGY:7.")
    simulated = models.BooleanField()
    peak = Price(max_digits=30, help_text="Rupees won since the beginning.")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "simulated"], name="equity_peak_once")]

    def __str__(self) -> str:
        return f"{self.scope} {self.peak}"
