"""The limits page of the risk room, with the one thing that room cannot do: leave an event for each change, with old and new."""

from decimal import Decimal
from functools import partial

from django.conf import settings
from django.contrib import admin
from django.urls import path

from risk.admin import RiskSettingsAdmin
from risk.models import RiskSettings
from trading.admin.effect import effect_view
from trading.models import Level
from trading.services import limits, sysevents
from tvapp.lib.money import plain

admin.site.unregister(RiskSettings)


@admin.register(RiskSettings)
class RecordedLimitsAdmin(RiskSettingsAdmin):
    change_form_template = "admin/risk/risksettings/change_form.html"

    def get_urls(self):
        view = self.admin_site.admin_view(partial(effect_view, self))
        return [path("<int:object_id>/effect/", view, name="risk_risksettings_effect"), *super().get_urls()]

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        data = {name: [_show(form.initial.get(name)), _show(getattr(obj, name))] for name in form.changed_data if hasattr(obj, name)}
        text = f"{request.user.get_username()} {'changed' if change else 'made'} {obj}."
        sysevents.record("risk", "LIMITS_CHANGED" if change else "LIMITS_MADE", text, level=Level.WARNING, owner=obj.owner, data=data)
        if change:
            limits.after_loosening(obj, form.looser(), actor=request.user.get_username())

    def delete_model(self, request, obj):
        text = f"{request.user.get_username()} deleted {obj}."
        sysevents.record("risk", "LIMITS_DELETED", text, level=Level.WARNING, owner=obj.owner, data={"id": obj.pk})
        limits.after_loosening(obj, ["every limit"], actor=request.user.get_username())
        super().delete_model(request, obj)

    def has_delete_permission(self, request, obj=None):
        """Taking all limits away asks nobody for a password, so it is not done here where real money can move: empty them one by one."""
        return not settings.ALLOW_LIVE and super().has_delete_permission(request, obj)

    def delete_queryset(self, request, queryset):
        for row in queryset:
            self.delete_model(request, row)


def _show(value: object) -> str:
    return plain(value) or "" if isinstance(value, Decimal) else str(value)
