"""Before limits are saved: what they would have changed in the last 30 days."""

from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from risk.codes import Code
from risk.models import RiskSettings, Scope
from risk.replay import Change
from trading.services import whatif
from tvapp.lib import clock
from tvapp.lib.money import plain

DAYS = 30
MOST = 2000  # newest decisions: a person waits for the answer
LISTED = 50


def effect_view(admin, request: HttpRequest, object_id: int) -> HttpResponse:
    """The effect of a limits form that was posted here instead of being saved; what was typed goes on to the save, or back to be mended."""
    row = get_object_or_404(admin.get_queryset(request), pk=object_id)
    if not admin.has_change_permission(request, row):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = admin.get_form(request, row, change=True)(request.POST, instance=row)
    if form.errors.keys() - {"password"}:  # that one is asked for when it is saved; looking needs none
        return admin.changeform_view(request, str(object_id))  # the form itself says what is wrong; it saves nothing while it is not valid
    now = clock.now()
    values = {name: getattr(form.instance, name) for name in form.changed_data if name in (*RiskSettings.PARAMETERS, "clamp_mode")}
    limits = {label(row): {name: _empty_is_none(value) for name, value in values.items()}}
    found = whatif.period(request.user, now - timedelta(days=DAYS), now, limits, most=MOST)
    context = {
        **admin.admin_site.each_context(request), "title": "What it would have changed", "opts": admin.opts, "row": row, "found": found,
        "changed": [(_words(name), _show(form.initial.get(name)), _show(value)) for name, value in values.items()],
        "codes": [(_about(code), count) for code, count in whatif.by_code(found.changes).items()],
        "shown": [_listed(change) for change in found.changes[-LISTED:]], "asks": settings.ALLOW_LIVE and form.looser(),
        "kept": [(name, value) for name, texts in request.POST.lists() for value in texts if name not in ("csrfmiddlewaretoken", "password")],
    }  # fmt: skip
    return TemplateResponse(request, "admin/risk/risksettings/effect.html", context)


def label(row: RiskSettings) -> str:
    """As decisions name the row: GLOBAL, ACCOUNT:paper, STRATEGY:breakout."""
    strategy = getattr(row, "strategy", None)
    target = row.account.name if row.scope == Scope.ACCOUNT else strategy.name if strategy else ""
    return f"{row.scope}:{target}" if target else row.scope


def _empty_is_none(value: object) -> object:
    return None if value in ("", [], {}) else value


def _show(value: object) -> str:
    return plain(value) or "" if isinstance(value, Decimal) else "" if value is None else str(value)


def _listed(change: Change) -> dict[str, object]:
    was = change.stored
    sides = {"was": _side(was.verdict, was.final), "would": _side(change.verdict, change.final)}
    return {"order": was.order, "sentence": change.sentence, **sides}


def _side(verdict: str, final: Decimal) -> str:
    """Passed 45, cut to 9, rejected, held."""
    many = plain(final)
    return {"ALLOW": f"passed {many}", "CLAMP": f"cut to {many}", "DEFER": "held"}.get(verdict, "rejected")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _about(code: str) -> str:
    return Code(code).about.lower() if code in Code.__members__ else "passes"
