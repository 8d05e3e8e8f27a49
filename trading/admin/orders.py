from django.contrib import admin

from trading.models import Fill, Order, OrderAttempt, OrderEvent, SystemEvent
from trading.selectors.orders import search
from tvapp.admin_base import OwnRelatedFilter, ReadOnlyAdmin, ReadOnlyInline
from tvapp.owned import may_see_all


class EventInline(ReadOnlyInline):
    model = OrderEvent
    fields = ["seq", "at", "kind", "from_status", "to_status", "code", "text", "actor"]


class AttemptInline(ReadOnlyInline):
    model = OrderAttempt
    fields = ["kind", "no", "started_at", "finished_at", "outcome", "message", "payload", "answer"]


class FillInline(ReadOnlyInline):
    model = Fill
    fields = ["at", "trade_id", "side", "quantity", "price", "priced_by"]


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """An order is executed, edited and cancelled in the queue, where the risk check looks at it; never by writing its row."""

    list_display = ["id", "created_at", "strategy", "account", "side", "symbol", "quantity", "filled_quantity", "status", "status_reason", "mode"]
    list_filter = ["status", "mode", ("strategy", OwnRelatedFilter), ("account", OwnRelatedFilter)]
    list_select_related = ["strategy", "account", "owner"]
    search_fields = ["tag"]  # that there is a search; what it looks for stands below
    search_help_text = "Id, tag, broker's order id, correlation id, or beginning of the trading symbol."
    inlines = [EventInline, AttemptInline, FillInline]

    def get_search_results(self, request, queryset, search_term):
        """As on the orders page: one thing at a time, so that one index answers; four columns at once would read the whole history."""
        text = search_term.strip()
        return (queryset.filter(search(text)) if text else queryset), False


@admin.register(OrderEvent)
class OrderEventAdmin(ReadOnlyAdmin):
    owner_path = "order.owner"
    list_display = ["id", "at", "order", "seq", "kind", "from_status", "to_status", "code", "text", "actor"]
    list_select_related = ["order"]
    search_fields = ["correlation_id__exact", "order__tag__exact"]
    search_help_text = "Correlation id, or the order's tag."


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    list_display = ["id", "at", "order", "account", "side", "instrument", "quantity", "price", "trade_id"]
    list_filter = ["side", ("account", OwnRelatedFilter)]
    list_select_related = ["order", "account", "instrument", "owner"]
    search_fields = ["trade_id__exact", "order__tag__exact"]
    search_help_text = "Trade id, or the order's tag."


@admin.register(SystemEvent)
class SystemEventAdmin(ReadOnlyAdmin):
    """What happened to the desk itself: own events, and those that concern everybody."""

    list_display = ["id", "at", "level", "category", "code", "message"]
    list_filter = ["level"]
    list_select_related = ["owner"]
    search_fields = ["correlation_id__exact", "code__exact"]
    search_help_text = "Correlation id, or a code."

    def owns(self, request, obj) -> bool:
        return may_see_all(request.user) or obj.owner_id in (None, request.user.pk)
