"""What the pages take. Filters fall back to nothing when a value is not on the list; an edit says in words what is wrong with a field."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from brokers.models import BrokerAccount
from risk.models import LIMIT_MAX
from trading.domain.orderfsm import WORDS, State
from trading.domain.pricing import snap
from trading.models import Mode, Order, OrderType, Outcome, Product, Side, Source, Strategy
from trading.selectors import gtts
from trading.selectors.queue import AGES
from trading.templatetags.desk import exact, qty, typed_price
from trading.web.verdict import WORDS_OF_CHIPS
from tvapp.lib import clock
from tvapp.lib.money import on_step

SMALLEST = Decimal("0.00000001")
DAYS = (MinValueValidator(date(1900, 1, 1)), MaxValueValidator(date(9990, 12, 31)))  # the calendar's ends have no instant in UTC
VERDICTS = [("", "Any verdict"), *((kind, WORDS_OF_CHIPS[kind]) for kind in ("PASS", "CLAMP", "WARN", "REJECT", "DEFER"))]
SORTS = [("exits", "Exits first, then newest"), ("oldest", "Oldest first"), ("value", "Largest value first")]


def _select(choices: list[tuple[str, str]], label: str) -> forms.ChoiceField:
    return forms.ChoiceField(choices=choices, required=False, label=label, widget=forms.Select(attrs={"class": "sel", "aria-label": label}))


def _text(label: str, placeholder: str = "", **attrs: object) -> forms.CharField:
    widget = forms.TextInput(attrs={"class": "in", "aria-label": label, "placeholder": placeholder, **attrs})
    return forms.CharField(required=False, max_length=80, label=label, widget=widget)


def _date(label: str) -> forms.DateField:
    return forms.DateField(required=False, label=label, validators=DAYS, widget=forms.DateInput(attrs={"class": "in", "type": "date"}))


def _rows(label: str, empty: str, model) -> forms.ModelChoiceField:
    widget = forms.Select(attrs={"class": "sel", "aria-label": label})
    return forms.ModelChoiceField(model.objects.none(), required=False, label=label, empty_label=empty, widget=widget)


class AdoptForm(forms.Form):
    """What the person saw of a difference, and which strategy was closed where they had to choose."""

    ours = forms.DecimalField(max_digits=22, decimal_places=8)
    theirs = forms.DecimalField(max_digits=22, decimal_places=8)
    strategy_id = forms.IntegerField(required=False)


class FilterForm(forms.Form):
    """A GET form whose bad values count as not given: a filter must never be an error page."""

    def __init__(self, data, *, user):
        super().__init__(data)
        if "strategy" in self.fields:
            self.fields["strategy"].queryset = Strategy.objects.for_user(user).standing()
        if "account" in self.fields:
            self.fields["account"].queryset = BrokerAccount.objects.for_user(user)

    def values(self) -> dict[str, object]:
        """The usable values by field name, empty ones left out."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def active(self) -> bool:
        """Whether anything is filtered (a sort order hides nothing)."""
        return bool(self.values().keys() - {"sort"})


class QueueFilter(FilterForm):
    q = _text("Symbol or strategy", "Symbol or strategy", type="search")
    side = forms.ChoiceField(choices=[("", "All"), ("BUY", "Buy"), ("SELL", "Sell")], required=False)
    strategy = _rows("Strategy", "All strategies", Strategy)
    verdict = _select(VERDICTS, "Risk verdict")
    age = _select([("", "Any age"), *((key, words.capitalize()) for key, (words, _, _) in AGES.items())], "Age")
    sort = _select(SORTS, "Sort order")


class OrderFilter(FilterForm):
    q = _text("Order, tag, id or symbol", "Order, tag, id or symbol", type="search")
    status = _select([("", "Any state"), *((s.value, WORDS[s]) for s in State)], "State")
    strategy = _rows("Strategy", "All strategies", Strategy)
    account = _rows("Account", "All accounts", BrokerAccount)
    side = _select([("", "Both sides"), *Side.choices], "Side")
    source = _select([("", "Any origin"), *Source.choices], "Origin")
    gtt = _select([("", "With and without GTT"), ("1", "Only triggers (GTT)")], "GTT")
    mode = _select([("", "Any mode"), (Mode.MANUAL, "Manual"), (Mode.AUTO, "Automatic")], "Mode")
    symbol = _text("Symbol", "Symbol, like NSE:INFY")


class AlertFilter(FilterForm):
    outcome = _select([("", "Any outcome"), *Outcome.choices], "Outcome")
    strategy = _rows("Strategy", "All strategies", Strategy)
    symbol = _text("Symbol", "Symbol, like NSE:INFY")


class LatencyFilter(FilterForm):
    strategy = _rows("Strategy", "All strategies", Strategy)
    account = _rows("Account", "All accounts", BrokerAccount)
    live = _select([("", "Paper and live"), ("1", "Only live")], "Paper or live")


for _form in (OrderFilter, AlertFilter, LatencyFilter):  # `from` is a Python keyword and cannot stand in a class
    _form.base_fields |= {"from": _date("From"), "to": _date("To")}


