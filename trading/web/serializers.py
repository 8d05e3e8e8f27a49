"""What the API shows and takes. Fields are named one by one; what is not named cannot be written."""

from decimal import Decimal

from django.db.models import Q
from rest_framework import serializers

from brokers.models import BrokerAccount, Instrument, Price
from risk.models import LIMIT_MAX, ClampMode, RiskSettings, Scope
from trading.models import Alert, Fill, Order, OrderEvent, OrderType, OverrideScope, Product, Strategy
from trading.selectors import gtts
from trading.services.route import MOST_DIGITS
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain
from tvapp.validators import one_line


def refuse_unknown(serializer: serializers.BaseSerializer) -> None:
    """400 UNKNOWN_FIELD for a name nobody can write, unless it repeats the value the row has already."""
    given = getattr(serializer, "initial_data", None)
    if not isinstance(given, dict):
        raise AppError("NOT_AN_OBJECT", "The body must be a JSON object.")
    writable = {name for name, f in serializer.fields.items() if not f.read_only}
    shown = serializer.to_representation(serializer.instance) if serializer.instance is not None else {}
    for name, value in given.items():
        if name in writable or (name in shown and str(shown[name]) == str(value)):
            continue
        raise AppError("UNKNOWN_FIELD", f"There is no field {name} that could be set here.", extra={"field": name})


class StrictMixin:
    """Refuses unknown fields before anything else is looked at."""

    def is_valid(self, *, raise_exception: bool = False) -> bool:
        refuse_unknown(self)
        return super().is_valid(raise_exception=raise_exception)


class Number(serializers.DecimalField):
    """Exact: numbers and strings are taken, strings without idle zeros are given."""

    def __init__(self, **kwargs):
        super().__init__(**{"max_digits": 22, "decimal_places": 8, "max_value": LIMIT_MAX, **kwargs})

    def to_internal_value(self, data) -> Decimal:
        value = super().to_internal_value(data)
        if len(value.normalize().as_tuple().digits) > MOST_DIGITS:
            raise serializers.ValidationError(f"At most {MOST_DIGITS} digits can be kept exactly.")
        return value

    def to_representation(self, value) -> str | None:
        return plain(Decimal(value)) if value is not None else None


class OrderSerializer(serializers.ModelSerializer):
    strategy = serializers.SerializerMethodField()
    symbol = serializers.CharField(read_only=True)
    quantity = Number(read_only=True)
    requested_quantity = Number(read_only=True)
    filled_quantity = Number(read_only=True)
    average_price = Number(read_only=True)
    price = Number(read_only=True)
    trigger_price = Number(read_only=True)

    class Meta:
        model = Order
        fields = (
            "id", "alert_id", "strategy_id", "strategy", "account_id", "status", "status_reason", "why", "mode", "simulated", "symbol", "exchange",
            "tradingsymbol", "side", "quantity", "requested_quantity", "filled_quantity", "average_price", "order_type", "price", "trigger_price",
            "product", "validity", "variety", "tag", "broker_order_id", "pending_action", "verdict", "version", "correlation_id", "created_at",
            "updated_at", "gtt", "parent_id", "role",
        )  # fmt: skip
        read_only_fields = fields

    def get_strategy(self, order) -> str | None:
        return order.strategy.name if order.strategy_id else None


class OrderEditSerializer(StrictMixin, serializers.Serializer):
    """PATCH of a WAITING order. Absent fields stay as they are."""

    quantity = Number(required=False, min_value=Decimal("0.00000001"))
    price = Number(required=False, allow_null=True, min_value=Decimal("0.00000001"))
    trigger_price = Number(required=False, allow_null=True, min_value=Decimal("0.00000001"))
    order_type = serializers.ChoiceField(choices=OrderType.choices, required=False)
    product = serializers.ChoiceField(choices=Product.choices, required=False)
    gtt = serializers.BooleanField(required=False)
    version = serializers.IntegerField(required=False, min_value=1)

    def validate(self, data):
        if fault := gtts.fault(self.instance, data):
            raise AppError("GTT_NOT_POSSIBLE", fault, extra={"field": "gtt"})
        return data

    def to_representation(self, instance) -> dict[str, object]:
        return OrderSerializer(instance).data


class ModifySerializer(StrictMixin, serializers.Serializer):
    """Other values of a live order; absent ones stay. `quantity` is the whole, what is filled included."""

    quantity = Number(required=False, min_value=Decimal("0.00000001"))
    price = Number(required=False, min_value=Decimal("0.00000001"))
    trigger_price = Number(required=False, min_value=Decimal("0.00000001"))
    version = serializers.IntegerField(required=False, min_value=1)


