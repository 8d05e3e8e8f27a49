"""The limits page of the risk room, with the one thing that room cannot do: leave an event for each change, with old and new."""

from decimal import Decimal

from django.contrib import admin

from risk.admin import RiskSettingsAdmin
from risk.models import RiskSettings
from trading.models import Level
from trading.services import sysevents
from tvapp.lib.money import plain

admin.site.unregister(RiskSettings)


@admin.register(RiskSettings)
class RecordedLimitsAdmin(RiskSettingsAdmin):
    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        data = {name: [_show(form.initial.get(name)), _show(getattr(obj, name))] for name in form.changed_data}
        text = f"{request.user.get_username()} {'changed' if change else 'made'} {obj}."
        sysevents.record("risk", "LIMITS_CHANGED" if change else "LIMITS_MADE", text, level=Level.WARNING, owner=obj.owner, data=data)

    def delete_model(self, request, obj):
        text = f"{request.user.get_username()} deleted {obj}."
        sysevents.record("risk", "LIMITS_DELETED", text, level=Level.WARNING, owner=obj.owner, data={"id": obj.pk})
        super().delete_model(request, obj)

    def delete_queryset(self, request, queryset):
        for row in queryset:
            self.delete_model(request, row)


def _show(value: object) -> str:
    return plain(value) or "" if isinstance(value, Decimal) else str(value)
