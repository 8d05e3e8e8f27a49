"""What happened to the desk itself, in words an operator understands."""

from django.db import models

from tvapp.lib import clock
from tvapp.owned import OwnedQuerySet, enum_check, may_see_all


class Level(models.TextChoices):
    INFO = "INFO", "Information"
    WARNING = "WARNING", "Warning"
    ERROR = "ERROR", "Needs attention"


class SystemEventQuerySet(OwnedQuerySet):
    def for_user(self, user):
        """Own events, and for everybody those of the desk itself."""
        if not user.is_authenticated:
            return self.none()
        return self if may_see_all(user) else self.filter(models.Q(owner=user) | models.Q(owner=None))


class SystemEvent(models.Model):
    owner = models.ForeignKey("auth.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now, db_index=True)
    level = models.CharField(max_length=8, choices=Level, default=Level.INFO)
    category = models.CharField(max_length=16, help_text="alert, order, risk, broker, worker, security.")
    code = models.CharField(max_length=40)
    message = models.TextField()
    correlation_id = models.CharField(max_length=32, blank=True, db_index=True)
    order = models.ForeignKey("trading.Order", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    alert = models.ForeignKey("trading.Alert", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    data = models.JSONField(default=dict)
    objects = SystemEventQuerySet.as_manager()

    class Meta:
        constraints = [enum_check("level", Level, "sysevent_level_known")]

    def __str__(self) -> str:
        return self.code