class RequeueSerializer(StrictMixin, serializers.Serializer):
    version = serializers.IntegerField(required=False, min_value=1)


class ExecuteSerializer(StrictMixin, serializers.Serializer):
    version = serializers.IntegerField(required=False, min_value=1)
    quantity = Number(required=False)


class MapSerializer(StrictMixin, serializers.Serializer):
    instrument = serializers.CharField(max_length=80)
    scope = serializers.ChoiceField(choices=OverrideScope.choices, default=OverrideScope.STRATEGY)


class InstrumentSerializer(serializers.ModelSerializer):
    symbol = serializers.CharField(source="key", read_only=True)
    tick = Number(read_only=True)
    lot = Number(read_only=True)
    freeze = Number(read_only=True)
    multiplier = Number(read_only=True)
    strike = Number(read_only=True)

    class Meta:
        model = Instrument
        fields = ("id", "symbol", "exchange", "tradingsymbol", "name", "kind", "expiry", "strike", "tick", "lot", "freeze", "multiplier", "as_of")
        read_only_fields = fields


class StatusSerializer(StrictMixin, serializers.Serializer):
    status = serializers.ChoiceField(choices=[("CANCELLED", "CANCELLED"), ("WAITING", "WAITING")])


class EventSerializer(serializers.ModelSerializer):
    class Meta:
        model = OrderEvent
        fields = ("id", "seq", "at", "kind", "from_status", "to_status", "code", "text", "actor", "correlation_id", "data")


class FillSerializer(serializers.ModelSerializer):
    quantity = Number(read_only=True)
    price = Number(read_only=True)

    class Meta:
        model = Fill
        fields = ("id", "trade_id", "side", "quantity", "price", "at", "trading_day", "exchange", "product", "simulated")


class AlertSerializer(serializers.ModelSerializer):
    strategy = serializers.SerializerMethodField()
    order_ids = serializers.SerializerMethodField()

    class Meta:
        model = Alert
        fields = (
            "id", "received_at", "strategy_id", "strategy", "strategy_ref", "dialect", "symbol", "outcome", "code", "message", "duplicate_count",
            "last_duplicate_at", "source", "endpoint", "correlation_id", "order_ids", "body",
        )  # fmt: skip

    def get_strategy(self, alert) -> str | None:
        return alert.strategy.name if alert.strategy_id else None

    def get_order_ids(self, alert) -> list[int]:
        return [order.pk for order in alert.orders.all()]


