"""Limits, decisions, trading states and the ledger that serialises aggregates. Higher rows are named by a scope key, never by a key upwards."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from simple_history.models import HistoricalRecords

from brokers.models import BrokerAccount, Price
from tvapp.lib import clock
from tvapp.owned import OwnedModel, OwnedQuerySet, enum_check, may_see_all

LIMIT_MAX = Decimal(10) ** 12


class Scope(models.TextChoices):
    GLOBAL = "GLOBAL", "Everything on this desk"
    ACCOUNT = "ACCOUNT", "One account"
    STRATEGY = "STRATEGY", "One strategy"


class ClampMode(models.TextChoices):
    REJECT = "REJECT", "Refuse the order"
    CLAMP = "CLAMP", "Cut the quantity down to the limit"


class TradingMode(models.TextChoices):
    ACTIVE = "ACTIVE", "Active"
    REDUCING = "REDUCING", "Exits only"
    HALTED = "HALTED", "Stopped"


class Verdict(models.TextChoices):
    ALLOW = "ALLOW", "Pass"
    CLAMP = "CLAMP", "Clamped"
    REJECT = "REJECT", "Rejected"
    DEFER = "DEFER", "Held"


class RiskSettingsQuerySet(OwnedQuerySet):
    def for_user(self, user):
        """Own rows, and the GLOBAL one to read: its limits apply to everybody."""
        if not user.is_authenticated:
            return self.none()
        return self if may_see_all(user) else self.filter(models.Q(owner=user) | models.Q(scope=Scope.GLOBAL))


def _limit(text: str) -> Price:
    return Price(null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(LIMIT_MAX)], help_text=text)


class RiskSettings(OwnedModel):
    """The limits of one scope. All rows that match an order apply; the stricter wins. A STRATEGY row is pointed at by its strategy."""

    owner = models.ForeignKey("auth.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty for GLOBAL.")
    scope = models.CharField(max_length=8, choices=Scope, default=Scope.STRATEGY)
    account = models.OneToOneField(BrokerAccount, null=True, blank=True, on_delete=models.CASCADE, related_name="limits", help_text="Only for the ACCOUNT scope.")
    clamp_mode = models.CharField(max_length=6, choices=ClampMode, default=ClampMode.REJECT, help_text="What happens to an order that is too large: refused, or cut to what the limit allows. Example: 120 asked, limit 50, CLAMP sends 50.")
    max_quantity_per_order = _limit("Largest quantity of one order, in units. Example: 500. Empty: this row adds no such limit.")
    max_order_value = _limit("Largest value of one order in rupees: quantity times price. Example: 100000 lets 66 shares at 1500 pass. Empty: no such limit from this row.")
    allow_short_selling = models.BooleanField(null=True, blank=True, help_text="Whether a sale may open a short position. Every row that says something must say yes. Closing a long position is never a short.")
    symbol_allow_list = models.JSONField(default=list, blank=True, help_text='Only these may be traded, for example ["NSE:INFY", "NSE:SBIN"]. Empty: every instrument.')
    symbol_deny_list = models.JSONField(default=list, blank=True, help_text='These are never traded, for example ["NSE:XYZ"]. It beats the allow list.')
    unlimited = models.JSONField(default=list, blank=True, help_text='GLOBAL only: names of limits that are meant to be empty, for example ["max_order_value"].')
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)
    history = HistoricalRecords()
    objects = RiskSettingsQuerySet.as_manager()

    RAILS = ("max_quantity_per_order", "max_order_value")
    PARAMETERS = ("max_quantity_per_order", "max_order_value", "allow_short_selling", "symbol_allow_list", "symbol_deny_list")

    class Meta:
        verbose_name = verbose_name_plural = "risk settings"
        constraints = [
            enum_check("scope", Scope, "risk_scope_known"),
            enum_check("clamp_mode", ClampMode, "risk_clamp_mode_known"),
            models.UniqueConstraint(fields=["scope"], condition=models.Q(scope="GLOBAL"), name="risk_one_global"),
            models.CheckConstraint(
                condition=models.Q(scope="ACCOUNT", account__isnull=False) | (~models.Q(scope="ACCOUNT") & models.Q(account__isnull=True)),
                name="risk_account_only_there",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} limits" + (f" of {self.account}" if self.account_id else "")

    def clean(self) -> None:
        for name in ("symbol_allow_list", "symbol_deny_list"):
            setattr(self, name, clean_symbols(name, getattr(self, name)))
        if self.scope != Scope.GLOBAL:
            return
        missing = [n for n in self.RAILS if getattr(self, n) is None and n not in self.unlimited]
        if missing:
            raise ValidationError({missing[0]: f"The GLOBAL row needs {missing[0]}, or its name in 'unlimited'."})

    def save(self, *args, **kwargs):
        self.version += 1
        self.updated_at = clock.now()
        super().save(*args, **kwargs)


def clean_symbols(name: str, value: object) -> list[str]:
    """A list of `EXCHANGE:SYMBOL` (or bare symbols), upper-case and each once. Raises ValidationError."""
    if not isinstance(value, list) or not all(isinstance(v, str) and 0 < len(v.strip()) <= 64 for v in value):
        raise ValidationError({name: 'This must be a list of symbols like ["NSE:INFY"].'})
    return list(dict.fromkeys(v.strip().upper() for v in value))


class Decision(OwnedModel):
    """What the gate said, once, with everything it looked at. Never changed."""

    order_key = models.BigIntegerField(db_index=True, help_text="Id of the order it was asked about.")
    attempt = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(default=clock.now)
    engine = models.CharField(max_length=16)
    limits = models.CharField(max_length=120, help_text="Versions of the limit rows that applied, for example G12/S40.")
    requested = Price()
    final = Price()
    verdict = models.CharField(max_length=8, choices=Verdict)
    code = models.CharField(max_length=40, blank=True)
    order_class = models.CharField(max_length=8)
    sentence = models.TextField()
    findings = models.JSONField(default=list)
    data = models.JSONField(default=list, help_text="Source and age of each input.")
    snapshot = models.JSONField(default=dict, help_text="The inputs themselves, so that the decision can be computed again.")

    class Meta:
        constraints = [enum_check("verdict", Verdict, "decision_verdict_known")]

    def __str__(self) -> str:
        return f"D-{self.pk} {self.verdict}"


class RiskLedger(models.Model):
    """A counter per scope. Bumping it first makes parallel claims of one scope see each other."""

    scope = models.CharField(max_length=40, unique=True, help_text="GLOBAL, ACCOUNT:3, STRATEGY:7.")
    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.scope


class TradingState(models.Model):
    """ACTIVE, REDUCING or HALTED of one scope, with who said so and why. No row means ACTIVE."""

    scope = models.CharField(max_length=40, unique=True)
    state = models.CharField(max_length=8, choices=TradingMode, default=TradingMode.ACTIVE)
    reason = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=80)
    at = models.DateTimeField(default=clock.now)
    history = HistoricalRecords()

    class Meta:
        constraints = [enum_check("state", TradingMode, "trading_state_known")]

    def __str__(self) -> str:
        return f"{self.scope} {self.state}"
