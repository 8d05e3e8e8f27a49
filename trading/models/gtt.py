"""Triggers kept by a broker (GTT). They carry no tag: a row here is matched by id, symbol, triggers and legs."""

from django.db import models

from brokers.models import BrokerAccount, Instrument
from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check

from .order import Order


class GttState(models.TextChoices):
    PLACING = "PLACING", "Being placed"
    UNKNOWN = "UNKNOWN", "Outcome unknown"
    ACTIVE = "ACTIVE", "Active"
    TRIGGERED = "TRIGGERED", "Triggered"
    DISABLED = "DISABLED", "Switched off by the broker"
    EXPIRED = "EXPIRED", "Expired"
    CANCELLED = "CANCELLED", "Cancelled by the broker"
    REJECTED = "REJECTED", "Rejected"
    DELETED = "DELETED", "Deleted"
    FAILED = "FAILED", "Not accepted"
    GONE = "GONE", "No longer shown by the broker"


class Gtt(OwnedModel):
    """One trigger. `order` is the order of ours that asked for it; empty when it was placed outside the desk."""

    State = GttState

    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="gtts")
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="gtts")
    broker_gtt_id = models.CharField(max_length=40, blank=True)
    kind = models.CharField(max_length=6, help_text="SINGLE or OCO.")
    state = models.CharField(max_length=9, choices=State, default=State.PLACING)
    exchange = models.CharField(max_length=12)
    tradingsymbol = models.CharField(max_length=64)
    instrument = models.ForeignKey(Instrument, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    triggers = models.JSONField(default=list, help_text="Trigger prices as text, the lower first.")
    legs = models.JSONField(default=list, help_text="side, quantity, product, price of each leg, as text.")
    results = models.JSONField(default=list, help_text="What became of each triggered leg.")
    known_before = models.JSONField(default=list, help_text="Ids the broker showed before ours was sent: ours is a new one.")
    delete_asked = models.BooleanField(default=False)
    message = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            enum_check("state", GttState, "gtt_state_known"),
            models.UniqueConstraint(fields=["account", "broker_gtt_id"], condition=~models.Q(broker_gtt_id=""), name="gtt_id_once"),
        ]
        indexes = [models.Index(fields=["account", "state"], name="gtt_account_state")]

    def __str__(self) -> str:
        return f"GTT {self.broker_gtt_id or self.pk} {self.tradingsymbol}"
