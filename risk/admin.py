"""Limits of the desk, of accounts and of strategies; what the gate decided; where trading is stopped."""

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Q

from brokers.models import BrokerAccount
from risk.loosening import is_looser
from risk.models import Decision, LiveArm, MarketHours, MarketSession, RiskSettings, Scope, TradingState, Trip
from tvapp.admin_base import DeskAdmin, HistoryAdmin, OwnedAdmin, OwnedForm, ReadOnlyAdmin, ReadOnlyMixin, symbols_field, times_field
from tvapp.lib.errors import AppError
from tvapp.owned import may_see_all
from tvapp.people import stepup

STRICTER = "All rows that match an order apply, and the stricter one wins: GLOBAL 500 and ACCOUNT 100 lets 100 pass. Empty adds no limit."

GROUPS = (
    ("Size of one order", ["max_quantity_per_order", "max_order_value", "max_lots_per_order", "clamp_mode"]),
    ("What is open together", [
        "max_open_positions", "max_open_orders", "max_symbol_exposure", "max_gross_exposure", "warn_exposure_pct", "max_lots_per_day",
        "margin_buffer_pct",
    ]),
    ("Losses", [
        "max_daily_loss", "warn_loss_pct", "on_loss_breach", "max_drawdown_pct", "max_loss_streak", "cooldown_after_loss", "cooldown_minutes",
    ]),
    ("How often", [
        "max_orders_per_minute", "max_orders_per_day", "max_repeats_per_minute", "max_trades_per_symbol_day", "min_bars_between", "max_signal_age",
    ]),
    ("Price", ["collar_aggressive_pct", "collar_passive_pct", "collar_without_quote"]),
    ("Time", ["session_policy", "defer_max_age", "no_trade_windows", "entry_cutoff", "square_off_time"]),
    ("What may be traded", ["symbol_allow_list", "symbol_deny_list", "allow_short_selling"]),
)  # fmt: skip


class LimitsForm(OwnedForm):
    unlimited = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(name, name) for name in RiskSettings.RAILS],
        help_text="Tick a limit only if it is really meant to be empty for the whole desk. Example: max_order_value.",
    )

    password = forms.CharField(
        required=False, max_length=256, strip=False, label="Your password", help_text="Needed only when a limit becomes milder.",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )  # fmt: skip

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            self.instance.scope = Scope.ACCOUNT
        if "allow_short_selling" in self.fields:
            self.fields["allow_short_selling"].widget.choices = [("unknown", "Nothing said here"), ("true", "Yes"), ("false", "No")]
        if "account" in self.fields:
            self.fields["account"].help_text = "Every order on this account meets these limits. A strategy's own limits are set from its page."
            self.fields["account"].required = True
            self.fields["account"].queryset = BrokerAccount.objects.for_user(self.user).filter(limits=None)

    def looser(self) -> list[str]:
        """Names of the limits that let more through with what was typed."""
        names = [name for name in self.changed_data if name in (*RiskSettings.PARAMETERS, "clamp_mode", "unlimited")]
        return [name for name in names if is_looser(name, self.initial.get(name), self.cleaned_data.get(name))]

    def clean(self):
        """Where real money can move, whoever loosens a limit proves who they are."""
        super().clean()
        if settings.ALLOW_LIVE and self.instance.pk and self.looser():
            try:
                stepup.confirm(self.user, password=self.cleaned_data.get("password", ""))
            except AppError as refused:
                self.add_error("password", refused.message)
        return self.cleaned_data


@admin.register(RiskSettings)
class RiskSettingsAdmin(HistoryAdmin, OwnedAdmin):
    """A new row here is an account's; a strategy's is made on the strategy's page. GLOBAL is there from the first day and stays."""

    form = LimitsForm
    list_display = ["__str__", "applies_to", "max_quantity_per_order", "max_order_value", "allow_short_selling", "clamp_mode"]
    list_filter = ["scope"]
    list_select_related = ["account", "strategy", "owner"]
    readonly_fields = ["scope", "applies_to", "version", "updated_at"]
    ordering = ["id"]
    sortable_by = []

    def get_fieldsets(self, request, obj=None):
        head = ["account"] if obj is None else ["scope", "applies_to"]
        sets = [("Whose limits", {"fields": head, "description": STRICTER}), *((title, {"fields": fields}) for title, fields in GROUPS)]
        if obj is not None and obj.scope == Scope.GLOBAL:
            sets.append(("Limits left empty on purpose", {"fields": ["unlimited"]}))
        if obj is not None and settings.ALLOW_LIVE:
            sets.append(("Who asks", {"fields": ["password"]}))
        return sets if obj is None else [*sets, ("Version", {"fields": ["version", "updated_at"]})]

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        if db_field.name in (*RiskSettings.LISTS, "no_trade_windows"):
            return symbols_field(db_field)
        if db_field.name in RiskSettings.TIMES:
            return times_field(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="applies to")
    def applies_to(self, row) -> str:
        if row.scope == Scope.GLOBAL:
            return "every order of this desk"
        strategy = getattr(row, "strategy", None)
        return f"account {row.account}" if row.account_id else f"strategy {strategy}" if strategy else "nothing: its strategy is gone"

    def has_view_permission(self, request, obj=None):
        if obj is not None and obj.scope == Scope.GLOBAL:
            return super().has_view_permission(request)  # everybody's orders meet it, so everybody may read it
        return super().has_view_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return super().has_delete_permission(request, obj) and (obj is None or obj.scope != Scope.GLOBAL)

    def save_model(self, request, obj, form, change):
        if obj.scope == Scope.ACCOUNT:
            obj.owner = obj.account.owner
        super().save_model(request, obj, form, change)


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ["id", "at", "order_key", "verdict", "code", "requested", "final", "sentence"]
    list_filter = ["verdict"]
    list_select_related = ["owner"]
    search_fields = ["order_key__exact", "code__exact"]
    search_help_text = "Number of an order, or a code."

    def get_queryset(self, request):
        return super().get_queryset(request).defer("findings", "data", "snapshot")


