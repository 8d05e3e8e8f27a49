"""An order and its story: attempts at the broker, events, fills. Only trading.services.orders writes its status."""

from decimal import Decimal

from django.db import models

from brokers.models import BrokerAccount, Instrument, Price
from risk.models import Decision
from trading.domain.orderfsm import WORDS, State
from tvapp.lib import clock
from tvapp.owned import OwnedModel, enum_check

from .alert import Alert, Signal
from .strategy import Mode, OrderType, Product, Strategy

OrderStatus = models.TextChoices("OrderStatus", [(s.name, (s.value, WORDS[s])) for s in State], module=__name__)


class Side(models.TextChoices):
    BUY = "BUY"
    SELL = "SELL"


class Source(models.TextChoices):
    ALERT = "ALERT", "TradingView alert"
    RESUBMIT = "RESUBMIT", "Copy of an earlier order"
    SLICE = "SLICE", "Part of an order above the freeze quantity"
    BRACKET = "BRACKET", "Stop or target of an entry"
    EXTERNAL = "EXTERNAL", "Placed outside the desk"
    SQUARE_OFF = "SQUARE_OFF", "Square-off"
    CLOSE = "CLOSE", "Closes what stop and target turned around"


class Role(models.TextChoices):
    """What a child is to its parent."""

    NONE = "", ""
    SLICE = "SLICE", "Slice"
    STOP = "STOP", "Stop"
    TARGET = "TARGET", "Target"
    OCO = "OCO", "Stop and target"
    TRAIL = "TRAIL", "Trailing stop"


class Pending(models.TextChoices):
    NONE = "", ""
    CANCEL = "CANCEL", "Cancel asked of the broker"
    MODIFY = "MODIFY", "Change asked of the broker"


