"""Limits, decisions, trading states and the ledger that serialises aggregates. Higher rows are named by a scope key, never by a key upwards."""

import re
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from simple_history.models import HistoricalRecords

from brokers.models import BrokerAccount, Price
from risk.calendar import Week
from tvapp.lib import clock
from tvapp.owned import OwnedModel, OwnedQuerySet, enum_check, may_see_all

LIMIT_MAX = Decimal(10) ** 12
TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
TIME_KEY = re.compile(r"(?:[A-Z]{2,10}:)?(?:CNC|MIS|NRML|MTF)")
WINDOW = re.compile(rf"{TIME.pattern}-{TIME.pattern}(?:\s+DEFER)?", re.IGNORECASE)


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


class ClosedMarket(models.TextChoices):
    """What becomes of an order while its market is closed. From the strictest to the mildest."""

    REJECT = "REJECT", "Refuse it"
    DEFER = "DEFER", "Hold it for the next open"
    WARN = "WARN", "Let it pass with a warning"


class NoQuote(models.TextChoices):
    REJECT = "REJECT", "Refuse it"
    WARN = "WARN", "Let it pass with a warning"


class OnLoss(models.TextChoices):
    """From the mildest to the strictest."""

    BLOCK = "BLOCK", "Block new entries"
    BLOCK_AND_CANCEL = "BLOCK_AND_CANCEL", "Block new entries and cancel those that rest"
    SQUARE_OFF = "SQUARE_OFF", "Block, cancel and close everything"


def _limit(text: str) -> Price:
    return Price(null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(LIMIT_MAX)], help_text=text)


def _percent(text: str, most: int = 100) -> Price:
    return Price(null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(most)], help_text=text)


def _choice(choices, length: int, text: str) -> models.CharField:
    return models.CharField(max_length=length, choices=choices, blank=True, default="", help_text=text)


