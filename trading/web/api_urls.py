"""Routes of the API and the webhook, each with and without the trailing slash: Django cannot redirect a POST."""

from csp.decorators import csp_update
from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from trading.web import api, books_api, brokers_api, gtt_api, live_api, risk_api, squareoff
from trading.web.postback import PostbackView
from trading.web.webhook import WebhookView

ROUTES = [
    ("health", api.Health),
    ("api/health", api.Health),
    ("api/auth/login", api.Login),
    ("api/auth/logout", api.Logout),
    ("api/auth/me", api.Me),
    ("api/orders", api.OrderList),
    ("api/orders/queue", api.QueueList),
    ("api/orders/<int:pk>", api.OrderDetail),
    ("api/orders/<int:pk>/events", api.OrderEvents),
    ("api/orders/<int:pk>/execute", api.OrderExecute),
    ("api/orders/<int:pk>/cancel", api.OrderCancel),
    ("api/orders/<int:pk>/modify", api.OrderModify),
    ("api/orders/<int:pk>/status", api.OrderStatusChange),
    ("api/orders/<int:pk>/requeue", api.OrderRequeue),
    ("api/orders/<int:pk>/resubmit", api.OrderResubmit),
    ("api/orders/<int:pk>/map", api.OrderMap),
    ("api/orders/<int:pk>/resolve", books_api.OrderResolve),
    ("api/orders/<int:pk>/close", books_api.OrderClose),
    ("api/positions", books_api.Positions),
    ("api/positions/drifts", books_api.Differences),
    ("api/positions/drifts/<int:pk>/adopt", books_api.Adopt),
    ("api/holdings", books_api.Holdings),
    ("api/trades", books_api.Trades),
    ("api/brokers/accounts/<int:pk>/sync", books_api.AccountSync),
    ("api/instruments", api.InstrumentSearch),
    ("api/alerts", api.AlertList),
    ("api/alerts/dry-run", api.AlertDryRun),
    ("api/alerts/<int:pk>", api.AlertDetail),
    ("api/gtts", gtt_api.GttList),
    ("api/gtts/<int:pk>", gtt_api.GttDetail),
    ("api/strategies", api.StrategyList),
    ("api/strategies/<int:pk>", api.StrategyDetail),
    ("api/strategies/<int:pk>/toggle", api.StrategyToggle),
    ("api/strategies/<int:pk>/deploy", api.StrategyDeploy),
    ("api/strategies/<int:pk>/acknowledge", api.StrategyAcknowledge),
    ("api/strategies/<int:pk>/arm", live_api.StrategyArm),
    ("api/strategies/<int:pk>/disarm", live_api.StrategyDisarm),
    ("api/risk-settings", api.RiskSettingsList),
    ("api/risk-settings/<int:pk>", api.RiskSettingsDetail),
    ("api/risk/status", risk_api.RiskStatus),
    ("api/risk/what-if", risk_api.WhatIf),
    ("api/risk/kill", api.Kill),
    ("api/risk/release", api.Release),
    ("api/risk/paper-only", live_api.PaperOnly),
    ("api/risk/square-off", squareoff.SquareOffs),
    ("api/risk/square-offs/<int:pk>", squareoff.SquareOffDetail),
    ("api/brokers/accounts", brokers_api.AccountList),
    ("api/brokers/accounts/<int:pk>", brokers_api.AccountDetail),
    ("api/zerodha/login-url", brokers_api.LoginUrl),
    ("api/zerodha/connect", brokers_api.Connect),
    ("api/zerodha/disconnect", brokers_api.Disconnect),
    ("api/zerodha/status", brokers_api.Status),
    ("api/schema", SpectacularAPIView),
    ("webhook", WebhookView),
    ("webhook/tradingview", WebhookView),
    ("api/webhook/tradingview", WebhookView),
    ("webhook/tv/<str:token>", WebhookView),
    ("postback/zerodha/<str:token>", PostbackView),
]


def _name(route: str) -> str:
    return "api-" + "-".join(p for p in route.replace("<int:pk>", "one").replace("<str:token>", "token").split("/") if p)


# Its script comes by a request of its own, because no page here runs inline ones; the package's page has an inline style.
docs = csp_update({"style-src": ["'unsafe-inline'"]})(SpectacularSwaggerSplitView.as_view(url_name="api-api-schema"))

urlpatterns = [
    *[path(route + slash, view.as_view(), name=_name(route)) for route, view in ROUTES for slash in ("", "/")],
    path("api/docs", docs, name="api-docs"),
    path("api/docs/", docs),
    re_path(r"^(?:api|webhook)/.*$", api.NothingHere.as_view()),
]
