"""Accounts, instruments, prices, and the paper broker's own book. Nothing here knows an order of ours."""

import secrets
from dataclasses import fields
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Upper
from simple_history.models import HistoricalRecords

from brokers import charges
from brokers.secrets import EncryptedText
from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check


class Price(models.DecimalField):
    """A price or quantity: up to 10^12 with 8 decimals, exact."""

    def __init__(self, **kwargs):
        kwargs.setdefault("max_digits", 22)
        kwargs.setdefault("decimal_places", 8)
        super().__init__(**kwargs)


class BrokerName(models.TextChoices):
    PAPER = "paper", "Paper"
    ZERODHA = "zerodha", "Zerodha"


class Environment(models.TextChoices):
    PAPER = "PAPER", "Paper: simulated fills"
    SIM = "SIM", "Simulator: the real road to a simulated broker"
    LIVE = "LIVE", "Live: real money"


def environment_of(broker: str) -> str:
    """What an account of this broker is where this desk runs: a simulator is everything but the broker's own address."""
    if broker == BrokerName.PAPER:
        return Environment.PAPER
    return Environment.LIVE if settings.KITE_ROOT_URL == settings.KITE_PRODUCTION_ROOT else Environment.SIM


class AccountState(models.TextChoices):
    READY = "READY", "Ready"
    RECOVERING = "RECOVERING", "Reading the broker's books"
    DISCONNECTED = "DISCONNECTED", "Not logged in"


class Liquidity(models.TextChoices):
    FULL = "FULL", "All at once"
    DEPTH = "DEPTH", "Walk the order book, one fill a level"
    PARTICIPATION = "PARTICIPATION", "At most a share of the traded volume"


class QuoteFrom(models.TextChoices):
    NONE = "NONE", "None: prices come from alerts and the admin"
    KITE = "KITE", "A connected Zerodha account"
    FILE = "FILE", "A file of prices"
    WALK = "WALK", "A random walk, for trying things out"


ONE_ACCOUNT = "A Zerodha client has one order book, so it has one account here: use that one, or take the client id out of it."


def new_path_token() -> str:
    """What nobody guesses, fit for an address: 32 characters over 192 random bits."""
    return secrets.token_urlsafe(24)


