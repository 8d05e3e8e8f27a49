"""The pages and what is done on them. The API is in api_urls.py."""

from django.urls import path

from trading.web import actions, books_pages, brokers_pages, mapping, risk_pages, squareoff, tryout, views

app_name = "desk"
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("queue", views.queue_page, name="queue"),
    path("queue/selected", actions.bulk, name="bulk"),
    path("orders", views.orders_page, name="orders"),
    path("orders/<int:pk>", views.order_page, name="order"),
    path("orders/<int:pk>/execute", actions.execute, name="execute"),
    path("orders/<int:pk>/cancel", actions.cancel, name="cancel"),
    path("orders/<int:pk>/cancel-slices", actions.cancel_slices, name="cancel-slices"),
    path("orders/<int:pk>/edit", actions.edit, name="edit"),
    path("orders/<int:pk>/modify", actions.modify, name="modify"),
    path("orders/<int:pk>/preview", actions.preview, name="preview"),
    path("orders/<int:pk>/row", actions.row, name="row"),
    path("gtts/<int:pk>/delete", actions.delete_gtt, name="delete-gtt"),
    path("orders/<int:pk>/back", actions.back_to_queue, name="back"),
    path("orders/<int:pk>/resubmit", actions.resubmit, name="resubmit"),
    path("orders/<int:pk>/map", mapping.map_symbol, name="map"),
    path("orders/<int:pk>/close", books_pages.close, name="close"),
    path("orders/<int:pk>/settle", books_pages.settle, name="settle"),
    path("positions", books_pages.positions_page, name="positions"),
    path("positions/drifts/<int:pk>/adopt", books_pages.adopt, name="adopt"),
    path("holdings", books_pages.holdings_page, name="holdings"),
    path("sync", books_pages.sync_now, name="sync"),
    path("alerts", views.alerts_page, name="alerts"),
    path("alerts/try", tryout.try_page, name="try"),
    path("alerts/<int:pk>", views.alert_page, name="alert"),
    path("strategies/<int:pk>/acknowledge", actions.acknowledge, name="acknowledge"),
    path("brokers", brokers_pages.brokers_page, name="brokers"),
    path("brokers/add", brokers_pages.add, name="account-add"),
    path("brokers/chips", brokers_pages.chips, name="chips"),
    path("brokers/zerodha/callback", brokers_pages.callback, name="callback"),
    path("brokers/accounts/<int:pk>", brokers_pages.account_part, name="account"),
    path("brokers/accounts/<int:pk>/connect", brokers_pages.begin, name="connect"),
    path("brokers/accounts/<int:pk>/token", brokers_pages.token, name="connect-token"),
    path("brokers/accounts/<int:pk>/disconnect", brokers_pages.disconnect, name="disconnect"),
    path("risk", risk_pages.risk_page, name="risk"),
    path("help/risk", risk_pages.help_page, name="help-risk"),
    path("square-off", squareoff.square_off_page, name="square-off"),
    path("kill", actions.kill, name="kill"),
    path("release", actions.release, name="release"),
    path("paper-only", actions.paper_only, name="paper-only"),
]