class RiskSettings(OwnedModel):
    """The limits of one scope. All rows that match an order apply; the stricter wins. A STRATEGY row is pointed at by its strategy."""

    owner = models.ForeignKey("auth.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty for GLOBAL.")
    scope = models.CharField(max_length=8, choices=Scope, default=Scope.STRATEGY)
    account = models.OneToOneField(BrokerAccount, null=True, blank=True, on_delete=models.CASCADE, related_name="limits", help_text="Only for the ACCOUNT scope.")
    clamp_mode = models.CharField(max_length=6, choices=ClampMode, default=ClampMode.REJECT, help_text="What happens to an order that is too large: refused, or cut to what the limit allows. Example: 120 asked, limit 50, CLAMP sends 50.")
    max_quantity_per_order = _limit("Largest quantity of one order, in units. Example: 500. Empty: this row adds no such limit.")
    max_lots_per_order = _limit("Largest number of lots of one order in futures and options. Example: 2 lets 150 of a lot of 75 pass.")
    max_lots_per_day = _limit("Lots of futures and options that may be opened in one trading day. Example: 10.")
    max_order_value = _limit("Largest value of one order in rupees: quantity times price. Example: 100000 lets 66 shares at 1500 pass. Empty: no such limit from this row.")
    max_symbol_exposure = _limit("Largest value in rupees of one symbol: what is held and what resting orders would add. Example: 200000.")
    max_gross_exposure = _limit("Largest value in rupees of all symbols together, bought and sold alike. Example: 1000000.")
    warn_exposure_pct = _percent("Warn from this share of max_gross_exposure on, in percent. Example: 90.")
    max_open_positions = _limit("Most symbols with a position or an entry under way. Adding to one that is open is free. Example: 20.")
    max_open_orders = _limit("Most orders that rest or have no known outcome. Example: 10.")
    max_orders_per_minute = _limit("Most orders sent in any 60 seconds. One more is refused and only exits pass until somebody releases it. Example: 30.")
    max_orders_per_day = _limit("Most orders sent in one trading day. One more is refused and only exits pass until somebody releases it. Example: 300.")
    max_repeats_per_minute = _limit("Most orders with the same symbol, side, quantity and price in 60 seconds: stops an alert that loops. Example: 3.")
    max_trades_per_symbol_day = _limit("Most entries into one symbol in one trading day. Example: 5.")
    min_bars_between = _limit("Bars of the strategy's timeframe that must pass between two entries into one symbol. Example: 3 with a timeframe of 15 is 45 minutes.")
    cooldown_minutes = _limit("Minutes without a new entry after a trade was closed. Example: 10.")
    cooldown_after_loss = _limit("Minutes without a new entry after a trade was closed at a loss. Example: 30.")
    max_loss_streak = _limit("Losing trades in a row after which no entry passes until the next trading day. Example: 3.")
    max_daily_loss = _limit("Loss of one trading day in rupees, realised, unrealised and charges. Once reached, entries are blocked until the next trading day. Example: 50000.")
    warn_loss_pct = _percent("Warn once at this share of max_daily_loss, in percent. Example: 80.")
    on_loss_breach = _choice(OnLoss, 16, "What happens when max_daily_loss is reached. Empty: block new entries and cancel those that rest.")
    max_drawdown_pct = _percent("Fall from the best equity so far, in percent. From half of it on entries are halved, from all of it on only exits pass. Example: 10.")
    margin_buffer_pct = _percent("Share of the available funds that is kept free, in percent. Example: 5 leaves 38,000 of 40,000 usable.")
    collar_aggressive_pct = _percent("How far a price may be on the expensive side of the market, in percent. Example: 3 refuses BUY 104 at a market of 100.")
    collar_passive_pct = _percent("How far a price may be on the cheap side of the market, in percent. Example: 20 lets BUY 96 at a market of 100 pass.")
    collar_without_quote = _choice(NoQuote, 6, "What happens when no market price is known to hold a price against. Empty: nothing said here.")
    session_policy = _choice(ClosedMarket, 6, "What happens to an entry while its market is closed. Empty: nothing said here.")
    defer_max_age = _limit("Minutes an order that came before the open may be held for it. Example: 15.")
    no_trade_windows = models.JSONField(default=list, blank=True, help_text='Times of day (IST) without new entries, for example ["09:15-09:20", "12:00-13:00 DEFER"]. DEFER holds them to the end of the window.')
    entry_cutoff = models.JSONField(default=dict, blank=True, help_text='Time of day (IST) after which nothing new is opened, per product, for example {"MIS": "15:00", "MCX:MIS": "23:00"}.')
    square_off_time = models.JSONField(default=dict, blank=True, help_text='Time of day (IST) at which what is open is closed, per product, for example {"MIS": "15:10", "MCX:MIS": "23:10"}.')
    max_signal_age = _limit("Seconds after which an automatic alert is too old. Example: 60. Empty: the desk's setting, or the strategy's own.")
    allow_short_selling = models.BooleanField(null=True, blank=True, help_text="Whether a sale may open a short position. Every row that says something must say yes. Closing a long position is never a short.")
    symbol_allow_list = models.JSONField(default=list, blank=True, help_text='Only these may be traded, for example ["NSE:INFY", "NSE:SBIN"]. Empty: every instrument; on a live account the one its strategy names.')
    symbol_deny_list = models.JSONField(default=list, blank=True, help_text='These are never traded, for example ["NSE:XYZ"]. It beats the allow list.')
    unlimited = models.JSONField(default=list, blank=True, help_text='GLOBAL only: names of limits that are meant to be empty, for example ["max_order_value"].')
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)
    history = HistoricalRecords()
    objects = RiskSettingsQuerySet.as_manager()

    # what the GLOBAL row must have a value for, unless it is named in `unlimited`
    RAILS = (
        "max_quantity_per_order", "max_lots_per_order", "max_lots_per_day", "max_order_value", "max_symbol_exposure", "max_gross_exposure",
        "max_open_positions", "max_open_orders", "max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute", "max_daily_loss",
        "collar_aggressive_pct", "collar_passive_pct",
    )  # fmt: skip
    FIGURES = (
        *RAILS, "warn_exposure_pct", "max_trades_per_symbol_day", "min_bars_between", "cooldown_minutes", "cooldown_after_loss", "max_loss_streak",
        "warn_loss_pct", "max_drawdown_pct", "margin_buffer_pct", "defer_max_age", "max_signal_age",
    )  # fmt: skip
    WORDS = ("on_loss_breach", "collar_without_quote", "session_policy")
    TIMES = ("no_trade_windows", "entry_cutoff", "square_off_time")
    LISTS = ("symbol_allow_list", "symbol_deny_list")
    PARAMETERS = (*FIGURES, *WORDS, *TIMES, "allow_short_selling", *LISTS)

    class Meta:
        verbose_name = verbose_name_plural = "risk settings"
        constraints = [
            enum_check("scope", Scope, "risk_scope_known"),
            enum_check("clamp_mode", ClampMode, "risk_clamp_mode_known"),
            models.CheckConstraint(condition=models.Q(session_policy__in=["", *ClosedMarket.values]), name="risk_session_policy_known"),
            models.CheckConstraint(condition=models.Q(collar_without_quote__in=["", *NoQuote.values]), name="risk_without_quote_known"),
            models.CheckConstraint(condition=models.Q(on_loss_breach__in=["", *OnLoss.values]), name="risk_on_loss_known"),
            models.UniqueConstraint(fields=["scope"], condition=models.Q(scope="GLOBAL"), name="risk_one_global"),
            models.CheckConstraint(
                condition=models.Q(scope="ACCOUNT", account__isnull=False) | (~models.Q(scope="ACCOUNT") & models.Q(account__isnull=True)),
                name="risk_account_only_there",
            ),
        ]

    def __str__(self) -> str:
        if self.scope == Scope.GLOBAL:
            return "limits of the whole desk"
        strategy = getattr(self, "strategy", None) if self.pk else None
        return f"limits of account {self.account}" if self.account_id else f"limits of strategy {strategy}" if strategy else "limits of no strategy"

    def clean(self) -> None:
        for name, value in self.cleaned({name: getattr(self, name) for name in (*self.LISTS, *self.TIMES, "unlimited")}).items():
            setattr(self, name, value)
        if self.scope != Scope.GLOBAL:
            return
        missing = [n for n in self.RAILS if getattr(self, n) is None and n not in self.unlimited]
        if missing:
            raise ValidationError({missing[0]: f"The GLOBAL row needs {missing[0]}, or its name in 'unlimited'."})

    @classmethod
    def cleaned(cls, given: Mapping[str, object]) -> dict[str, object]:
        """The lists, windows and times among these values as they are kept. Raises ValidationError."""
        checks = dict.fromkeys(cls.LISTS, clean_symbols) | dict(zip(cls.TIMES, (clean_windows, clean_times, clean_times), strict=True))
        checks["unlimited"] = clean_names
        return {name: check(name, given[name]) for name, check in checks.items() if name in given}

    def save(self, *args, **kwargs):
        self.version += 1
        self.updated_at = clock.now()
        super().save(*args, **kwargs)


