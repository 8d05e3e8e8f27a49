"""The desk's settings, its people and their keys, and the queue's tables to look at. Only admins change anything here."""

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, User
from django.http import HttpResponseRedirect
from django.urls import reverse
from django_q.models import Failure, OrmQ, Schedule, Success

from tvapp.admin_base import DeskAdmin, HistoryAdmin, ReadOnlyAdmin, ReadOnlyMixin, SuperuserMixin
from tvapp.lib import clock
from tvapp.models import ApiToken, DeskSettings
from tvapp.people import roles

for model in (Group, User, Schedule, OrmQ, Success, Failure):
    admin.site.unregister(model)


class DeskSettingsForm(forms.ModelForm):
    class Meta:
        labels = {
            "alert_age_auto_s": "Oldest automatic alert",
            "alert_old_manual_min": "Waiting alert is old after",
            "alert_dead_manual_h": "Waiting alert is dead after",
            "future_skew_s": "Furthest time ahead",
            "duplicate_body_s": "Equal bodies are repeats within",
            "rejected_keep_days": "Refused alerts are kept",
            "secret_grace_h": "Old secret works for",
            "lease_s": "Sending may take",
            "max_starts": "Starts without an end",
            "retry_window_s": "Tried again for",
            "sync_live_s": "Broker's book is read every",
            "sync_resting_s": "A real broker's, while orders only rest",
            "sync_idle_s": "A real broker's, while nothing is there",
            "kite_session_end_h": "Zerodha's sessions end at",
            "unmatched_4xx_rejects": "Unknown refusals count as refused",
            "max_quote_age_s": "Oldest price that fills",
            "min_free_disk_mb": "Free disk needed",
            "market_buffer_pct": "Reserve for market orders",
            "loss_watch_s": "The day's result is looked at every",
            "refusals_trip": "Refusals in a row that stop a strategy",
            "unknowns_trip": "Unknown outcomes that stop an account",
            "paper_orders_first": "Paper orders before live ones",
        }


@admin.register(DeskSettings)
class DeskSettingsAdmin(SuperuserMixin, HistoryAdmin, DeskAdmin):
    """One row, so the list leads straight to it."""

    form = DeskSettingsForm
    fieldsets = [
        ("How old an alert may be", {"fields": ["alert_age_auto_s", "alert_old_manual_min", "alert_dead_manual_h", "future_skew_s"]}),
        ("Repeats and refused alerts", {"fields": ["duplicate_body_s", "rejected_keep_days"]}),
        ("Webhook secrets", {"fields": ["secret_grace_h"]}),
        ("Sending", {"fields": ["lease_s", "max_starts", "retry_window_s", "sync_live_s", "min_free_disk_mb"]}),
        ("Real brokers", {"fields": ["sync_resting_s", "sync_idle_s", "kite_session_end_h", "unmatched_4xx_rejects"]}),
        ("Prices", {"fields": ["max_quote_age_s", "market_buffer_pct"]}),
        (
            "What stops by itself, and real money",
            {
                "fields": ["loss_watch_s", "refusals_trip", "unknowns_trip", "paper_orders_first", "paper_only"],
                "description": "Paper only is switched on the page of the kill switch: on with one click, off with the password.",
            },
        ),
    ]
    readonly_fields = ["paper_only"]

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def get_object(self, request, object_id, from_field=None):
        if self.has_view_permission(request):
            DeskSettings.objects.get_or_create(id=1)  # nobody saved it yet: the defaults
        return super().get_object(request, object_id, from_field)

    def changelist_view(self, request, extra_context=None):
        if self.has_view_permission(request):
            return HttpResponseRedirect(reverse("admin:tvapp_desksettings_change", args=[1]))
        return super().changelist_view(request, extra_context)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """A key is shown once, where it is made; here it can only be ended."""

    list_display = ["name", "created_at", "last_used_at", "revoked_at"]
    fields = ["name", "created_at", "last_used_at", "revoked_at"]
    list_select_related = ["owner"]
    actions = ["revoke"]

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request, queryset):
        ended = queryset.filter(revoked_at=None).update(revoked_at=clock.now())
        self.message_user(request, f"{ended} of {queryset.count()} tokens revoked now; programs that use them are signed out.", messages.SUCCESS)


# ---------------------------------------------------------------------------- people
ROLE_HELP = (
    "Viewer: looks at what is theirs. Trader: also trades, and sets up their own strategies, accounts and limits. "
    "Admin: sees and changes everything of everybody, and makes people."
)


class RoleFormMixin(forms.ModelForm):
    role = forms.ChoiceField(choices=[(name, name.capitalize()) for name in roles.ROLES], initial=roles.TRADER, help_text=ROLE_HELP)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["role"].initial = roles.role_of(self.instance)


class PersonForm(RoleFormMixin, UserChangeForm):
    def clean_role(self) -> str:
        role = self.cleaned_data["role"]
        others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=self.instance.pk)
        if self.instance.is_superuser and role != roles.ADMIN and not others.exists():
            raise forms.ValidationError("This is the only admin. Make another one first.")
        return role

    def clean_is_active(self) -> bool:
        active = self.cleaned_data["is_active"]
        others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=self.instance.pk)
        if self.instance.is_superuser and not active and not others.exists():
            raise forms.ValidationError("This is the only admin. Make another one first.")
        return active


class NewPersonForm(RoleFormMixin, AdminUserCreationForm):
    pass


@admin.register(User)
class PersonAdmin(SuperuserMixin, UserAdmin):
    """A person has one role; single permissions are not given away. Nobody is deleted, because their orders stay: switch them off."""

    form = PersonForm
    add_form = NewPersonForm
    show_full_result_count = False
    list_display = ["username", "role", "email", "is_active", "last_login"]
    list_filter = ["is_active", "is_superuser"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["username", "password", "email", "first_name", "last_name"]}),
        ("What they may do", {"fields": ["role", "is_active"]}),
        ("When", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"classes": ["wide"], "fields": ["username", "email", "usable_password", "password1", "password2", "role"]})]

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="role")
    def role(self, person) -> str:
        names = {group.name for group in person.groups.all()}
        return roles.ADMIN if person.is_superuser else next((r for r in (roles.TRADER, roles.VIEWER) if r in names), "none")

    def has_delete_permission(self, request, obj=None):
        return False

    def save_related(self, request, form, formsets, change):
        super().save_related(request, form, formsets, change)
        roles.assign(form.instance, form.cleaned_data["role"])


# ---------------------------------------------------------------------------- the queue, to look at
class QueueAdmin(SuperuserMixin, ReadOnlyMixin, DeskAdmin):
    """A schedule may call any function by its path, so none is made or changed here; pickled columns are not even read."""

    list_per_page = 100


@admin.register(Schedule)
class ScheduleAdmin(QueueAdmin):
    list_display = fields = ["name", "func", "cluster", "schedule_type", "minutes", "next_run"]


@admin.register(OrmQ)
class QueuedAdmin(QueueAdmin):
    list_display = fields = ["id", "key", "lock"]


@admin.register(Success, Failure)
class TaskAdmin(QueueAdmin):
    list_display = fields = ["name", "func", "cluster", "started", "stopped", "success"]
    ordering = ["-started"]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("args", "kwargs", "result")
