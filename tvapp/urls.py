"""All routes of the desk: pages, chart data, API, webhook, admin, sign-in."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from tvapp.people.signin import DeskLogin

urlpatterns = [
    path("", include("trading.web.urls")),
    path("", include("analytics.urls")),
    path("", include("trading.web.api_urls")),
    path("admin/", admin.site.urls),
    path("login/", DeskLogin.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("favicon.ico", RedirectView.as_view(url="/static/favicon.svg"), name="favicon"),
]

handler400 = "tvapp.errors.bad_request"
handler403 = "tvapp.errors.forbidden"
handler404 = "tvapp.errors.not_found"
handler500 = "tvapp.errors.server_error"
