"""The admin in the product's words. Everybody with a role may enter; rows and permissions decide what they find."""

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.module_loading import autodiscover_modules

GROUPS = {"auth": "People", "django_q": "Queue, to look at"}


class DeskAdminSite(AdminSite):
    site_header = "tvapp settings"
    site_title = "tvapp settings"
    index_title = "Settings"
    site_url = "/"
    enable_nav_sidebar = True

    def get_urls(self) -> list[object]:
        self._find_pages()
        return super().get_urls()

    def check(self, app_configs: object) -> list[object]:
        self._find_pages()
        return super().check(app_configs)

    def _find_pages(self) -> None:
        autodiscover_modules("admin", register_to=self)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, object]]:
        groups = super().get_app_list(request, app_label)
        return [{**group, "name": GROUPS.get(group["app_label"], group["name"])} for group in groups]

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """There is one sign-in page, so that one limit on attempts guards it."""
        index = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(index)
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME, index), settings.LOGIN_URL)