class StrategySerializer(StrictMixin, serializers.ModelSerializer):
    account_id = serializers.PrimaryKeyRelatedField(source="account", queryset=BrokerAccount.objects.none())
    environment = serializers.CharField(source="account.environment", read_only=True)
    sizing_value = Number(required=False, allow_null=True, min_value=Decimal("0.00000001"))
    capital = Number(required=False, allow_null=True, min_value=Decimal(1))
    max_slippage_pct = Number(required=False, allow_null=True, decimal_places=3, min_value=Decimal("0.001"), max_value=20)
    has_secret = serializers.SerializerMethodField()

    class Meta:
        model = Strategy
        fields = (
            "id", "name", "description", "enabled", "mode", "dry_run", "account_id", "environment", "symbol", "timeframe", "default_exchange",
            "default_product", "product_from_signal", "default_order_type", "sizing", "sizing_value", "capital", "hours_from", "hours_to",
            "max_age_s", "dedupe_scope", "on_drift", "use_target", "after_hours", "max_slippage_pct", "refusal", "has_secret", "secret_made_at",
            "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = ("id", "environment", "refusal", "has_secret", "secret_made_at", "created_at", "updated_at")
        extra_kwargs = {"name": {"validators": [one_line]}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        request = self.context.get("request")
        if request is not None:
            self.fields["account_id"].queryset = BrokerAccount.objects.for_user(request.user)
        if self.instance is None:
            self.fields["account_id"].required = False

    def get_has_secret(self, strategy) -> bool:
        return bool(strategy.secret_digest)

    def validate(self, data):
        method = data.get("sizing", getattr(self.instance, "sizing", "FROM_SIGNAL"))
        value = data.get("sizing_value", getattr(self.instance, "sizing_value", None))
        if method != "FROM_SIGNAL" and value is None:
            raise serializers.ValidationError({"sizing_value": "Say how much: this sizing needs a number."})
        owner = self.instance.owner if self.instance is not None else self.context["request"].user
        account = data.get("account")
        if account is not None and account.owner_id != owner.pk:
            raise serializers.ValidationError({"account_id": "This account belongs to somebody else."})
        return data


class RiskSettingsSerializer(StrictMixin, serializers.ModelSerializer):
    """The limits of one scope; every parameter of the model is a field of its own name."""

    serializer_field_mapping = {**serializers.ModelSerializer.serializer_field_mapping, Price: Number}

    scope = serializers.ChoiceField(choices=Scope.choices)
    clamp_mode = serializers.ChoiceField(choices=ClampMode.choices, required=False)
    account_id = serializers.PrimaryKeyRelatedField(source="account", queryset=BrokerAccount.objects.none(), required=False, allow_null=True)
    strategy_id = serializers.PrimaryKeyRelatedField(queryset=Strategy.objects.none(), required=False, allow_null=True, write_only=True)
    no_trade_windows = serializers.ListField(child=serializers.CharField(max_length=20), required=False)
    entry_cutoff = serializers.DictField(child=serializers.CharField(max_length=5), required=False)
    square_off_time = serializers.DictField(child=serializers.CharField(max_length=5), required=False)
    symbol_allow_list = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    symbol_deny_list = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    unlimited = serializers.ListField(child=serializers.ChoiceField(choices=[(n, n) for n in RiskSettings.RAILS]), required=False)

    class Meta:
        model = RiskSettings
        fields = ("id", "scope", "account_id", "strategy_id", "clamp_mode", *RiskSettings.PARAMETERS, "unlimited", "version", "updated_at")
        read_only_fields = ("id", "version", "updated_at")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        request = self.context.get("request")
        if request is not None:
            self.fields["account_id"].queryset = BrokerAccount.objects.for_user(request.user)
            self.fields["strategy_id"].queryset = Strategy.objects.for_user(request.user).standing()

    def to_representation(self, row) -> dict[str, object]:
        data = super().to_representation(row)
        strategy = getattr(row, "strategy", None)
        return {**data, "strategy_id": strategy.pk if strategy else None}

    def validate(self, data):
        data |= RiskSettings.cleaned(data)
        if self.instance is None:
            self._check_target(data)
        else:
            self._check_same_target(data)
        return data

    def _check_target(self, data) -> None:
        scope, account, strategy = data["scope"], data.get("account"), data.get("strategy_id")
        if scope == Scope.GLOBAL:
            raise AppError("GLOBAL_EXISTS", "There is one GLOBAL row already; change that one.", status=409)
        if (scope == Scope.ACCOUNT) != bool(account) or (scope == Scope.STRATEGY) != bool(strategy):
            raise serializers.ValidationError({"scope": "ACCOUNT needs account_id, STRATEGY needs strategy_id, and only that one."})
        taken = RiskSettings.objects.filter(Q(account=account) if account else Q(strategy=strategy)).exists()
        if taken:
            raise AppError("LIMITS_EXIST", "There are limits for this target already; change those.", status=409)

    def _check_same_target(self, data) -> None:
        strategy = data.pop("strategy_id", None)
        for name, now, given in (
            ("scope", self.instance.scope, data.pop("scope", self.instance.scope)),
            ("account_id", self.instance.account, data.pop("account", self.instance.account)),
            ("strategy_id", getattr(self.instance, "strategy", None), strategy or getattr(self.instance, "strategy", None)),
        ):
            if now != given:
                raise serializers.ValidationError({name: "What limits belong to cannot be changed; make new ones."})


class LoginSerializer(StrictMixin, serializers.Serializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False, write_only=True)


class KillSerializer(StrictMixin, serializers.Serializer):
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    scope = serializers.ChoiceField(choices=Scope.choices, default="GLOBAL")
    account_id = serializers.IntegerField(required=False, allow_null=True, default=None)
    strategy_id = serializers.IntegerField(required=False, allow_null=True, default=None)
    cancel_open = serializers.BooleanField(default=True)


class ReleaseSerializer(KillSerializer):
    """`code` names one automatic stop of the scope; without it everything that stops the scope is released."""

    code = serializers.CharField(max_length=40, required=False, default="")
    password = serializers.CharField(max_length=256, required=False, default="", trim_whitespace=False)
    otp = serializers.CharField(max_length=16, required=False, default="")