class BrokerAccount(OwnedModel):
    """One login at one broker. The paper broker is an account like any other."""

    Broker = BrokerName
    State = AccountState

    name = models.CharField(max_length=40, validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9 _-]*$", "Letters, digits, space, - and _.")],
                            help_text="How you call it, for example: paper.")  # fmt: skip
    broker = models.CharField(max_length=20, choices=Broker, default=Broker.PAPER)
    environment = models.CharField(max_length=8, choices=Environment, default=Environment.PAPER, editable=False)
    enabled = models.BooleanField(default=True, help_text="Off: no order of this account is sent; waiting ones stay.")
    state = models.CharField(max_length=14, choices=State, default=State.READY, editable=False)
    credentials = EncryptedText(null=True, blank=True, editable=False)  # the API secret
    api_key = models.CharField(max_length=64, blank=True, help_text="API key of your Kite Connect app. Empty: KITE_API_KEY of the environment.")
    client_id = models.CharField(max_length=20, blank=True, help_text="Your client id at the broker, for example AB1234. Only this user may log in; empty: the first one.")
    source_ip = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True,
                                             help_text="Address of this machine that calls leave from, when it has several. Empty: the system's choice.")  # fmt: skip
    sell_t1 = models.BooleanField(default=False, help_text="Shares that arrive tomorrow (T+1) may be sold today.")
    quote_source = models.CharField(max_length=4, choices=QuoteFrom, default=QuoteFrom.NONE, help_text="Where a paper account takes its prices from.")
    quote_account = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
                                      help_text="The Zerodha account that is asked for prices.")  # fmt: skip
    quote_file = models.CharField(max_length=200, blank=True, help_text="A CSV file in the data directory with EXCHANGE:SYMBOL,price in each line.")
    quote_every_s = models.PositiveIntegerField(default=5, validators=[MinValueValidator(1), MaxValueValidator(14400)],
                                                help_text="Seconds between two prices, 1 to 14400.")  # fmt: skip
    capital = Price(default=Decimal("1000000"), validators=[MinValueValidator(0)],
                    help_text="Money the paper account starts with, in rupees. Example: 1000000.")  # fmt: skip
    slippage_bps = models.DecimalField(max_digits=6, decimal_places=2, default=Decimal("5"), validators=[MinValueValidator(0), MaxValueValidator(1000)],
                                       help_text="Paper fills without bid and ask are this much worse than the last price. 5 bps of 812.35 is 0.41.")  # fmt: skip
    liquidity = models.CharField(max_length=14, choices=Liquidity, default=Liquidity.FULL,
                                 help_text="How much of a paper order one price may fill.")  # fmt: skip
    participation_pct = models.DecimalField(max_digits=6, decimal_places=2, default=Decimal("10"), validators=[MinValueValidator(0), MaxValueValidator(100)],
                                            help_text="With a share of volume: at most this many percent of what traded since the last price.")  # fmt: skip
    fill_on_touch = models.BooleanField(default=False, help_text="A resting paper LIMIT also fills when the price only touches it.")
    postback_token = models.CharField(max_length=43, unique=True, default=new_path_token, editable=False, help_text="Path of the address the broker posts to.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    history = HistoricalRecords(excluded_fields=["credentials", "api_key", "postback_token"])

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="account_name_once_per_owner"),
            models.UniqueConstraint(Upper("client_id"), "environment", condition=models.Q(broker=BrokerName.ZERODHA) & ~models.Q(client_id=""),
                                    name="account_once_per_client"),
            enum_check("broker", BrokerName, "account_broker_known"),
            enum_check("environment", Environment, "account_environment_known"),
            enum_check("state", AccountState, "account_state_known"),
            enum_check("liquidity", Liquidity, "account_liquidity_known"),
            enum_check("quote_source", QuoteFrom, "account_quote_source_known"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self):
        """Two accounts of one client would take each other's orders for strangers'."""
        self._settle()
        twins = BrokerAccount.objects.filter(broker=BrokerName.ZERODHA, environment=self.environment, client_id__iexact=self.client_id)
        if self.client_id and self.broker == BrokerName.ZERODHA and twins.exclude(pk=self.pk).exists():
            raise ValidationError({"client_id": f"There is an account of {self.client_id} already. {ONE_ACCOUNT}"})

    def save(self, *args, **kwargs):
        self._settle()
        super().save(*args, **kwargs)

    def _settle(self) -> None:
        """An account of a real broker is what the desk's address makes it, and starts logged out: whoever makes it need not know."""
        if self._state.adding and self.broker != BrokerName.PAPER and self.environment == Environment.PAPER:
            self.environment, self.state = environment_of(self.broker), AccountState.DISCONNECTED


class SessionState(models.TextChoices):
    NONE = "NONE", "Never logged in"
    EXCHANGE = "EXCHANGE", "Login is being completed"
    ACTIVE = "ACTIVE", "Logged in"
    ENDING = "ENDING", "Being logged out"
    EXPIRED = "EXPIRED", "Session ended"
    FAILED = "FAILED", "Login failed"


class BrokerSession(models.Model):
    """The login of one account. The web process writes what the login page returned; only a worker talks to the broker about it."""

    State = SessionState

    account = models.OneToOneField(BrokerAccount, on_delete=models.CASCADE, related_name="session")
    state = models.CharField(max_length=8, choices=State, default=State.NONE)
    nonce_digest = models.CharField(max_length=64, blank=True, help_text="Hash of the state value of the last login that came back; each is used once.")
    nonce_until = models.DateTimeField(null=True)
    request_token = EncryptedText(null=True, blank=True, editable=False)
    access_token = EncryptedText(null=True, blank=True, editable=False)
    user_id = models.CharField(max_length=20, blank=True)
    user_name = models.CharField(max_length=80, blank=True)
    issued_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True, help_text="When the broker last accepted it.")
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=300, blank=True, help_text="In words, what went wrong last.")
    updated_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [enum_check("state", SessionState, "session_state_known")]

    def __str__(self) -> str:
        return f"{self.account} {self.state}"


