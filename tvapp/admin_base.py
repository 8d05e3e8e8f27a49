"""What the admin pages share: rows limited to their owner, choices limited to the same owner's rows, read-only pages, and lists that stay
fast with a million rows."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.utils.functional import cached_property
from simple_history.admin import SimpleHistoryAdmin

from tvapp.lib.money import plain
from tvapp.owned import may_see_all

PAGES_AT_MOST = 20


class CappedPaginator(Paginator):
    """Counts no further than PAGES_AT_MOST pages: a COUNT(*) over the whole history would cost more than the page itself.
    What lies further back is found by search or filter."""

    @cached_property
    def count(self) -> int:
        return len(self.object_list.values_list("pk", flat=True)[: self.per_page * PAGES_AT_MOST])


class OwnRelatedFilter(admin.RelatedFieldListFilter):
    """Offers only rows the person may see; the stock filter would list everybody's names."""

    def field_choices(self, field, request, model_admin):
        own = field.remote_field.model._default_manager.for_user(request.user)
        return field.get_choices(include_blank=False, limit_choices_to={"pk__in": own.values("pk")})


class OwnedForm(forms.ModelForm):
    """Owner set before anything is checked; related rows must belong to the same owner."""

    user = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            self.instance.owner = self.user
        for field in self.fields.values():
            rows = getattr(field, "queryset", None)
            if rows is not None and hasattr(rows, "for_user"):
                field.queryset = rows.filter(owner=self.instance.owner_id)


class PlainDecimalField(forms.DecimalField):
    """Shows `500`, not `500.00000000`."""

    def prepare_value(self, value):
        return plain(value) if isinstance(value, Decimal) else value


@cache
def number(name: str) -> Callable[[models.Model], str]:
    """A column that shows the decimal field `name` without idle zeros."""

    @admin.display(description=name.replace("_", " "), empty_value="-")
    def column(row: models.Model) -> str | None:
        return plain(getattr(row, name))

    return column


def _plainly(opts, names: Sequence) -> list:
    """The names, with a plain number's column in place of each decimal field."""
    decimals = {field.name for field in opts.fields if isinstance(field, models.DecimalField)}
    return [number(name) if name in decimals else name for name in names]