class ScopedAdmin(ReadOnlyMixin, DeskAdmin):
    """Rows that name a scope: a person sees those of the desk, of their own accounts and of the strategies on them."""

    def mine(self, user) -> Q:
        return Q(scope="GLOBAL") | Q(scope__in=_scopes(user))

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        return rows if may_see_all(request.user) else rows.filter(self.mine(request.user))

    def has_view_permission(self, request, obj=None):
        allowed = super().has_view_permission(request, obj)
        return allowed and (obj is None or self.get_queryset(request).filter(pk=obj.pk).exists())


@admin.register(TradingState)
class TradingStateAdmin(ScopedAdmin, HistoryAdmin):
    """Where trading is stopped. It is changed by the kill switch alone, never by editing a row."""

    list_display = ["scope", "state", "reason", "actor", "at"]
    fields = ["scope", "state", "reason", "actor", "at", "cancel_open"]
    ordering = ["-at"]


@admin.register(Trip)
class TripAdmin(ScopedAdmin):
    """What stopped by itself. It ends on the page of the kill switch, or when its time is over, never by editing a row."""

    list_display = ["at", "scope", "code", "effect", "reason", "until", "released_at", "released_by"]
    list_filter = ["effect", ("released_at", admin.EmptyFieldListFilter)]
    search_fields = ["scope__exact", "code__exact"]
    search_help_text = "Scope (ACCOUNT:3), or a code."
    ordering = ["-id"]


@admin.register(LiveArm)
class LiveArmAdmin(ScopedAdmin):
    """Who let which strategy open live positions, until when, and why that ended. A strategy is armed and disarmed on its own page."""

    list_display = ["at", "strategy_key", "by", "until", "ended_at", "ended_why", "waiver"]
    list_filter = [("ended_at", admin.EmptyFieldListFilter)]
    search_fields = ["strategy_key__exact"]
    search_help_text = "Number of a strategy."
    ordering = ["-id"]

    def mine(self, user) -> Q:
        return Q(strategy_key__in=BrokerAccount.objects.for_user(user).exclude(strategies=None).values("strategies__id"))


@admin.register(MarketHours)
class MarketHoursAdmin(HistoryAdmin, DeskAdmin):
    """The usual week of each exchange, and until when its holidays are entered."""

    list_display = ["exchange", "days", "opens", "closes", "us_winter_closes", "always", "maintained_to", "amo_from", "amo_to"]
    ordering = ["exchange"]


@admin.register(MarketSession)
class MarketSessionAdmin(HistoryAdmin, DeskAdmin):
    """The calendar: days that differ from the week. What a person saves here, `loadcalendar` leaves alone."""

    list_display = ["date", "weekday", "exchange", "kind", "opens", "closes", "name", "source"]
    list_filter = ["exchange", "kind"]
    date_hierarchy = "date"
    ordering = ["-date", "exchange"]
    search_fields = ["name"]
    readonly_fields = ["source"]

    @admin.display(description="weekday", ordering="date")
    def weekday(self, row) -> str:
        return f"{row.date:%A}"

    def save_model(self, request, obj, form, change):
        obj.source = request.user.get_username()
        super().save_model(request, obj, form, change)


def _scopes(user) -> set[str]:
    """Scope keys of the person's own accounts and of the strategies on them."""
    pairs = BrokerAccount.objects.for_user(user).values_list("id", "strategies__id")
    return {f"ACCOUNT:{account}" for account, _ in pairs} | {f"STRATEGY:{strategy}" for _, strategy in pairs if strategy}
