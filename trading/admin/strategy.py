"""Strategies: what they trade, what fills the gaps of an alert, their webhook secret and their own limits."""

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.timezone import localtime

from trading.models import Strategy
from trading.selectors import live
from trading.services import arming, disarming, strategies
from tvapp.admin_base import HistoryAdmin, OwnedAdmin, OwnedForm, OwnRelatedFilter
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings
from tvapp.people import stepup
from tvapp.validators import one_line

PAGES = "admin:trading_strategy_"


class StrategyForm(OwnedForm):
    class Meta:
        labels = {
            "default_product": "Product",
            "product_from_signal": "The alert's product comes first",
            "default_order_type": "Order type",
            "sizing": "Quantity",
            "sizing_value": "Number of the sizing",
            "use_target": "The alert gives the position to reach",
            "max_age_s": "Oldest automatic alert, in seconds",
            "dedupe_scope": "Repeats",
            "on_drift": "When positions differ",
        }
        help_texts = {"dedupe_scope": "What counts as the same alert when it carries bar and fire time. Example: two firings in one 15-minute bar."}

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        one_line(name)
        try:
            strategies.check_name(self.instance.owner, name, but=self.instance.pk)
        except AppError as refused:
            raise forms.ValidationError(refused.message) from refused
        return name


@admin.register(Strategy)
class StrategyAdmin(HistoryAdmin, OwnedAdmin):
    """Deleting archives: the row and its orders stay, the secret dies, the name is free. Nothing here deletes a row."""

    form = StrategyForm
    list_display = ["name", "enabled", "mode", "account", "symbol", "secret", "own_limits"]
    list_filter = ["enabled", "mode", ("account", OwnRelatedFilter)]
    list_select_related = ["account", "limits", "owner"]
    search_fields = ["name__istartswith"]
    readonly_fields = ["secret", "own_limits", "created_at", "updated_at"]
    actions = ["new_secret", "delete_strategies"]
    fieldsets = [
        (None, {"fields": ["name", "description", "enabled"]}),
        (
            "What happens with an alert",
            {
                "fields": ["mode", "dry_run", "account", "symbol", "default_exchange", "timeframe"],
                "description": "Whatever is set here, every order meets the risk check right before it is sent, in both modes alike.",
            },
        ),
        (
            "What fills the gaps of an alert",
            {
                "fields": ["default_product", "product_from_signal", "default_order_type", "sizing", "sizing_value", "capital", "use_target",
                           "max_slippage_pct"],
                "description": "Example: an alert without a quantity and sizing 'Always this quantity', 25, becomes an order over 25.",
            },
        ),
        (
            "When",
            {
                "fields": ["hours_from", "hours_to", "max_age_s", "after_hours"],
                "description": "Example: 09:20 to 15:00 lets an automatic alert of 15:04 wait in the queue instead of being sent.",
            },
        ),
        ("Repeats and differences", {"fields": ["dedupe_scope", "on_drift"]}),
        ("Webhook secret and limits", {"fields": ["secret", "own_limits"]}),
        ("Dates", {"fields": ["created_at", "updated_at"]}),
    ]

    def get_fieldsets(self, request, obj=None):
        return self.fieldsets if obj else self.fieldsets[:-2]

    def get_queryset(self, request):
        return super().get_queryset(request).standing()

    def has_delete_permission(self, request, obj=None):
        return False  # deleting is archiving, by the action and the page below

    # ------------------------------------------------------------------------ columns
    @admin.display(description="webhook secret")
    def secret(self, row) -> str:
        if not row.secret_digest:
            return "not set: no alert can reach it by its own secret"
        text = f"made {_when(row.secret_made_at)}"
        if row.old_secret_until and row.old_secret_until > clock.now():
            text += f"; the one before works until {_when(row.old_secret_until)}"
        return text

    @admin.display(description="own limits")
    def own_limits(self, row) -> str:
        if not row.limits_id:
            return "none: the limits of the account and of the desk apply"
        return format_html('<a href="{}">show</a>', reverse("admin:risk_risksettings_change", args=[row.limits_id]))

    # ------------------------------------------------------------------------ saving
    def save_model(self, request, obj, form, change):
        if change and "name" in form.changed_data and obj.secret_digest:
            text = f"Alerts that still say {form.initial['name']} are refused now. Paste the new name into their messages."
            self.message_user(request, text, messages.WARNING)
        super().save_model(request, obj, form, change)
        if change:
            strategies.after_change(obj, form.changed_data, actor=request.user.get_username())

    # ------------------------------------------------------------------------ actions
    @admin.action(description="Issue a new webhook secret", permissions=["change"])
    def new_secret(self, request, queryset):
        if queryset.count() != 1:
            self.message_user(request, "Choose exactly one strategy: its secret is shown once, on the next page.", messages.WARNING)
            return None
        return HttpResponseRedirect(reverse(PAGES + "secret", args=[queryset[0].pk]))

    @admin.action(description="Delete the selected strategies", permissions=["change"])
    def delete_strategies(self, request, queryset):
        if "confirmed" not in request.POST:
            return self._page(request, "delete.html", "Delete strategies", strategies=list(queryset), action="delete_strategies")
        names = [self._archive(request, row) for row in queryset]
        self.message_user(request, f"Deleted: {', '.join(names)}. Their orders and alerts stay.", messages.SUCCESS)
        return None

    def _archive(self, request, row: Strategy) -> str:
        strategies.archive(row, request.user.get_username())
        self.log_change(request, row, "Deleted (archived).")
        return row.name

    # ------------------------------------------------------------------------ pages of one strategy
    def get_urls(self):
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/secret/", wrap(self.secret_view), name="trading_strategy_secret"),
            path("<int:pk>/limits/", wrap(self.limits_view), name="trading_strategy_limits"),
            path("<int:pk>/archive/", wrap(self.archive_view), name="trading_strategy_archive"),
            path("<int:pk>/arm/", wrap(self.arm_view), name="trading_strategy_arm"),
        ]
        return own + super().get_urls()

    def _own(self, request, pk: int) -> Strategy:
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        return row

    def _page(self, request, template: str, title: str, **context):
        context |= {**self.admin_site.each_context(request), "title": title, "opts": self.opts}
        return TemplateResponse(request, f"admin/trading/strategy/{template}", context)

    def secret_view(self, request, pk: int):
        """GET asks, POST makes the secret and shows it in its own answer: it is kept nowhere, so there is no second look."""
        row = self._own(request, pk)
        stamp = row.secret_made_at.isoformat() if row.secret_made_at else ""
        if request.method != "POST":
            hours = DeskSettings.current().secret_grace_h
            return self._page(request, "secret_ask.html", f"New webhook secret for {row}", strategy=row, stamp=stamp, hours=hours)
        if request.POST.get("stamp", "") != stamp:  # the page was reloaded, or somebody else was first
            self.message_user(request, "A secret was made meanwhile and shown once. Ask for another one if it is lost.", messages.WARNING)
            return HttpResponseRedirect(reverse(PAGES + "change", args=[pk]))
        key = strategies.issue_secret(row, request.user.get_username(), keep_old="leaked" not in request.POST)
        self.log_change(request, row, "New webhook secret.")
        facts = {
            "url": strategies.webhook_url(),
            "message": strategies.alert_message(row, key),
            "token_url": strategies.webhook_url(key),
        }
        return self._page(request, "secret_shown.html", f"Webhook secret of {row}", strategy=row, secret=key, **facts)

    def limits_view(self, request, pk: int):
        """Makes the strategy's own, still empty, limits row and leads to it."""
        row = self._own(request, pk)
        if request.method != "POST" and not row.limits_id:
            return self._page(request, "limits_ask.html", f"Limits of {row}", strategy=row)
        limits = strategies.limits_of(row, request.user.get_username())
        return HttpResponseRedirect(reverse("admin:risk_risksettings_change", args=[limits.pk]))

    def arm_view(self, request, pk: int):
        """GET says what stands and asks; POST arms with the name typed and the password, or disarms."""
        row, refused = self._own(request, pk), ""
        if request.method == "POST":
            try:
                self._arm(request, row)
                return HttpResponseRedirect(reverse(PAGES + "change", args=[pk]))
            except AppError as exc:
                refused = exc.message
        facts = {"arm": live.arm_of(pk, clock.now()), "barred": live.barred(), "paper": arming.paper_orders(row), "refused": refused}
        facts["hindrance"] = arming.hindrance(row)
        facts |= {"needed": DeskSettings.current().paper_orders_first, "is_live": live.is_live(row.account), "typed": request.POST}
        return self._page(request, "arm.html", f"Live orders of {row}", strategy=row, **facts)

    def _arm(self, request, row: Strategy) -> None:
        actor, said = request.user.get_username(), request.POST
        if "disarm" in said:
            disarming.disarm(row, f"{actor} disarmed it", actor=actor)
            self.message_user(request, f"{row.name} is disarmed: its live entries are refused, exits still leave.", messages.SUCCESS)
            return
        stepup.confirm(request.user, password=said.get("password", "")[:256])
        made = arming.arm(row, confirm=said.get("confirm", "")[:120], waiver=said.get("waiver", "")[:200], actor=actor)
        self.log_change(request, row, "Armed for live orders.")
        self.message_user(request, f"{row.name} is armed for live orders until {_when(made.until)}.", messages.WARNING)

    def archive_view(self, request, pk: int):
        row = self._own(request, pk)
        if request.method != "POST":
            return self._page(request, "delete.html", f"Delete {row}", strategies=[row], action="")
        self._archive(request, row)
        self.message_user(request, f"Deleted: {row.name}. Its orders and alerts stay.", messages.SUCCESS)
        return HttpResponseRedirect(reverse(PAGES + "changelist"))


def _when(moment) -> str:
    return f"{localtime(moment, clock.IST):%d %b %Y %H:%M} IST"