class RateBucket(models.Model):
    """How many calls of one class an account made in one window; shared by all processes and machines of the desk."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=12, help_text="order, read, quote.")
    window_s = models.PositiveIntegerField()
    slot = models.BigIntegerField(default=0, help_text="Number of the window since 1970; a day's window is the trading day in IST.")
    used = models.PositiveIntegerField(default=0)
    previous = models.PositiveIntegerField(default=0, help_text="Calls in the window right before this one.")
    blocked_until = models.DateTimeField(null=True, help_text="The broker said to wait until then.")
    strikes = models.PositiveIntegerField(default=0, help_text="Times in a row the broker said so.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "kind", "window_s"], name="rate_bucket_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.kind} {self.used} in {self.window_s} s"


class SyncState(models.Model):
    """When each of a broker's books was last read completely, and what went wrong last."""

    account = models.OneToOneField(BrokerAccount, on_delete=models.CASCADE, related_name="sync")
    orders_at = models.DateTimeField(null=True)
    positions_at = models.DateTimeField(null=True)
    holdings_at = models.DateTimeField(null=True)
    funds_at = models.DateTimeField(null=True)
    gtts_at = models.DateTimeField(null=True)
    changed = models.PositiveIntegerField(default=0, help_text="Rows the last read changed.")
    result_ours = Price(null=True, max_digits=30, help_text="The day's result before charges by the desk's books, of what the broker shows as well.")
    result_theirs = Price(null=True, max_digits=30, help_text="The same by the broker's figures.")
    result_off = models.PositiveIntegerField(default=0, help_text="Reads in a row in which the two differed.")
    wanted_at = models.DateTimeField(null=True, help_text="Somebody asked for a read then: a person, a postback, the stream.")
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=300, blank=True)
    error_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.account_id}"


class BrokerPosition(models.Model):
    """A net position as the broker reported it last."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.CASCADE, related_name="broker_positions")
    exchange = models.CharField(max_length=12)
    tradingsymbol = models.CharField(max_length=64)
    product = models.CharField(max_length=4)
    net_qty = Price()
    overnight_qty = Price(default=Decimal(0))
    multiplier = Price(default=Decimal(1))
    buy_qty = Price(default=Decimal(0))
    buy_avg = Price(null=True)
    sell_qty = Price(default=Decimal(0))
    sell_avg = Price(null=True)
    average = Price(null=True)
    realised = Price(default=Decimal(0), max_digits=30)
    unrealised = Price(null=True, max_digits=30)
    ltp = Price(null=True)
    close_price = Price(null=True, help_text="Close of the day before, where the broker says it.")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "exchange", "tradingsymbol", "product"], name="broker_position_once")]

    def __str__(self) -> str:
        return f"{self.net_qty} {self.exchange}:{self.tradingsymbol} {self.product}"


class BrokerHolding(models.Model):
    """Shares in the depository as the broker reported them last."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.CASCADE, related_name="broker_holdings")
    exchange = models.CharField(max_length=12)
    tradingsymbol = models.CharField(max_length=64)
    quantity = Price()
    t1_quantity = Price(default=Decimal(0))
    used_quantity = Price(default=Decimal(0))
    collateral_qty = Price(default=Decimal(0))
    average = Price(default=Decimal(0))
    ltp = Price(null=True)
    close_price = Price(null=True, help_text="Close of the day before, where the broker says it.")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "exchange", "tradingsymbol"], name="broker_holding_once")]

    def __str__(self) -> str:
        return f"{self.quantity} {self.exchange}:{self.tradingsymbol}"


