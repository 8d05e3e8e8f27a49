from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class TvappConfig(AppConfig):
    """The roof: desk settings and people. Checks are registered and the roles' permissions kept up to date when it is ready."""

    name = "tvapp"
    verbose_name = "Desk"

    def ready(self) -> None:
        from tvapp import checks  # noqa: F401
        from tvapp.people import roles

        post_migrate.connect(roles.after_migrate, dispatch_uid="tvapp.roles")


class DeskAdminConfig(AdminConfig):
    default_site = "tvapp.admin_site.DeskAdminSite"