class Order(OwnedModel):
    alert = models.ForeignKey(Alert, null=True, blank=True, on_delete=models.PROTECT, related_name="orders")
    signal = models.ForeignKey(Signal, null=True, blank=True, on_delete=models.PROTECT, related_name="orders")
    strategy = models.ForeignKey(Strategy, null=True, blank=True, on_delete=models.PROTECT, related_name="orders")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="orders")
    instrument = models.ForeignKey(Instrument, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    copied_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="copies")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    role = models.CharField(max_length=6, choices=Role, default="", blank=True)
    source = models.CharField(max_length=10, choices=Source, default=Source.ALERT)
    status = models.CharField(max_length=14, choices=OrderStatus)
    status_reason = models.CharField(max_length=40, blank=True)
    why = models.TextField(blank=True, help_text="One sentence: why it is in this state.")
    mode = models.CharField(max_length=6, choices=Mode)
    simulated = models.BooleanField(default=True)
    exchange = models.CharField(max_length=12, blank=True)
    tradingsymbol = models.CharField(max_length=64)
    tv_symbol = models.CharField(max_length=80, blank=True, help_text="As the alert named it.")
    side = models.CharField(max_length=4, choices=Side)
    reduce_only = models.BooleanField(default=False)
    requested_quantity = Price(null=True, help_text="What was asked.")
    quantity = Price(null=True, help_text="What is or will be sent; smaller after a clamp. Empty: not known yet.")
    filled_quantity = Price(default=Decimal(0))
    average_price = Price(null=True)
    order_type = models.CharField(max_length=6, choices=OrderType)
    price = Price(null=True)
    trigger_price = Price(null=True)
    ref_price = Price(null=True, help_text="Price at the alert.")
    product = models.CharField(max_length=4, choices=Product)
    validity = models.CharField(max_length=3, default="DAY")
    validity_minutes = models.PositiveIntegerField(default=0, help_text="With validity TTL: minutes, then the rest is cancelled.")
    variety = models.CharField(max_length=10, default="regular", help_text="regular, amo or iceberg; modify and cancel use it.")
    iceberg_legs = models.PositiveSmallIntegerField(default=0)
    gtt = models.BooleanField(default=False, help_text="Placed as a trigger (GTT) at the broker instead of an order.")
    brackets = models.JSONField(default=dict, help_text="Stop, target and trail that follow its fills, as the alert gave them.")
    covered = Price(default=Decimal(0), help_text="Of an entry: how much of its fills has its stop and target. Of a stop or target: that figure when it was made.")
    max_slippage_pct = models.DecimalField(max_digits=6, decimal_places=3, null=True)
    pending_changes = models.JSONField(default=dict, help_text="What a change asked of the broker will set: price, trigger_price, quantity.")
    modifications = models.PositiveIntegerField(default=0)
    tag = models.CharField(max_length=20, unique=True)
    broker_order_id = models.CharField(max_length=40, blank=True)
    broker_message = models.CharField(max_length=300, blank=True)
    pending_action = models.CharField(max_length=8, choices=Pending, default="", blank=True)
    verdict = models.CharField(max_length=8, blank=True)
    decision = models.ForeignKey(Decision, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    correlation_id = models.CharField(max_length=32, db_index=True)
    version = models.PositiveIntegerField(default=1)
    fired_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(default=clock.now)
    max_age_s = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)
    # the road's own bookkeeping
    attempt = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, help_text="When its last attempt at the broker began. Empty: it never left, or was not ours.")
    starts = models.PositiveIntegerField(default=0, help_text="Starts of work without an end.")
    queued_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True, help_text="Not before this moment (backoff).")
    rung_at = models.DateTimeField(null=True)
    rings = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    lease_process = models.CharField(max_length=120, blank=True)
    look_at = models.DateTimeField(null=True, help_text="When an unknown outcome is looked up next.")
    looks = models.PositiveIntegerField(default=0)
    clean_look_at = models.DateTimeField(null=True, help_text="When a complete order book was last read without it.")
    reported_at = models.DateTimeField(null=True, help_text="The broker's time of the newest report that changed it.")
    unseen = models.PositiveSmallIntegerField(default=0, help_text="Reads of the order book in a row that lack it although it is live.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            enum_check("status", OrderStatus, "order_status_known"),
            enum_check("mode", Mode, "order_mode_known"),
            enum_check("side", Side, "order_side_known"),
            enum_check("source", Source, "order_source_known"),
            enum_check("order_type", OrderType, "order_type_known"),
            enum_check("product", Product, "order_product_known"),
            models.CheckConstraint(condition=models.Q(pending_action__in=["", "CANCEL", "MODIFY"]), name="order_pending_known"),
            models.CheckConstraint(condition=models.Q(role__in=["", "SLICE", "STOP", "TARGET", "OCO", "TRAIL"]), name="order_role_known"),
            models.CheckConstraint(condition=models.Q(verdict__in=["", "ALLOW", "CLAMP", "REJECT", "DEFER"]), name="order_verdict_known"),
            models.CheckConstraint(condition=models.Q(quantity__isnull=True) | models.Q(quantity__gt=0), name="order_quantity_positive"),
            models.CheckConstraint(condition=models.Q(filled_quantity__gte=0), name="order_filled_not_negative"),
            models.UniqueConstraint(fields=["account", "broker_order_id"], condition=~models.Q(broker_order_id=""), name="order_broker_id_once"),
            models.UniqueConstraint(fields=["signal"], condition=models.Q(source="ALERT", signal__isnull=False), name="order_once_per_signal"),
            models.UniqueConstraint(fields=["parent", "role", "covered"], condition=models.Q(source="BRACKET"), name="order_exit_once"),
        ]
        indexes = [
            models.Index(fields=["status", "id"], name="order_status_id"),
            models.Index(fields=["owner", "status", "id"], name="order_owner_status_id"),
            models.Index(fields=["owner", "id"], name="order_owner_id"),
            models.Index(fields=["owner", "created_at"], name="order_owner_created"),
            models.Index(fields=["strategy", "id"], name="order_strategy_id"),
            models.Index(fields=["account", "tradingsymbol", "status"], name="order_account_symbol"),
            models.Index(fields=["account", "instrument", "status"], name="order_account_instrument"),
            models.Index(fields=["tradingsymbol", "id"], name="order_symbol_id"),
            models.Index(fields=["broker_order_id"], name="order_broker_id"),
            models.Index(fields=["created_at", "status"], name="order_created_status"),
            # what the gate counts: the sends of a day without reading a row, and the newest of a strategy in a symbol
            models.Index(
                fields=["simulated", "sent_at", "account", "strategy", "instrument", "role"], condition=models.Q(sent_at__isnull=False), name="order_sent",
            ),
            models.Index(fields=["strategy", "instrument", "sent_at"], condition=models.Q(sent_at__isnull=False), name="order_last_sent"),
        ]

    def __str__(self) -> str:
        return f"O-{self.pk} {self.side} {self.tradingsymbol}"

    @property
    def symbol(self) -> str:
        """`NSE:INFY`."""
        return f"{self.exchange}:{self.tradingsymbol}" if self.exchange else self.tradingsymbol

    @property
    def remaining(self) -> Decimal:
        return (self.quantity or Decimal(0)) - self.filled_quantity


