"""Closed lists of filters for the API: what is not named here is refused, and an unknown value is refused too."""

import django_filters as filters

from trading.domain.orderfsm import State
from trading.models import Alert, Mode, Order, Outcome, Side, Source, Strategy
from trading.selectors import orders
from trading.web.forms import DAYS
from tvapp.lib.errors import AppError


class _Filters(filters.FilterSet):
    PAGING = ("before", "limit", "format")

    def checked(self):
        """The filtered rows. Raises AppError for a name or value that is not on the list."""
        for name in self.data:
            if name not in self.filters and name not in self.PAGING:
                raise AppError("UNKNOWN_FILTER", f"There is no filter {name}.", extra={"field": name, "known": sorted(self.filters)})
        if not self.form.is_valid():
            field, texts = next(iter(self.form.errors.items()))
            raise AppError("INVALID_VALUE", f"{field}: {texts[0]}", extra={"field": field})
        return self.qs


def _yes_or_no() -> filters.Filter:
    """The stock filter takes any other word for "not asked"."""
    yes, no = ("true", "True", "1"), ("false", "False", "0")
    return filters.TypedChoiceFilter(choices=[(word, word) for word in yes + no], coerce=lambda word: word in yes)


def _is_id(value: str) -> bool:
    return value.isdecimal() and len(value) < 19


def _by(field: str):
    """A strategy or account by its id or its name."""
    return lambda rows, name, value: rows.filter(**({f"{field}_id": int(value)} if _is_id(value) else {f"{field}__name": value}))


class OrderFilters(_Filters):
    status = filters.MultipleChoiceFilter(choices=[(s.value, s.value) for s in State])
    strategy = filters.CharFilter(method=_by("strategy"))
    account = filters.CharFilter(method=_by("account"))
    symbol = filters.CharFilter(method=lambda rows, name, value: orders.of_symbol(rows, value))
    side = filters.ChoiceFilter(choices=Side.choices)
    mode = filters.ChoiceFilter(choices=Mode.choices)
    simulated = _yes_or_no()
    gtt = _yes_or_no()
    source = filters.ChoiceFilter(choices=Source.choices)
    q = filters.CharFilter(method=lambda rows, name, value: rows.filter(orders.search(value.strip())))

    class Meta:
        model = Order
        fields: list[str] = []


def _date_filters(field: str) -> dict[str, filters.DateFilter]:
    """`from` and `to`: IST dates, both included."""
    return {
        "from": filters.DateFilter(validators=DAYS, method=lambda rows, name, day: orders.days(rows, field, day, None)),
        "to": filters.DateFilter(validators=DAYS, method=lambda rows, name, day: orders.days(rows, field, None, day)),
    }


for _name, _filter in _date_filters("created_at").items():  # `from` is a Python keyword and cannot stand in the class
    OrderFilters.base_filters[_name] = _filter


class AlertFilters(_Filters):
    outcome = filters.ChoiceFilter(choices=Outcome.choices)
    strategy = filters.CharFilter(method=_by("strategy"))
    symbol = filters.CharFilter(lookup_expr="iendswith")

    class Meta:
        model = Alert
        fields: list[str] = []


for _name, _filter in _date_filters("received_at").items():
    AlertFilters.base_filters[_name] = _filter


class StrategyFilters(_Filters):
    q = filters.CharFilter(field_name="name", lookup_expr="icontains")
    enabled = _yes_or_no()
    mode = filters.ChoiceFilter(choices=Mode.choices)

    class Meta:
        model = Strategy
        fields: list[str] = []
