"""Accounts of each trader; instruments and typed prices, which belong to the desk."""

from django import forms
from django.contrib import admin

from brokers import prices, secrets, session
from brokers.models import BrokerAccount, BrokerName, ChargeSchedule, FreezeLimit, Instrument, Quote, QuoteFrom, QuoteSource
from tvapp.admin_base import CappedPaginator, DeskAdmin, HistoryAdmin, OwnedAdmin, OwnedForm
from tvapp.lib import clock
from tvapp.lib.money import plain, rupees


def masked(key: str) -> str:
    """The last four characters of a key, enough to tell two apart; empty when there is none."""
    return f"…{key[-4:]}" if len(key) > 4 else "…" * bool(key)


def _secret_field(label: str, what: str, widget: type[forms.Widget]) -> forms.CharField:
    text = f"{what} Empty leaves it as it is; it is never shown again."
    return forms.CharField(required=False, max_length=64, label=label, help_text=text, widget=widget(attrs={"autocomplete": "new-password"}))


class AccountForm(OwnedForm):
    api_key = _secret_field("API key", "From the developer console of Kite Connect. Without one: KITE_API_KEY of the environment.", forms.TextInput)
    api_secret = _secret_field("API secret", "From the same page.", forms.PasswordInput)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if "api_key" in self.fields:
            self.initial["api_key"] = ""
            self.fields["api_key"].help_text += f" Set: {masked(self.instance.api_key)}" if self.instance.api_key else " Not set."
            self.fields["api_secret"].help_text += " Set." if secrets.is_set(self.instance, "credentials") else " Not set."

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        if BrokerAccount.objects.filter(owner=self.instance.owner, name=name).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(f"There is already an account called {name}. Choose another name.")
        return name

    def clean_api_key(self) -> str:
        """The session belongs to the key it was made with, so a connected account keeps its key."""
        key, before = self.cleaned_data["api_key"].strip(), self.instance.api_key
        if key and key != before and session.is_connected(session.row_of(self.instance)):
            raise forms.ValidationError("Disconnect the account before you change its API key.")
        return key or before

    def clean_quote_file(self) -> str:
        name = self.cleaned_data["quote_file"].strip()
        try:
            return name and str(prices.file_of(name).relative_to(prices.data_directory()))
        except prices.NoFile as wrong:
            raise forms.ValidationError(str(wrong)) from wrong

    def clean(self):
        """What the chosen source of prices needs is there."""
        super().clean()
        source = self.cleaned_data.get("quote_source")
        if source == QuoteFrom.KITE and not self.cleaned_data.get("quote_account") and "quote_account" not in self.errors:
            self.add_error("quote_account", "Choose the Zerodha account that is asked for prices.")
        if source == QuoteFrom.FILE and not self.cleaned_data.get("quote_file") and "quote_file" not in self.errors:
            self.add_error("quote_file", "Name the file, for example prices.csv.")
        return self.cleaned_data

    def save(self, commit=True):
        if self.cleaned_data.get("api_secret"):
            self.instance.credentials = self.cleaned_data["api_secret"].strip()
        return super().save(commit)


class BrokerAccountAdmin(HistoryAdmin, OwnedAdmin):
    """An account is never deleted, because its orders name it: switch it off. Registered by trading, which adds what touches orders."""

    form = AccountForm
    list_display = ["name", "broker", "environment", "enabled", "state", "capital"]
    list_filter = ["broker", "enabled"]
    list_select_related = ["owner"]
    search_fields = ["name__startswith"]
    readonly_fields = ["environment", "state", "created_at"]
    COMMON = (None, {"fields": ["name", "broker", "environment", "enabled", "state", "created_at"]})
    ZERODHA = ("Zerodha", {"fields": ["api_key", "api_secret", "client_id", "source_ip", "sell_t1"]})
    PAPER = ("How paper orders are filled", {"fields": ["capital", "slippage_bps", "liquidity", "participation_pct", "fill_on_touch"]})
    PRICES = ("Where the prices of paper orders come from", {"fields": ["quote_source", "quote_account", "quote_file"]})
    EVERY = ("How often prices are read", {"fields": ["quote_every_s"]})
    fieldsets = [COMMON, ZERODHA, PAPER, PRICES, EVERY]

    def get_fieldsets(self, request, obj=None):
        if obj is None:
            return self.fieldsets
        return [self.COMMON, *([self.PAPER, self.PRICES] if obj.broker == BrokerName.PAPER else [self.ZERODHA]), self.EVERY]

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        if db_field.name == "quote_account":
            kwargs["queryset"] = BrokerAccount.objects.for_user(request.user).filter(broker=BrokerName.ZERODHA)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

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


@admin.register(FreezeLimit)
class FreezeLimitAdmin(DeskAdmin):
    """Figures of the exchanges, shared by everybody, so only admins change them. A new figure is a new row with its first day."""

    list_display = ["exchange", "root", "quantity", "since"]
    list_filter = ["exchange"]
    search_fields = ["root__exact"]
    search_help_text = "The root: NIFTY."
    ordering = ["exchange", "root", "-since"]


@admin.register(ChargeSchedule)
class ChargeScheduleAdmin(HistoryAdmin, DeskAdmin):
    """What the brokers take, shared by everybody, so only admins change it. Fills that are booked keep what they were charged."""

    list_display = ["__str__", "valid_to", "brokerage", "stt_sell_pct", "exchange_pct", "stamp_pct", "verified"]
    list_filter = ["broker", "segment", "exchange"]
    sortable_by = []
    fieldsets = [
        ("Whose charges, and when", {
            "fields": ["broker", "segment", "exchange", "valid_from", "valid_to", "verified_on"],
            "description": "When a rate changes, give the present row a last day and add a new one. The charges of a fill are an estimate until the "
            "contract note: enter the day on which you compared the figures with your broker's list.",
        }),
        ("Broker", {"fields": ["brokerage_flat", "brokerage_pct", "brokerage_cap", "dp"]}),
        ("Taxes and fees", {"fields": ["stt_buy_pct", "stt_sell_pct", "exchange_pct", "sebi_pct", "stamp_pct", "gst_pct"]}),
    ]  # fmt: skip

    @admin.display(description="verified")
    def verified(self, row) -> str:
        return f"{row.verified_on:%d %b %Y}" if row.verified_on else "UNVERIFIED"

    @admin.display(description="brokerage of an order")
    def brokerage(self, row) -> str:
        if row.brokerage_flat or not row.brokerage_pct:
            return rupees(row.brokerage_flat)
        most = f", at most {rupees(row.brokerage_cap)}" if row.brokerage_cap else ""
        return f"{plain(row.brokerage_pct)} %{most}"


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
        (None, {"fields": ["instrument", "ltp", "close"]}),
        ("Depth, where you know it", {"fields": ["bid", "bid_qty", "ask", "ask_qty", "volume"]}),
        ("Source", {"fields": ["source", "at"]}),
    ]

    def get_readonly_fields(self, request, obj=None):
        return self.readonly_fields if obj is None else [*self.readonly_fields, "instrument"]

    def save_model(self, request, obj, form, change):
        now, before = clock.now(), Quote.objects.filter(pk=obj.pk).first()
        if before and "close" not in form.changed_data and clock.trading_day(before.at) < clock.trading_day(now):
            obj.close = before.ltp
        obj.at, obj.source = now, QuoteSource.ADMIN
        super().save_model(request, obj, form, change)