def clean_symbols(name: str, value: object) -> list[str]:
    """A list of `EXCHANGE:SYMBOL` (or bare symbols), upper-case and each once. Raises ValidationError."""
    refused = ValidationError({name: 'This must be a list of symbols like ["NSE:INFY"].'})
    if not isinstance(value, list) or not all(isinstance(v, str) and len(v.strip()) <= 64 for v in value):
        raise refused
    symbols = [[part.strip() for part in v.upper().split(":")] for v in value]
    if not all(len(parts) <= 2 and all(parts) and not set(parts[-1]) & set(",;|") for parts in symbols):
        raise refused  # it would be no symbol's name, so that the list would not stop what it is meant to stop
    return list(dict.fromkeys(":".join(parts) for parts in symbols))


def clean_names(name: str, value: object) -> list[str]:
    """A list of names of limits, each once. Raises ValidationError."""
    if not isinstance(value, list) or not all(isinstance(v, str) and v in RiskSettings.RAILS for v in value):
        raise ValidationError({name: 'This must be a list of limits every desk has, like ["max_order_value"].'})
    return list(dict.fromkeys(value))


def clean_windows(name: str, value: object) -> list[str]:
    """A list of `HH:MM-HH:MM`, each with ` DEFER` or nothing behind it. Raises ValidationError."""
    shown = ValidationError({name: 'This must be a list of times like ["09:15-09:20", "12:00-13:00 DEFER"].'})
    if not isinstance(value, list) or not all(isinstance(v, str) and WINDOW.fullmatch(v.strip()) for v in value):
        raise shown
    windows = [" ".join(v.upper().split()) for v in value]
    if any(not v[:5] < v[6:11] for v in windows):
        raise ValidationError({name: "A window must begin before it ends, on the same day."})
    return windows


def clean_times(name: str, value: object) -> dict[str, str]:
    """`{"MIS": "15:00", "MCX:MIS": "23:00"}`: a product, or an exchange and a product, and a time. Raises ValidationError."""
    known = isinstance(value, dict) and all(isinstance(k, str) and TIME_KEY.fullmatch(k) and isinstance(v, str) and TIME.fullmatch(v) for k, v in value.items())
    if not known:
        raise ValidationError({name: 'This must name a time per product, like {"MIS": "15:00", "MCX:MIS": "23:00"}.'})
    return dict(value)


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
    cancel_open = models.BooleanField(default=False, help_text="While it is stopped, what comes to rest at a broker after all is cancelled, too.")
    history = HistoricalRecords()

    class Meta:
        constraints = [enum_check("state", TradingMode, "trading_state_known")]

    def __str__(self) -> str:
        return f"{self.scope} {self.state}"


