"""What TradingView's symbols mean, as far as a person had to say it."""

from django import forms
from django.contrib import admin

from brokers.models import Instrument
from trading.models import OverrideScope, TvSymbolOverride
from trading.services import overrides
from tvapp.admin_base import HistoryAdmin, OwnedAdmin, OwnedForm

_NEEDED = {OverrideScope.STRATEGY: "strategy", OverrideScope.ACCOUNT: "account"}


class OverrideForm(OwnedForm):
    class Meta:
        labels = {"tv_symbol": "Symbol", "instrument": "Is", "scope": "Counts for", "valid_from": "First day", "valid_to": "Last day"}

    def clean_tv_symbol(self) -> str:
        symbol = " ".join(self.cleaned_data["tv_symbol"].upper().split())
        if ":" not in symbol:
            raise forms.ValidationError("Name the exchange, too: NSE:NIFTY.")
        return symbol

    def clean_instrument(self) -> Instrument:
        row = self.cleaned_data["instrument"]
        if not row.active or row.kind == "IDX":
            raise forms.ValidationError(f"{row.key} cannot be traded.")
        return row

    def clean(self):
        data = super().clean()
        needed = _NEEDED.get(data.get("scope"), "")
        for name in ("strategy", "account"):
            if name != needed:
                data[name] = None
            elif not data.get(name):
                self.add_error(name, f"Choose the {name} it counts for.")
        first, last = data.get("valid_from"), data.get("valid_to")
        if first and last and last < first:
            self.add_error("valid_to", "The last day lies before the first one.")
        self._check_once(data)
        return data

    def _check_once(self, data) -> None:
        """One row for each symbol and scope, said in words before the database says it."""
        facts = {name: data.get(name) for name in ("tv_symbol", "scope", "strategy", "account")}
        same = TvSymbolOverride.objects.filter(owner=self.instance.owner_id, **facts).exclude(pk=self.instance.pk)
        if not self.errors and same.exists():
            self.add_error("tv_symbol", f"{facts['tv_symbol']} is mapped there already: change that row.")


@admin.register(TvSymbolOverride)
class OverrideAdmin(HistoryAdmin, OwnedAdmin):
    """Also written by Map symbol in the queue. The narrower scope wins; a contract's mapping ends on its last day."""

    form = OverrideForm
    list_display = ["tv_symbol", "instrument", "scope", "strategy", "account", "valid_from", "valid_to", "created_by"]
    list_filter = ["scope"]
    list_select_related = ["instrument", "strategy", "account", "owner"]
    search_fields = ["tv_symbol__startswith"]
    autocomplete_fields = ["instrument"]
    readonly_fields = ["created_by", "created_at"]
    fieldsets = [
        (None, {"fields": ["tv_symbol", "instrument"]}),
        ("Where and when", {"fields": ["scope", "strategy", "account", "valid_from", "valid_to"]}),
        ("Made", {"fields": ["created_by", "created_at"]}),
    ]

    def save_model(self, request, obj, form, change):
        obj.created_by = request.user.get_username()
        super().save_model(request, obj, form, change)
        overrides.after_mapping(obj, actor=request.user.get_username())