class AttemptKind(models.TextChoices):
    PLACE = "PLACE"
    CANCEL = "CANCEL"
    MODIFY = "MODIFY"
    GTT = "GTT"


class AttemptOutcome(models.TextChoices):
    PENDING = "PENDING", "Under way"
    ACCEPTED = "ACCEPTED", "Accepted"
    NOT_SENT = "NOT_SENT", "Provably not sent"
    THROTTLED = "THROTTLED", "Told to wait"
    AUTH = "AUTH", "Session refused"
    REFUSED = "REFUSED", "Refused"
    UNKNOWN = "UNKNOWN", "Unknown"


class OrderAttempt(models.Model):
    """One call to a broker, written before the first byte leaves."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="attempts")
    kind = models.CharField(max_length=6, choices=AttemptKind, default=AttemptKind.PLACE)
    no = models.PositiveIntegerField()
    decision = models.ForeignKey(Decision, null=True, on_delete=models.PROTECT, related_name="+")
    payload = models.JSONField(default=dict)
    payload_hash = models.CharField(max_length=64)
    process = models.CharField(max_length=120)
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=9, choices=AttemptOutcome, default=AttemptOutcome.PENDING)
    answer = models.JSONField(default=dict)
    message = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "kind", "no"], name="attempt_once"),
            enum_check("kind", AttemptKind, "attempt_kind_known"),
            enum_check("outcome", AttemptOutcome, "attempt_outcome_known"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} {self.kind} {self.no}"


class OrderEvent(models.Model):
    """One line of the order's story. `seq` is the order's version after it, so that the lines replay to the same state."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    at = models.DateTimeField(default=clock.now)
    kind = models.CharField(max_length=24)
    from_status = models.CharField(max_length=14, blank=True)
    to_status = models.CharField(max_length=14, blank=True)
    code = models.CharField(max_length=40, blank=True)
    text = models.TextField()
    actor = models.CharField(max_length=80)
    correlation_id = models.CharField(max_length=32)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["order", "seq"], name="order_event_once")]

    def __str__(self) -> str:
        return f"{self.order_id} {self.kind}"


class Fill(OwnedModel):
    """One execution, for ever as the broker reported it."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="+")
    strategy = models.ForeignKey(Strategy, null=True, on_delete=models.PROTECT, related_name="+")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    trading_day = models.DateField(help_text="IST date.")
    exchange = models.CharField(max_length=12)
    trade_id = models.CharField(max_length=40)
    product = models.CharField(max_length=4)
    side = models.CharField(max_length=4, choices=Side)
    quantity = Price()
    price = Price()
    at = models.DateTimeField()
    seen_at = models.DateTimeField(default=clock.now)
    simulated = models.BooleanField(default=True)
    priced_by = models.CharField(max_length=8, blank=True)
    charges = Price(null=True, help_text="Estimated, in rupees. Empty: no rates of its day are known.")
    charge_parts = models.JSONField(default=dict, help_text="What they are made of: brokerage, stt, exchange, sebi, stamp, gst, dp.")
    realised = Price(null=True, max_digits=30, help_text="Result before charges of what it closed. Empty: it only opened.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "trading_day", "exchange", "trade_id"], name="fill_once"),
            enum_check("side", Side, "fill_side_known"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="fill_quantity_positive"),
        ]
        indexes = [
            models.Index(fields=["account", "at"], name="fill_account_at"),
            models.Index(fields=["trading_day", "account"], condition=models.Q(realised__isnull=False), name="fill_closing"),
        ]

    def __str__(self) -> str:
        return f"{self.trade_id} {self.side} {self.quantity}"