class BrokerFunds(models.Model):
    """Money of one segment as the broker reported it last: total = available + used."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.CASCADE, related_name="broker_funds")
    segment = models.CharField(max_length=16)
    currency = models.CharField(max_length=4, default="INR")
    available = Price(max_digits=30)
    used = Price(max_digits=30)
    total = Price(max_digits=30)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "segment"], name="broker_funds_once")]

    def __str__(self) -> str:
        return f"{self.segment} {self.available}"


class FreezeLimit(models.Model):
    """The largest quantity of one order in shares, or in contracts of a root, from a date on. The broker's list does not carry it."""

    exchange = models.CharField(max_length=12, help_text="NSE, BSE, NFO, BFO, CDS or MCX.")
    root = models.CharField(max_length=32, help_text="NIFTY, BANKNIFTY, SENSEX. A * stands for everything else on the exchange.")
    quantity = Price(validators=[MinValueValidator(Decimal(1))], help_text="Units, not lots. What is no multiple of the lot counts as the multiple below.")
    since = models.DateField(help_text="First day. The last row that has begun counts; it takes effect when the instrument list is loaded next.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["exchange", "root", "since"], name="freeze_limit_once")]

    def __str__(self) -> str:
        return f"{self.exchange} {self.root} {self.quantity}"


def _rate(text: str) -> models.DecimalField:
    return models.DecimalField(max_digits=10, decimal_places=6, default=Decimal(0), validators=[MinValueValidator(0), MaxValueValidator(100)], help_text=text)


class Segment(models.TextChoices):
    CNC = "CNC", "Shares, delivery"
    MIS = "MIS", "Shares, intraday"
    FUT = "FUT", "Futures"
    OPT = "OPT", "Options, on the premium"


class ChargeSchedule(models.Model):
    """What trading costs at a broker, from a day on. The row of a fill's day counts; two rows never cover the same day."""

    broker = models.CharField(max_length=20, choices=BrokerName)
    segment = models.CharField(max_length=3, choices=Segment)
    exchange = models.CharField(max_length=12, help_text="NSE, BSE, NFO, BFO, MCX, CDS.")
    valid_from = models.DateField(help_text="First day (IST).")
    valid_to = models.DateField(null=True, blank=True, help_text="Last day. Empty: until another row begins.")
    brokerage_flat = Price(default=Decimal(0), validators=[MinValueValidator(0)], help_text="Rupees for each executed order. Example: 20.")
    brokerage_pct = _rate("Percent of an order's turnover. Example: 0.03.")
    brokerage_cap = Price(null=True, blank=True, validators=[MinValueValidator(0)], help_text="Most brokerage of one order, in rupees. Example: 20.")
    stt_buy_pct = _rate("Securities or commodities transaction tax of a purchase, in percent. Example: 0.1.")
    stt_sell_pct = _rate("The same of a sale. Example: 0.025.")
    exchange_pct = _rate("Transaction fee of the exchange, in percent. Example: 0.00307.")
    sebi_pct = _rate("Fee of the regulator, in percent. Example: 0.0001, which is ₹10 a crore.")
    stamp_pct = _rate("Stamp duty of a purchase, in percent. Example: 0.003.")
    gst_pct = _rate("Tax on brokerage, exchange fee and SEBI fee, in percent. Example: 18.")
    dp = Price(default=Decimal(0), validators=[MinValueValidator(0)], help_text="Rupees for a day's first sale of a symbol from the holdings. Example: 15.34.")
    verified_on = models.DateField(null=True, blank=True, help_text="When somebody compared it with the broker's own list. Empty: UNVERIFIED.")
    history = HistoricalRecords()

    class Meta:
        verbose_name = "charges"
        verbose_name_plural = "charges"
        ordering = ["broker", "exchange", "segment", "-valid_from"]
        constraints = [
            enum_check("broker", BrokerName, "charges_broker_known"),
            enum_check("segment", Segment, "charges_segment_known"),
            models.UniqueConstraint(fields=["broker", "segment", "exchange", "valid_from"], name="charges_once"),
            models.CheckConstraint(condition=models.Q(valid_to=None) | models.Q(valid_to__gte=models.F("valid_from")), name="charges_days_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.get_broker_display()} {self.exchange} {self.segment} from {self.valid_from}"

    def clean(self) -> None:
        if self.valid_from is None or (self.valid_to and self.valid_to < self.valid_from):
            return  # said by the field and by the constraint
        same = ChargeSchedule.objects.filter(broker=self.broker, segment=self.segment, exchange=self.exchange).exclude(pk=self.pk)
        until = models.Q(valid_to=None) | models.Q(valid_to__gte=self.valid_from)
        other = (same.filter(valid_from__lte=self.valid_to) if self.valid_to else same).filter(until).first()
        if other:
            raise ValidationError({"valid_from": f"These days are covered by the row from {other.valid_from} to {other.valid_to or 'now'}. Give that one a last day first."})

    def save(self, *args, **kwargs):
        """Refuses an overlap also where no form asked: which of two rows counted would be a matter of luck."""
        self.clean()
        super().save(*args, **kwargs)

    @property
    def rate(self) -> charges.Rate:
        """The row as the arithmetic takes it."""
        return charges.Rate(**{f.name: getattr(self, f.name) for f in fields(charges.Rate)})


class InstrumentKind(models.TextChoices):
    EQ = "EQ", "Equity"
    FUT = "FUT", "Future"
    CE = "CE", "Call"
    PE = "PE", "Put"
    IDX = "IDX", "Index"
    SPOT = "SPOT", "Spot"
    SWAP = "SWAP", "Perpetual"


class Instrument(models.Model):
    """What can be traded, by the name its exchange gives it. Never built from a string: a row is found or there is none."""

    Kind = InstrumentKind

    exchange = models.CharField(max_length=12, help_text="NSE, BSE, NFO, BFO, MCX, CDS.")
    tradingsymbol = models.CharField(max_length=64, help_text="As the exchange writes it: INFY, M&M, NIFTY26DECFUT.")
    name = models.CharField(max_length=64, blank=True, help_text="The root: NIFTY for every NIFTY contract.")
    kind = models.CharField(max_length=4, choices=Kind, default=Kind.EQ)
    tick = Price(null=True, blank=True, default=Decimal("0.05"), help_text="Smallest price step, for example 0.05. Empty: orders wait until it is known.")
    lot = Price(null=True, blank=True, default=Decimal("1"), help_text="Quantity must be a multiple of this. Shares: 1.")
    freeze = Price(null=True, blank=True, help_text="Largest quantity the exchange takes in one order.")
    multiplier = Price(default=Decimal("1"), help_text="Value of one unit per point of price.")
    expiry = models.DateField(null=True, blank=True)
    strike = Price(null=True, blank=True)
    token = models.CharField(max_length=32, blank=True, editable=False)
    provisional = models.BooleanField(default=False, editable=False, help_text="Made from an alert on paper, before any instrument list was loaded.")
    active = models.BooleanField(default=True)
    as_of = models.DateTimeField(default=clock.now, help_text="When the broker's list last named it.")

    class Meta:
        ordering = ["exchange", "tradingsymbol"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "tradingsymbol"], name="instrument_once"),
            enum_check("kind", InstrumentKind, "instrument_kind_known"),
        ]
        indexes = [models.Index(fields=["name", "kind", "expiry"], name="instrument_root")]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """`NSE:INFY`."""
        return f"{self.exchange}:{self.tradingsymbol}"


class QuoteSource(models.TextChoices):
    ADMIN = "ADMIN", "Typed in"
    ALERT = "ALERT", "From an alert"
    FEED = "FEED", "Market feed"
    FILE = "FILE", "File"
    WALK = "WALK", "Random walk"


class Quote(models.Model):
    """The last price known of an instrument, with where it came from and when."""

    Source = QuoteSource

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE, related_name="quote")
    ltp = Price(validators=[MinValueValidator(Decimal("0.00000001"))], help_text="Last traded price.")
    bid = Price(null=True, blank=True)
    ask = Price(null=True, blank=True)
    bid_qty = Price(null=True, blank=True)
    ask_qty = Price(null=True, blank=True)
    volume = Price(null=True, blank=True, help_text="Traded since the last price; used by the participation setting.")
    day_volume = Price(null=True, blank=True, editable=False, help_text="Traded in the day so far, as the feed counts it.")
    close = Price(null=True, blank=True, help_text="Close of the trading day before this price.")
    source = models.CharField(max_length=8, choices=Source, default=Source.ADMIN)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [enum_check("source", QuoteSource, "quote_source_known")]

    def __str__(self) -> str:
        return f"{self.instrument} {self.ltp}"

    def serves(self, account: BrokerAccount) -> bool:
        """Whether this account's orders may be priced by it: what is made up counts only for paper that chose it, an alert's price only for paper."""
        if self.source in (QuoteSource.FEED, QuoteSource.ADMIN):
            return True
        return account.broker == BrokerName.PAPER and self.source in (QuoteSource.ALERT, account.quote_source)


