"""Where the broker's position is not what the desk booked, and what a person had put right about it."""

from decimal import Decimal

from django.db import models

from brokers.models import BrokerAccount, Instrument, Price
from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check

from .order import Side
from .strategy import Product, Strategy


class Drift(OwnedModel):
    """One difference, from the read that showed it first. It counts once it was confirmed by a later read, and until it is settled."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="drifts")
    exchange = models.CharField(max_length=12)
    tradingsymbol = models.CharField(max_length=64)
    product = models.CharField(max_length=4)
    ours = Price(default=Decimal(0), help_text="What the desk counts on: its books, or the strategies' alone when trades outside went against them.")
    theirs = Price(default=Decimal(0), help_text="What the broker holds; for CNC with the shares in the depository.")
    booked = Price(default=Decimal(0), help_text="The books that move with each fill, at the same read.")
    since = models.DateTimeField(default=clock.now)
    read_at = models.DateTimeField(default=clock.now, help_text="When the last read showed it.")
    reads = models.PositiveIntegerField(default=1)
    confirmed_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=80, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "exchange", "tradingsymbol", "product"], name="drift_confirmed_once",
                condition=models.Q(settled_at=None, confirmed_at__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["account", "exchange", "tradingsymbol", "product"], name="drift_suspected_once",
                condition=models.Q(settled_at=None, confirmed_at=None),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.tradingsymbol} {self.ours} here, {self.theirs} there"

    @property
    def delivery(self) -> bool:
        return self.product == Product.CNC

    @property
    def difference(self) -> Decimal:
        return self.theirs - self.ours


class Correction(OwnedModel):
    """What was added to a position without a fill, because a person took over the broker's figure. Kept for ever, as fills are."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="+")
    strategy = models.ForeignKey(Strategy, null=True, on_delete=models.PROTECT, related_name="+")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    product = models.CharField(max_length=4)
    side = models.CharField(max_length=4, choices=Side)
    quantity = Price()
    price = Price()
    priced_by = models.CharField(max_length=60, help_text="In words, where the price is from.")
    drift = models.ForeignKey(Drift, on_delete=models.PROTECT, related_name="corrections")
    at = models.DateTimeField(default=clock.now)
    actor = models.CharField(max_length=80)

    class Meta:
        constraints = [
            enum_check("side", Side, "correction_side_known"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="correction_quantity_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} {self.instrument}"
