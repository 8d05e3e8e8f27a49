"""Ownership in one place: every read of a person's rows goes through `for_user`, so that one test guards it."""

from django.conf import settings
from django.db import models


def may_see_all(user) -> bool:
    """Admins see every row, on purpose."""
    return bool(user.is_active and user.is_superuser)


class OwnedQuerySet(models.QuerySet):
    def for_user(self, user):
        """The rows this person may see: their own, all of them for an admin, none for a stranger."""
        if not user.is_authenticated:
            return self.none()
        return self if may_see_all(user) else self.filter(owner=user)


class OwnedModel(models.Model):
    """A row that belongs to a person."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", help_text="Whose row this is.")
    objects = OwnedQuerySet.as_manager()

    class Meta:
        abstract = True


def enum_check(field: str, choices: type[models.TextChoices], name: str) -> models.CheckConstraint:
    """A CHECK that holds an enum column to its names, whoever writes it."""
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": choices.values}), name=name)
