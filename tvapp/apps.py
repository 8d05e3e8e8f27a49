from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate


def take_your_time(using: str, **kwargs: object) -> None:
    """A migration may take longer than any statement of the desk (PostgreSQL): its connection is the command's own."""
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")


class TvappConfig(AppConfig):
    """The roof: desk settings and people. Checks are registered and the roles' permissions kept up to date when it is ready."""

    name = "tvapp"
    verbose_name = "Desk"

    def ready(self) -> None:
        from tvapp import boundaries, checks  # noqa: F401
        from tvapp.people import roles

        pre_migrate.connect(take_your_time, sender=self, dispatch_uid="tvapp.time")
        post_migrate.connect(roles.after_migrate, dispatch_uid="tvapp.roles")
        boundaries.install()


class DeskAdminConfig(SimpleAdminConfig):
    """The site finds its pages itself (`DeskAdminSite`): workers never show one, and start a third sooner without them."""

    default_site = "tvapp.admin_site.DeskAdminSite"
