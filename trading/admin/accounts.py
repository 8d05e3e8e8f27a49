"""Accounts of each trader, with what an admin may do to a session without seeing anything of it."""

from django.contrib import admin, messages

from brokers.admin import BrokerAccountAdmin
from brokers.models import BrokerAccount, BrokerName
from trading.services import connect, limits
from tvapp.owned import may_see_all


@admin.register(BrokerAccount)
class AccountAdmin(BrokerAccountAdmin):
    actions = ["reset_token", "end_sessions"]

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        limits.for_live(obj)

    def get_actions(self, request):
        found = super().get_actions(request)
        return found if may_see_all(request.user) else {}

    @admin.action(description="Reset the broker token (erased here; the owner logs in again)", permissions=["change"])
    def reset_token(self, request, queryset):
        self._each(request, queryset, connect.reset, "Reset")

    @admin.action(description="End the sessions at the broker", permissions=["change"])
    def end_sessions(self, request, queryset):
        self._each(request, queryset, connect.disconnect, "Ended")

    def _each(self, request, queryset, act, word: str) -> None:
        rows = list(queryset.filter(broker=BrokerName.ZERODHA).select_related("owner"))
        for account in rows:
            act(account, actor=request.user.get_username())
        self.message_user(request, f"{word}: {len(rows)}.", messages.SUCCESS if rows else messages.WARNING)
