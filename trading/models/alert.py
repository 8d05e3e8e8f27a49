"""What came in: every body we understood well enough to keep, and the signals inside it."""

from django.db import models

from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check

from .strategy import Strategy


class Outcome(models.TextChoices):
    ACCEPTED = "ACCEPTED", "Accepted"
    IGNORED = "IGNORED", "Stored, nothing to do"
    REJECTED = "REJECTED", "Refused"


class Alert(OwnedModel):
    """One received body, its secret removed before it was written."""

    strategy = models.ForeignKey(Strategy, null=True, blank=True, on_delete=models.PROTECT, related_name="alerts")
    strategy_ref = models.CharField(max_length=128, blank=True, help_text="The name the body gave.")
    received_at = models.DateTimeField(default=clock.now, db_index=True)
    correlation_id = models.CharField(max_length=32, db_index=True)
    source = models.GenericIPAddressField(null=True, blank=True, help_text="Address of the sender.")
    endpoint = models.CharField(max_length=8, default="body", help_text="Where the secret was: body or path.")
    dialect = models.CharField(max_length=20, blank=True)
    symbol = models.CharField(max_length=80, blank=True)
    body = models.TextField(help_text="As received, secrets hidden.")
    body_hash = models.CharField(max_length=64, db_index=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    code = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    evaluation = models.JSONField(default=list, blank=True, help_text="Of a dry run: the orders it would have made, with everything the risk check said.")
    duplicate_count = models.PositiveIntegerField(default=0)
    last_duplicate_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [enum_check("outcome", Outcome, "alert_outcome_known")]
        indexes = [models.Index(fields=["owner", "-id"], name="alert_owner_newest"), models.Index(fields=["strategy", "-id"], name="alert_strategy_newest")]

    def __str__(self) -> str:
        return f"A-{self.pk}"


class Signal(OwnedModel):
    """One intention inside an alert. Its key is unique in its scope: that is what makes a repeat harmless."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="signals")
    leg_no = models.PositiveIntegerField(default=1)
    scope = models.CharField(max_length=160, help_text="Strategy id, or ref: and the name the body gave.")
    dedupe_key = models.CharField(max_length=128)
    explicit_key = models.BooleanField(default=False, help_text="The sender gave the key itself.")
    symbol = models.CharField(max_length=80)
    action = models.CharField(max_length=8)
    data = models.JSONField(help_text="Every field of the signal, numbers as text.")
    fired_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "dedupe_key"], name="signal_once"),
            models.CheckConstraint(condition=models.Q(action__in=["BUY", "SELL", "EXIT", "CANCEL"]), name="signal_action_known"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.symbol}"