class DeskAdmin(admin.ModelAdmin):
    """The base of every page here: no count over the whole table, no link to a page that does not exist, numbers as people write them."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a count for each choice of each filter
    view_on_site = False
    list_per_page = 50
    formfield_overrides = {models.DecimalField: {"form_class": PlainDecimalField}}

    def get_list_display(self, request):
        return _plainly(self.opts, super().get_list_display(request))


class OwnedAdmin(DeskAdmin):
    """A person's own rows; an admin sees everybody's, with the owner beside them."""

    form = OwnedForm
    owner_path = "owner"

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        if hasattr(rows, "for_user"):
            return rows.for_user(request.user)
        return rows if may_see_all(request.user) else rows.filter(**{self.owner_path.replace(".", "__"): request.user})

    def get_form(self, request, obj=None, change=False, **kwargs):
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"user": request.user})

    def formfield_for_foreignkey(self, db_field, request, **kwargs):
        manager = db_field.remote_field.model._default_manager
        if hasattr(manager, "for_user"):
            kwargs.setdefault("queryset", manager.for_user(request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_list_display(self, request):
        columns = super().get_list_display(request)
        return [*columns, self.owner_path] if may_see_all(request.user) and "." not in self.owner_path else columns

    def owns(self, request, obj) -> bool:
        """Judged by the row in hand and not by a query, because a page of history may show a row that is gone."""
        for name in self.owner_path.split("."):
            obj = getattr(obj, name)
        return may_see_all(request.user) or obj == request.user

    def has_view_permission(self, request, obj=None):
        return super().has_view_permission(request, obj) and (obj is None or self.owns(request, obj))

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and (obj is None or self.owns(request, obj))

    def has_delete_permission(self, request, obj=None):
        return super().has_delete_permission(request, obj) and (obj is None or self.owns(request, obj))


class HistoryAdmin(SimpleHistoryAdmin):
    """Who changed what. Looking back is all there is: the stock page would write an old version back for anybody who may only look."""

    object_history_list_template = "admin/history_list.html"

    def history_form_view(self, request, object_id, version_id, extra_context=None):
        if request.method != "GET":
            raise PermissionDenied
        return super().history_form_view(request, object_id, version_id, extra_context)

    def revert_disabled(self, request, obj=None) -> bool:
        return True


class ReadOnlyMixin:
    """Nothing to add, change or delete here: these rows are written by the desk itself."""

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


class ReadOnlyAdmin(ReadOnlyMixin, OwnedAdmin):
    """A long table to look at: newest first, sorted by nothing else, because no index would help."""

    paginator = CappedPaginator
    ordering: Sequence[str] = ("-id",)
    sortable_by: Sequence[str] = ()
    list_per_page = 100
    list_max_show_all = 0

    def get_fields(self, request, obj=None):
        return _plainly(self.opts, self.fields or [field.name for field in self.opts.fields])

    def get_readonly_fields(self, request, obj=None):
        return self.get_fields(request, obj)


class ReadOnlyInline(ReadOnlyMixin, admin.TabularInline):
    extra = 0
    can_delete = False
    show_change_link = False
    ordering: Sequence[str] = ("id",)

    def get_fields(self, request, obj=None):
        return _plainly(self.opts, self.fields)

    def get_readonly_fields(self, request, obj=None):
        return self.get_fields(request, obj)

    def has_view_permission(self, request, obj=None):
        return True  # whoever may open the page above sees its lines


class SuperuserMixin:
    """For admins only, whatever permissions somebody gave away."""

    def _allowed(self, request) -> bool:
        return may_see_all(request.user)

    def has_module_permission(self, request):
        return self._allowed(request)

    def has_view_permission(self, request, obj=None):
        return self._allowed(request)

    def has_add_permission(self, request):
        return self._allowed(request) and super().has_add_permission(request)

    def has_change_permission(self, request, obj=None):
        return self._allowed(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return self._allowed(request) and super().has_delete_permission(request, obj)


def symbols_field(db_field: models.Field) -> forms.Field:
    """A list of symbols as text: one on each line, or between commas."""
    text = f"{db_field.help_text} One on each line, or between commas."
    return SymbolsField(required=False, help_text=text, label=db_field.verbose_name.capitalize())


class SymbolsField(forms.CharField):
    widget = forms.Textarea(attrs={"rows": 4, "cols": 40})

    def prepare_value(self, value):
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value):
        if isinstance(value, list):
            return value
        cleaned = (value or "").replace("[", " ").replace("]", " ").replace('"', " ")
        return [part.strip() for line in cleaned.splitlines() for part in line.split(",") if part.strip()]

    def has_changed(self, initial, data) -> bool:
        return (initial or []) != self.to_python(data)


def times_field(db_field: models.Field) -> forms.Field:
    """A time per product as text: `MIS 15:00`, one on each line."""
    text = f"{db_field.help_text} Here: one on each line, for example MIS 15:00."
    return TimesField(required=False, help_text=text, label=db_field.verbose_name.capitalize())


class TimesField(forms.CharField):
    widget = forms.Textarea(attrs={"rows": 3, "cols": 40})

    def prepare_value(self, value):
        return "\n".join(f"{key} {at}" for key, at in value.items()) if isinstance(value, dict) else value

    def to_python(self, value):
        if isinstance(value, dict):
            return value
        lines = [line.split() for line in (value or "").splitlines() if line.strip()]
        if any(len(words) != 2 for words in lines):
            raise forms.ValidationError("Each line is a product and a time, for example MIS 15:00.")
        return {key.upper(): at for key, at in lines}

    def has_changed(self, initial, data) -> bool:
        return (initial or {}) != self.to_python(data)
