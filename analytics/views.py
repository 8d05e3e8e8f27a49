"""Chart data as JSON; the pages fetch it when a chart is opened."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from analytics import charts
from trading.selectors import orders, queue
from tvapp.lib import clock


@require_safe
def orders_today(request: HttpRequest) -> JsonResponse:
    return JsonResponse(charts.orders_by_state(orders.today(request.user, clock.now())))


@require_safe
def waiting(request: HttpRequest) -> JsonResponse:
    """Everything that waits, unfiltered: the chart is where the filter comes from."""
    now = clock.now()
    rows = queue.waiting(request.user, {}, now)[: queue.LIMIT]
    return JsonResponse(charts.waiting_value(queue.heaps(rows, now)))
