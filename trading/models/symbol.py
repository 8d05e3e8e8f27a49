"""What a TradingView symbol means where the instrument list alone does not say: chosen by a person, for a time."""

from django.db import models
from simple_history.models import HistoricalRecords

from brokers.models import BrokerAccount, Instrument
from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check

from .strategy import Strategy


class OverrideScope(models.TextChoices):
    STRATEGY = "STRATEGY", "This strategy"
    ACCOUNT = "ACCOUNT", "This account"
    GLOBAL = "GLOBAL", "Everywhere"


class TvSymbolOverride(OwnedModel):
    """The narrower scope wins: strategy, then account, then everywhere (of the same owner)."""

    Scope = OverrideScope

    scope = models.CharField(max_length=8, choices=Scope)
    strategy = models.ForeignKey(Strategy, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    account = models.ForeignKey(BrokerAccount, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    tv_symbol = models.CharField(max_length=80, help_text="As the alert names it, upper case: NSE:NIFTY.")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True, help_text="Last day. Example: the contract's expiry.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = models.CharField(max_length=80, blank=True, editable=False)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            enum_check("scope", OverrideScope, "override_scope_known"),
            models.UniqueConstraint(fields=["owner", "tv_symbol"], condition=models.Q(scope="GLOBAL"), name="override_once_everywhere"),
            models.UniqueConstraint(fields=["account", "tv_symbol"], condition=models.Q(scope="ACCOUNT"), name="override_once_per_account"),
            models.UniqueConstraint(fields=["strategy", "tv_symbol"], condition=models.Q(scope="STRATEGY"), name="override_once_per_strategy"),
        ]

    def __str__(self) -> str:
        return f"{self.tv_symbol} = {self.instrument}"
