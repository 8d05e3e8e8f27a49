"""Pages of figures, and chart data as JSON, which the pages fetch when a chart is opened."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from analytics import charts, latency
from trading.selectors import orders, queue
from trading.web.forms import LatencyFilter
from tvapp.lib import clock


@require_safe
def latency_page(request: HttpRequest) -> HttpResponse:
    form = LatencyFilter(request.GET, user=request.user)
    found = latency.of(request.user, form.values())
    return render(request, "analytics/latency.html", {"form": form, "filtered": form.active(), "found": found, "most": latency.MOST})


@require_safe
def orders_today(request: HttpRequest) -> JsonResponse:
    return JsonResponse(charts.orders_by_state(orders.today(request.user, clock.now())))


@require_safe
def waiting(request: HttpRequest) -> JsonResponse:
    """Everything that waits, unfiltered: the chart is where the filter comes from."""
    now = clock.now()
    rows = queue.waiting(request.user, {}, now)[: queue.LIMIT]
    return JsonResponse(charts.waiting_value(queue.heaps(rows, now)))
