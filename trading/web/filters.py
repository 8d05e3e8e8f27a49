"""Closed lists of filters for the API: what is not named here is refused, and an unknown value is refused too."""

import django_filters as filters
from django.db.models import Q

from trading.domain.orderfsm import State
from trading.models import Alert, Mode, Order, Outcome, Side, Strategy
from tvapp.lib import clock
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


def _day(rows, name: str, day, *, end: bool = False):
    """Dates are IST and inclusive."""
    bound = clock.day_start(day) if not end else clock.day_start(day + (day.resolution))
    return rows.filter(**{f"{name}__lt" if end else f"{name}__gte": bound})


class OrderFilters(_Filters):
    status = filters.MultipleChoiceFilter(choices=[(s.value, s.value) for s in State])
    strategy = filters.CharFilter(method="by_strategy")
    account = filters.CharFilter(method="by_account")
    symbol = filters.CharFilter(method="by_symbol")
    side = filters.ChoiceFilter(choices=Side.choices)
    mode = filters.ChoiceFilter(choices=Mode.choices)
    simulated = filters.BooleanFilter()
    q = filters.CharFilter(method="by_text")

    class Meta:
        model = Order
        fields: list[str] = []

    def by_strategy(self, rows, name, value):
        return rows.filter(strategy_id=int(value)) if value.isdecimal() and len(value) < 19 else rows.filter(strategy__name=value)

    def by_account(self, rows, name, value):
        return rows.filter(account_id=int(value)) if value.isdecimal() and len(value) < 19 else rows.filter(account__name=value)

    def by_symbol(self, rows, name, value):
        exchange, _, symbol = value.upper().rpartition(":")
        return rows.filter(tradingsymbol=symbol, **({"exchange": exchange} if exchange else {}))

    def by_text(self, rows, name, value):
        text = value.strip()
        return rows.filter(Q(tradingsymbol__istartswith=text) | Q(strategy__name__istartswith=text) | Q(tag=text) | Q(correlation_id=text))


def _date_filters(field: str) -> dict[str, filters.DateFilter]:
    return {
        "from": filters.DateFilter(method=lambda rows, name, day: _day(rows, field, day)),
        "to": filters.DateFilter(method=lambda rows, name, day: _day(rows, field, day, end=True)),
    }


for _name, _filter in _date_filters("created_at").items():  # `from` is a Python keyword and cannot stand in the class
    OrderFilters.base_filters[_name] = _filter


class AlertFilters(_Filters):
    outcome = filters.ChoiceFilter(choices=Outcome.choices)
    strategy = filters.CharFilter(method="by_strategy")
    symbol = filters.CharFilter(lookup_expr="iendswith")

    class Meta:
        model = Alert
        fields: list[str] = []

    def by_strategy(self, rows, name, value):
        return rows.filter(strategy_id=int(value)) if value.isdecimal() and len(value) < 19 else rows.filter(strategy__name=value)


for _name, _filter in _date_filters("received_at").items():
    AlertFilters.base_filters[_name] = _filter


class StrategyFilters(_Filters):
    q = filters.CharFilter(field_name="name", lookup_expr="icontains")
    enabled = filters.BooleanFilter()
    mode = filters.ChoiceFilter(choices=Mode.choices)

    class Meta:
        model = Strategy
        fields: list[str] = []