class PriceFeed(models.Model):
    """How the prices of one account are read: when they were asked for, when they came, and what stood against it."""

    account = models.OneToOneField(BrokerAccount, on_delete=models.CASCADE, related_name="feed")
    rung_at = models.DateTimeField(null=True, help_text="When a read was asked of the batch cluster.")
    read_at = models.DateTimeField(null=True, help_text="When the last read that was asked for ended, well or not.")
    priced_at = models.DateTimeField(null=True, help_text="When prices came last.")
    refused_on = models.DateField(null=True, help_text="The day the broker said that this account gets no prices; it is asked again on another day.")
    error = models.CharField(max_length=300, blank=True, help_text="In words, why the last read gave no prices.")

    def __str__(self) -> str:
        return f"{self.account_id}"


class WatchedKey(models.Model):
    """An instrument somebody looks at right now; its price is read until then."""

    key = models.CharField(max_length=80, unique=True, help_text="NSE:INFY")
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


class PaperStatus(models.TextChoices):
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class PaperOrder(models.Model):
    """An order in the paper broker's book. `ref` is our tag: placing it twice finds the first one."""

    Status = PaperStatus

    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="paper_orders")
    ref = models.CharField(max_length=20, unique=True)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    side = models.CharField(max_length=4)
    order_type = models.CharField(max_length=6)
    product = models.CharField(max_length=4)
    validity = models.CharField(max_length=3, default="DAY")
    quantity = Price()
    price = Price(null=True)
    trigger_price = Price(null=True)
    ref_price = Price(null=True)
    cap = Price(null=True, help_text="What is left of a MARKET order rests as a LIMIT at this price.")
    triggered = models.BooleanField(default=False)
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    filled = Price(default=Decimal(0))
    value = Price(default=Decimal(0), max_digits=30, help_text="Sum of fill price times quantity.")
    message = models.CharField(max_length=200, blank=True)
    consumed = models.JSONField(default=dict, help_text="Depth already taken from the present quote.")
    placed_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            enum_check("status", PaperStatus, "paper_order_status_known"),
            models.CheckConstraint(condition=models.Q(side__in=["BUY", "SELL"]), name="paper_order_side_known"),
            models.CheckConstraint(condition=models.Q(order_type__in=["MARKET", "LIMIT", "SL", "SL_M"]), name="paper_order_type_known"),
            models.CheckConstraint(condition=models.Q(filled__lte=models.F("quantity")), name="paper_order_never_overfilled"),
        ]
        indexes = [models.Index(fields=["account", "status"], name="paper_order_live")]

    def __str__(self) -> str:
        return f"PAPER-{self.pk}"


class PaperTrade(models.Model):
    """One execution in the paper book."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="paper_trades")
    order = models.ForeignKey(PaperOrder, on_delete=models.PROTECT, related_name="trades")
    trade_id = models.CharField(max_length=40)
    quantity = Price()
    price = Price()
    priced_by = models.CharField(max_length=8, default="QUOTE")
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "trade_id"], name="paper_trade_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="paper_trade_has_quantity"),
        ]

    def __str__(self) -> str:
        return self.trade_id


