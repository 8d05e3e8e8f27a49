from django.contrib import admin

from trading.models import Alert, Signal
from tvapp.admin_base import OwnRelatedFilter, ReadOnlyAdmin, ReadOnlyInline


class SignalInline(ReadOnlyInline):
    model = Signal
    fields = ["leg_no", "action", "symbol", "fired_at", "dedupe_key"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Every body that came with a right secret; the secret was cut out before it was written."""

    list_display = ["id", "received_at", "strategy", "symbol", "dialect", "outcome", "code", "duplicate_count"]
    list_filter = ["outcome", ("strategy", OwnRelatedFilter)]
    list_select_related = ["strategy", "owner"]
    search_fields = ["correlation_id__exact", "symbol__startswith"]
    search_help_text = "Correlation id, or beginning of the symbol."
    inlines = [SignalInline]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("body")


@admin.register(Signal)
class SignalAdmin(ReadOnlyAdmin):
    list_display = ["id", "received_at", "alert", "leg_no", "action", "symbol", "fired_at"]
    list_filter = ["action"]
    list_select_related = ["alert", "owner"]
    search_fields = ["dedupe_key__exact", "symbol__startswith"]
    search_help_text = "Dedupe key, or beginning of the symbol."
