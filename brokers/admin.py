"""Accounts of each trader; instruments and typed prices, which belong to the desk."""

from django import forms
from django.contrib import admin

from brokers.models import BrokerAccount, Instrument, Quote, QuoteSource
from tvapp.admin_base import CappedPaginator, DeskAdmin, HistoryAdmin, OwnedAdmin, OwnedForm
from tvapp.lib import clock


class AccountForm(OwnedForm):
    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        if BrokerAccount.objects.filter(owner=self.instance.owner, name=name).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(f"There is already an account called {name}. Choose another name.")
        return name


@admin.register(BrokerAccount)
class BrokerAccountAdmin(HistoryAdmin, OwnedAdmin):
    """An account is never deleted, because its orders name it: switch it off."""

    form = AccountForm
    list_display = ["name", "broker", "environment", "enabled", "state", "capital"]
    list_filter = ["broker", "enabled"]
    list_select_related = ["owner"]
    search_fields = ["name__startswith"]
    readonly_fields = ["environment", "state", "created_at"]
    fieldsets = [
        (None, {"fields": ["name", "broker", "environment", "enabled", "state", "created_at"]}),
        ("How paper orders are filled", {"fields": ["capital", "slippage_bps", "liquidity", "participation_pct", "fill_on_touch"]}),
    ]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("credentials")

    def get_readonly_fields(self, request, obj=None):
        return self.readonly_fields if obj is None else [*self.readonly_fields, "broker"]

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(Instrument)
class InstrumentAdmin(DeskAdmin):
    """Shared by everybody, so only admins change it. An instrument that is gone is switched off, never deleted."""

    paginator = CappedPaginator
    list_display = ["key", "name", "kind", "tick", "lot", "expiry", "strike", "provisional", "active"]
    list_filter = ["exchange", "kind", "active", "provisional"]
    search_fields = ["tradingsymbol__startswith", "name__exact"]
    search_help_text = "Beginning of the trading symbol, or the root: NIFTY."
    ordering = ["exchange", "tradingsymbol"]
    sortable_by = []
    readonly_fields = ["provisional"]
    fieldsets = [
        (None, {"fields": ["exchange", "tradingsymbol", "name", "kind", "active"]}),
        ("Steps and limits of the exchange", {"fields": ["tick", "lot", "freeze", "multiplier"]}),
        ("Derivatives", {"fields": ["expiry", "strike"]}),
        ("Source", {"fields": ["provisional", "as_of"]}),
    ]

    def save_model(self, request, obj, form, change):
        obj.provisional = False  # a person has looked at it
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(Quote)
class QuoteAdmin(DeskAdmin):
    """The last price of an instrument. A price typed here counts as of now and may fill resting paper orders."""

    paginator = CappedPaginator
    list_display = ["instrument", "ltp", "bid", "ask", "source", "at"]
    list_select_related = ["instrument"]
    list_filter = ["source"]
    search_fields = ["instrument__tradingsymbol__startswith"]
    ordering = ["-id"]
    sortable_by = []
    autocomplete_fields = ["instrument"]
    readonly_fields = ["source", "at"]
    fieldsets = [
        (None, {"fields": ["instrument", "ltp"]}),
        ("Depth, where you know it", {"fields": ["bid", "bid_qty", "ask", "ask_qty", "volume"]}),
        ("Source", {"fields": ["source", "at"]}),
    ]

    def get_readonly_fields(self, request, obj=None):
        return self.readonly_fields if obj is None else [*self.readonly_fields, "instrument"]

    def save_model(self, request, obj, form, change):
        obj.at, obj.source = clock.now(), QuoteSource.ADMIN
        super().save_model(request, obj, form, change)
