"""Pages of figures, their API, and the data behind the charts."""

from django.urls import path

from analytics import api, views

app_name = "charts"
urlpatterns = [
    path("latency", views.latency_page, name="latency"),
    path("charts/orders-today", views.orders_today, name="orders-today"),
    path("charts/waiting", views.waiting, name="waiting"),
    *[path(f"api/analytics/latency{slash}", api.Latency.as_view(), name="api-latency") for slash in ("", "/")],
]
