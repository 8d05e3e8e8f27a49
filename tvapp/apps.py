from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class TvappConfig(AppConfig):
    """The roof: desk settings and people. Checks are registered when it is ready."""

    name = "tvapp"
    verbose_name = "Desk"

    def ready(self) -> None:
        from tvapp import checks  # noqa: F401


class DeskAdminConfig(AdminConfig):
    default_site = "tvapp.admin_site.DeskAdminSite"
