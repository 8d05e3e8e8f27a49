"""A square-off: everything of an account (or a strategy) is closed, in rounds, each written down before it is done."""

from decimal import Decimal

from django.db import models

from brokers.models import BrokerAccount, Price
from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check

from .strategy import Strategy


class SquareOffState(models.TextChoices):
    """CANCELLING, READING, CLOSING are one round; then the next one begins, or it ends."""

    CANCELLING = "CANCELLING", "Cancelling what rests"
    READING = "READING", "Reading the positions"
    CLOSING = "CLOSING", "Closing"
    DONE = "DONE", "Everything is closed"
    NEEDS_REVIEW = "NEEDS_REVIEW", "Needs you"


class SquareOff(OwnedModel):
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="square_offs")
    strategy = models.ForeignKey(Strategy, null=True, on_delete=models.PROTECT, related_name="+", help_text="Only what this one holds; empty: everything.")
    products = models.JSONField(default=list, help_text='Only these, for example ["MIS"]; empty: all.')
    exchanges = models.JSONField(default=list, help_text='Only these, for example ["NSE", "NFO"]; empty: all.')
    schedule = models.CharField(max_length=120, null=True, unique=True, help_text="Which time of which day started it; empty: a person or a loss did.")
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=80)
    state = models.CharField(max_length=12, choices=SquareOffState, default=SquareOffState.CANCELLING)
    round = models.PositiveSmallIntegerField(default=1)
    note = models.CharField(max_length=300, blank=True, help_text="What it waits for, or how it ended.")
    correlation_id = models.CharField(max_length=32, db_index=True, help_text="Its orders carry the same one.")
    version = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField(default=clock.now)
    step_at = models.DateTimeField(default=clock.now, help_text="When the present step began.")
    due_at = models.DateTimeField(null=True, help_text="Not worked on before this moment.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [enum_check("state", SquareOffState, "square_off_state_known")]
        indexes = [models.Index(fields=["account", "ended_at"], name="square_off_active")]

    def __str__(self) -> str:
        return f"Square-off {self.pk} of {self.account}"


class SquareOffLeg(models.Model):
    """One symbol and product, closed once: `no` counts up for ever, so that two runs that saw the same position cannot both close it."""

    square_off = models.ForeignKey(SquareOff, on_delete=models.CASCADE, related_name="legs")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="+")
    exchange = models.CharField(max_length=12)
    tradingsymbol = models.CharField(max_length=64)
    product = models.CharField(max_length=4)
    no = models.PositiveIntegerField()
    round = models.PositiveSmallIntegerField()
    net = Price(help_text="Position as it was read. Signed.")
    closing = Price(default=Decimal(0), help_text="What its orders close of it; less than all while other orders may still do so.")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "exchange", "tradingsymbol", "product", "no"], name="square_off_leg_once")]
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.exchange}:{self.tradingsymbol} {self.product} {self.no}"