class Trip(models.Model):
    """An automatic stop of a scope: shown until a person releases it or `until` has passed. A mail is not a state; this row is."""

    scope = models.CharField(max_length=40, help_text="GLOBAL, ACCOUNT:3, STRATEGY:7.")
    code = models.CharField(max_length=40, help_text="What tripped: LOSS_DAILY, RATE_MINUTE, UNKNOWN_STREAK.")
    effect = models.CharField(max_length=8, choices=TradingMode, default=TradingMode.REDUCING)
    reason = models.CharField(max_length=300)
    at = models.DateTimeField(default=clock.now)
    until = models.DateTimeField(null=True, help_text="It ends by itself then; empty: only a person ends it.")
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=80, blank=True)
    release_reason = models.CharField(max_length=200, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [
            enum_check("effect", TradingMode, "trip_effect_known"),
            models.UniqueConstraint(fields=["scope", "code"], condition=models.Q(released_at=None), name="trip_once"),
        ]
        indexes = [models.Index(fields=["released_at", "scope"], name="trip_open")]

    def __str__(self) -> str:
        return f"{self.scope} {self.code}"


class LiveArm(models.Model):
    """A person's word that a strategy may open live positions today. It ends by itself, and with `ended_why` before that."""

    strategy_key = models.BigIntegerField(db_index=True, help_text="Id of the strategy.")
    by = models.CharField(max_length=80)
    at = models.DateTimeField(default=clock.now)
    until = models.DateTimeField(help_text="Close of the account's last session of the day.")
    ended_at = models.DateTimeField(null=True)
    ended_why = models.CharField(max_length=200, blank=True)
    waiver = models.CharField(max_length=200, blank=True, help_text="Why it may trade live by itself without the paper orders that are asked for first.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["strategy_key"], condition=models.Q(ended_at=None), name="live_arm_once")]

    def __str__(self) -> str:
        return f"STRATEGY:{self.strategy_key} until {self.until}"


class MarketHours(models.Model):
    """The week of an exchange, and from when to when its calendar is maintained. A date outside that span is closed for live orders."""

    exchange = models.CharField(max_length=12, unique=True, help_text="NSE, BSE, NFO, BFO, MCX, CDS.")
    days = models.CharField(max_length=7, default="12345", help_text="Weekdays of trading, Monday is 1. Example: 12345.")
    opens = models.TimeField(help_text="IST. Example: 09:15.")
    closes = models.TimeField(help_text="IST. Example: 15:30.")
    us_winter_closes = models.TimeField(null=True, blank=True, help_text="IST. Close while New York is on winter time. Example: 23:55. Empty: the same all year.")
    always = models.BooleanField(default=False, help_text="Never closed (24x7). Example: an exchange of crypto.")
    maintained_from = models.DateField(null=True, blank=True, help_text="First day the calendar is kept for. Example: 2025-01-01.")
    maintained_to = models.DateField(null=True, blank=True, help_text="Last day whose holidays are entered. Example: 2026-12-31. Later days count as not known: closed for live orders.")
    amo_from = models.TimeField(null=True, blank=True, help_text="IST. From when the broker takes after-market orders. Example: 16:00. Empty: not known, so it is simply tried.")
    amo_to = models.TimeField(null=True, blank=True, help_text="IST. Until when it takes them, mostly the next morning. Example: 08:58.")
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = "market hours"
        ordering = ["exchange"]

    def __str__(self) -> str:
        return self.exchange

    @property
    def week(self) -> Week:
        """The row as the calendar counts with it."""
        return Week(**{f.name: getattr(self, f.name) for f in fields(Week)})

    def clean(self) -> None:
        self.exchange = self.exchange.strip().upper()
        if not set(self.days) <= set("1234567"):
            raise ValidationError({"days": "Weekdays are digits from 1 (Monday) to 7, like 12345."})
        if not self.always and self.opens >= self.closes:
            raise ValidationError({"closes": "It must close later than it opens, on the same day."})


class MarketSession(models.Model):
    """A day that differs from the week: a holiday, a special session, shorter hours."""

    class Kind(models.TextChoices):
        HOLIDAY = "HOLIDAY", "Closed"
        SPECIAL = "SPECIAL", "Other hours"

    exchange = models.CharField(max_length=12, help_text="The exchange of which it is true. Example: NSE.")
    date = models.DateField(help_text="The day that differs from the week. Example: 2026-11-08.")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.HOLIDAY, help_text="Closed all day, or open at the times below. Example: Other hours for Muhurat trading.")
    opens = models.TimeField(null=True, blank=True, help_text="IST; of a special session. Example: 18:00.")
    closes = models.TimeField(null=True, blank=True, help_text="IST; of a special session. Example: 19:00.")
    name = models.CharField(max_length=80, blank=True, help_text="What the day is called. Example: Diwali Laxmi Pujan.")
    source = models.CharField(max_length=80, blank=True, help_text="Who says so: SEED, a circular, a person.")
    history = HistoricalRecords()

    class Meta:
        ordering = ["date", "exchange"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "date"], name="market_session_once"),
            models.CheckConstraint(
                condition=models.Q(kind="HOLIDAY") | models.Q(kind="SPECIAL", opens__isnull=False, closes__isnull=False), name="market_session_hours"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.date}"

    def clean(self) -> None:
        if self.kind == self.Kind.SPECIAL and not (self.opens and self.closes and self.opens < self.closes):
            raise ValidationError({"opens": "A special session needs a time to open and a later one to close."})
