"""The pages and what is done on them. The API is in api_urls.py."""

from django.urls import path

from trading.web import actions, views

app_name = "desk"
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("queue", views.queue_page, name="queue"),
    path("queue/selected", actions.bulk, name="bulk"),
    path("orders", views.orders_page, name="orders"),
    path("orders/<int:pk>", views.order_page, name="order"),
    path("orders/<int:pk>/execute", actions.execute, name="execute"),
    path("orders/<int:pk>/cancel", actions.cancel, name="cancel"),
    path("orders/<int:pk>/edit", actions.edit, name="edit"),
    path("orders/<int:pk>/preview", actions.preview, name="preview"),
    path("orders/<int:pk>/row", actions.row, name="row"),
    path("orders/<int:pk>/back", actions.back_to_queue, name="back"),
    path("orders/<int:pk>/resubmit", actions.resubmit, name="resubmit"),
    path("alerts", views.alerts_page, name="alerts"),
    path("alerts/<int:pk>", views.alert_page, name="alert"),
    path("strategies/<int:pk>/acknowledge", actions.acknowledge, name="acknowledge"),
    path("kill", actions.kill, name="kill"),
    path("release", actions.release, name="release"),
]