class OrderEdit(forms.Form):
    """What a waiting order may change; a trigger (GTT) only where its broker keeps them. Which prices are needed follows from the type."""

    quantity = forms.DecimalField(min_value=SMALLEST, max_value=LIMIT_MAX, max_digits=22, decimal_places=8)
    order_type = forms.ChoiceField(choices=OrderType.choices)
    trigger_price = forms.DecimalField(required=False, min_value=SMALLEST, max_value=LIMIT_MAX, max_digits=22, decimal_places=8)
    price = forms.DecimalField(required=False, min_value=SMALLEST, max_value=LIMIT_MAX, max_digits=22, decimal_places=8)
    product = forms.ChoiceField(choices=Product.choices)
    gtt = forms.BooleanField(required=False)
    version = forms.IntegerField(required=False, min_value=1)

    def __init__(self, data=None, *, order: Order):
        super().__init__(data, initial=_initial(order))
        self.order = order
        if not gtts.offered(order):
            del self.fields["gtt"]
        for name, words in {"quantity": "quantity", "trigger_price": "trigger price", "price": "limit price"}.items():
            self.fields[name].error_messages |= {
                "required": f"Type the {words}.", "invalid": f"The {words} must be a number.", "min_value": f"The {words} must be above 0.",
            }  # fmt: skip

    def clean_quantity(self) -> Decimal:
        value = self.cleaned_data["quantity"]
        lot = self.order.instrument.lot if self.order.instrument_id else None
        if lot and not self.order.reduce_only and not on_step(value, lot):
            raise forms.ValidationError(f"Must be a multiple of the lot {qty(lot)}.")
        return value

    def clean(self) -> dict[str, object]:
        data = super().clean()
        kind = data.get("order_type")
        for name, kinds, words in (("price", ("LIMIT", "SL"), "limit price"), ("trigger_price", ("SL", "SL_M"), "trigger price")):
            if not kind:
                continue
            if kind not in kinds:
                data[name] = None
            elif data.get(name) is None and name not in self.errors:
                self.add_error(name, f"This type needs a {words}.")
        if kind and not self.errors:
            self._check_tick(data)
        if not self.errors and "gtt" in self.fields and (fault := gtts.fault(self.order, self.changes())):
            self.add_error("gtt", fault)
        return data

    def _check_tick(self, data: Mapping[str, object]) -> None:
        """A price off the tick is moved when it is stored; here only one that cannot be is refused."""
        tick = self.order.instrument.tick if self.order.instrument_id else None
        fault = snap(data["order_type"], self.order.side, data["price"], data["trigger_price"], tick).fault
        if fault:
            self.add_error("price" if data["price"] is not None else "trigger_price", fault)

    def changes(self) -> dict[str, object]:
        """The fields for `services.orders.edit`; valid forms only."""
        return {name: self.cleaned_data[name] for name in self.fields if name != "version"}


def _initial(order: Order) -> Mapping[str, object]:
    prices = {name: typed_price(getattr(order, name), order.instrument) for name in ("price", "trigger_price")}
    kept = {name: getattr(order, name) for name in ("order_type", "product", "gtt", "version")}
    return {**prices, **kept, "quantity": exact(order.quantity)}


class OrderModify(forms.Form):
    """Other values of an order that is live at its broker: only those its type has."""

    quantity = forms.DecimalField(min_value=SMALLEST, max_value=LIMIT_MAX, max_digits=22, decimal_places=8, label="Quantity")
    trigger_price = forms.DecimalField(min_value=SMALLEST, max_value=LIMIT_MAX, max_digits=22, decimal_places=8, label="Trigger")
    price = forms.DecimalField(min_value=SMALLEST, max_value=LIMIT_MAX, max_digits=22, decimal_places=8, label="Limit price")
    version = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput())

    def __init__(self, data=None, *, order: Order, names: tuple[str, ...]):
        super().__init__(data, initial=_initial(order))
        for name in [n for n in self.fields if n not in (*names, "version")]:
            del self.fields[name]
        for name in names:
            self.fields[name].widget = forms.TextInput(attrs={"class": "in num", "inputmode": "decimal", "autocomplete": "off"})

    def changes(self, order: Order) -> dict[str, Decimal]:
        """What was typed and is not the order's own value; valid forms only."""
        return {n: v for n, v in self.cleaned_data.items() if n != "version" and v is not None and v != getattr(order, n)}


class ShownForm(forms.Form):
    """What the person was shown when pressing Execute: the row's version and the quantity that would be sent."""

    version = forms.IntegerField(required=False, min_value=1)
    quantity = forms.DecimalField(required=False, min_value=SMALLEST, max_digits=22, decimal_places=8)


class KillForm(forms.Form):
    reason = forms.CharField(required=False, max_length=200, widget=forms.TextInput(attrs={"class": "in", "placeholder": "Kept with the switch"}))
    cancel_open = forms.BooleanField(required=False, initial=True)


def password_again() -> forms.CharField:
    """Asked for before a deed that puts money at risk; `tvapp.people.stepup` judges it."""
    widget = forms.PasswordInput(attrs={"class": "in", "autocomplete": "current-password", "placeholder": "Your password"})
    text = {"required": "Type your password again."}
    return forms.CharField(max_length=256, strip=False, label="Your password", widget=widget, error_messages=text)


class ReleaseForm(forms.Form):
    """`scope`: GLOBAL, or one of those that stand in the table of stopped scopes."""

    scope = forms.RegexField(r"^(GLOBAL|(ACCOUNT|STRATEGY):[0-9]{1,18})$", required=False, empty_value="GLOBAL", widget=forms.HiddenInput())
    reason = forms.CharField(
        max_length=200, error_messages={"required": "Say why trading may go on; the reason is kept."},
        widget=forms.TextInput(attrs={"class": "in", "placeholder": "Why may trading go on?"}),
    )  # fmt: skip
    code = forms.RegexField(r"^[A-Z_]{1,40}$", required=False, widget=forms.HiddenInput())
    # when the page was made, in seconds since 1970
    seen = forms.FloatField(required=False, min_value=0, max_value=1e11, initial=lambda: clock.now().timestamp(), widget=forms.HiddenInput())
    password = password_again()
