"""A strategy: whose alerts it takes, on which account they trade, and what fills the gaps an alert leaves."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from simple_history.models import HistoricalRecords

from brokers.models import BrokerAccount, Price
from risk.models import RiskSettings
from tvapp.lib import clock
from tvapp.owned import OwnedModel, OwnedQuerySet, enum_check


class Mode(models.TextChoices):
    MANUAL = "MANUAL", "Manual: every alert waits for you"
    AUTO = "AUTO", "Automatic: sent by itself after the risk check"


class Product(models.TextChoices):
    MIS = "MIS", "MIS: intraday"
    CNC = "CNC", "CNC: delivery"
    NRML = "NRML", "NRML: carry forward"
    MTF = "MTF", "MTF: margin funding"


class OrderType(models.TextChoices):
    MARKET = "MARKET", "Market"
    LIMIT = "LIMIT", "Limit"
    SL = "SL", "Stop-limit"
    SL_M = "SL_M", "Stop-market"


class Sizing(models.TextChoices):
    FROM_SIGNAL = "FROM_SIGNAL", "As the alert says"
    FIXED_QTY = "FIXED_QTY", "Always this quantity"
    LOTS = "LOTS", "Always this many lots"
    CAPITAL = "CAPITAL", "For this many rupees"
    PCT_CAPITAL = "PCT_CAPITAL", "For this share of the capital, in percent"
    RISK = "RISK", "So that the stop costs this share of the capital, in percent"


class DedupeScope(models.TextChoices):
    BAR = "BAR", "Two firings in one bar are one"
    FIRE = "FIRE", "Every firing counts"


class OnDrift(models.TextChoices):
    WARN = "WARN", "Warn"
    HOLD = "HOLD", "Let the order wait"


class AfterHours(models.TextChoices):
    OFF = "OFF", "Do not send it"
    AMO = "AMO", "Send it as an after-market order (AMO)"
    GTT = "GTT", "Place a trigger (GTT) at its price"


class StrategyQuerySet(OwnedQuerySet):
    def standing(self):
        """Strategies that were not deleted."""
        return self.filter(archived_at=None)


class Strategy(OwnedModel):
    name = models.CharField(max_length=80, help_text="As the alert names it. Example: ORB-15.")
    description = models.TextField(blank=True)
    enabled = models.BooleanField(default=True, help_text="Off: alerts are kept, nothing is sent.")
    mode = models.CharField(max_length=6, choices=Mode, default=Mode.MANUAL, help_text="Manual: an alert waits in the queue until you execute it. Automatic: it is sent by itself.")
    dry_run = models.BooleanField(default=False, help_text="On: every alert is kept with what it would have done, rule by rule, and no order is made.")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="strategies", help_text="Where its orders go.")
    symbol = models.CharField(max_length=64, blank=True, help_text="The only symbol it trades, for example NSE:INFY. Empty: any. Another symbol waits in the queue.")
    timeframe = models.CharField(max_length=12, blank=True, help_text="Chart interval, for your own reference. Example: 15.")
    default_exchange = models.CharField(max_length=12, default="NSE", help_text="Used when the alert names no exchange.")
    default_product = models.CharField(max_length=4, choices=Product, default=Product.MIS, help_text="Used when the alert names no product.")
    product_from_signal = models.BooleanField(default=True, help_text="On: the alert's product counts. Off: always the default product.")
    default_order_type = models.CharField(max_length=6, choices=OrderType, default=OrderType.MARKET, help_text="Used when the alert names neither a type nor a price.")
    sizing = models.CharField(max_length=12, choices=Sizing, default=Sizing.FROM_SIGNAL, help_text="Where the quantity comes from. Example: always this quantity, 25.")
    sizing_value = Price(null=True, blank=True, validators=[MinValueValidator(Decimal("0.00000001"))],
                         help_text="The number of the sizing: units, lots, rupees or percent. With 'As the alert says' it is the quantity of an alert that names none. Examples, at a price of 500 and a capital of 100000: 25 units buy 25; 2 lots of 75 buy 150; 20000 rupees buy 40; 10 percent of the capital buy 20; 1 percent at risk with a stop at 490 buys 100. Always rounded down to whole lots.")  # fmt: skip
    capital = Price(null=True, blank=True, validators=[MinValueValidator(1)],
                    help_text="Rupees this strategy works with: sizing in percent and its drawdown count from it. Example: 100000. Empty: the account's capital.")  # fmt: skip
    hours_from = models.TimeField(null=True, blank=True, help_text="IST. Before this an automatic alert waits in the queue. Example: 09:20.")
    hours_to = models.TimeField(null=True, blank=True, help_text="IST. After this an automatic alert waits in the queue. Example: 15:00.")
    max_age_s = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds after which an automatic alert is too old. Empty: the desk's setting.")
    dedupe_scope = models.CharField(max_length=4, choices=DedupeScope, default=DedupeScope.BAR)
    on_drift = models.CharField(max_length=4, choices=OnDrift, default=OnDrift.WARN, help_text="When the alert's own position differs from ours.")
    use_target = models.BooleanField(default=False, help_text="Take position_size of the alert as the position to reach, instead of a quantity to trade.")
    after_hours = models.CharField(max_length=3, choices=AfterHours, default=AfterHours.OFF,
                                   help_text="What happens to an order that the broker refuses because the market is closed.")  # fmt: skip
    max_slippage_pct = models.DecimalField(max_digits=6, decimal_places=3, null=True, blank=True, validators=[MinValueValidator(Decimal("0.001")), MaxValueValidator(20)],
                                           help_text="A MARKET order is sent as LIMIT this far from the alert's price. Example: 0.3 makes BUY at 812.35 a LIMIT 814.75. Empty: off.")  # fmt: skip
    refusal = models.JSONField(default=dict, blank=True, editable=False,
                               help_text="What the broker refused last for a reason that stays: code, text, order, at. Entries wait until a person acknowledges it.")  # fmt: skip
    limits = models.OneToOneField(RiskSettings, null=True, blank=True, on_delete=models.SET_NULL, related_name="strategy", editable=False)
    secret_digest = models.CharField(max_length=64, null=True, blank=True, unique=True, editable=False)
    old_secret_digest = models.CharField(max_length=64, null=True, blank=True, unique=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    secret_made_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)
    history = HistoricalRecords(excluded_fields=["secret_digest", "old_secret_digest"])
    objects = StrategyQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "strategies"
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], condition=models.Q(archived_at=None), name="strategy_name_once_per_owner"),
            enum_check("mode", Mode, "strategy_mode_known"),
            enum_check("default_product", Product, "strategy_product_known"),
            enum_check("default_order_type", OrderType, "strategy_order_type_known"),
            enum_check("sizing", Sizing, "strategy_sizing_known"),
            enum_check("dedupe_scope", DedupeScope, "strategy_dedupe_known"),
            enum_check("on_drift", OnDrift, "strategy_on_drift_known"),
            enum_check("after_hours", AfterHours, "strategy_after_hours_known"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args, **kwargs):
        """All of the row but `refusal`, which the workers write: a form opened before it came must not wipe it out."""
        self.updated_at = clock.now()
        if not self._state.adding and kwargs.get("update_fields") is None:
            kwargs["update_fields"] = [f.name for f in self._meta.concrete_fields if f.name not in ("id", "refusal")]
        super().save(*args, **kwargs)
