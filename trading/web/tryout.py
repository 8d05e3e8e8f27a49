"""Trying an alert: a person pastes a body and sees what it would do, step by step and rule by rule. Nothing is written."""

from collections.abc import Mapping
from decimal import Decimal

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from risk.models import Decision
from trading.models import Strategy
from trading.services import ingest
from trading.templatetags.desk import qty
from trading.web.verdict import rules, shown
from trading.web.webhook import MOST, too_large
from tvapp.lib.errors import AppError
from tvapp.people.roles import may_trade

STEPS = {
    "NOTHING": "Nothing would be done.",
    "WAITS": "It would wait in the queue for a person.",
    "SENT": "It would be sent by itself.",
    "STALE": "It would end at once as too old.",
}
JUDGED = {  # what becomes of one that is automatic is said by the risk check
    "REJECT": "The risk check would reject it.",
    "DEFER": "The risk check would put it on hold.",
    "CLAMP": "It would be sent by itself, cut to {}.",
}


class TryForm(forms.Form):
    strategy = forms.ModelChoiceField(Strategy.objects.none(), required=False, empty_label="As the body names it", label="Strategy")
    body = forms.CharField(label="Alert message", max_length=MOST, strip=False, widget=forms.Textarea(attrs={"rows": 14, "class": "in mono"}))

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["strategy"].queryset = Strategy.objects.for_user(user).standing().select_related("account", "owner")
        self.fields["strategy"].widget.attrs["class"] = "sel"


@require_http_methods(["GET", "HEAD", "POST"])
def try_page(request: HttpRequest) -> HttpResponse:
    """The form; after a POST with what the body would do below it."""
    start = {"strategy": request.GET.get("strategy", "")[:19]}
    form = TryForm(request.POST if request.method == "POST" else None, user=request.user, initial=start)
    context: dict[str, object] = {"form": form, "may_try": may_trade(request.user)}
    if request.method == "POST" and may_trade(request.user) and form.is_valid():
        context |= _tried(request, form.cleaned_data)
    return render(request, "trading/try.html", context, status=403 if request.method == "POST" and not may_trade(request.user) else 200)


def _tried(request: HttpRequest, data: Mapping) -> dict[str, object]:
    raw = data["body"].encode()
    try:
        if len(raw) > MOST:
            raise too_large()
        found = ingest.rehearse(raw, user=request.user, strategy=data["strategy"], correlation_id=request.correlation_id)
    except AppError as refused:
        return {"refused": refused.message}
    return {"found": found, "signals": told(found["signals"])}


def told(signals: list[dict]) -> list[dict]:
    """What would become of each signal, ready for the page: `trading/dry.html`."""
    return [_told(one) for one in signals]


def _told(one: Mapping) -> dict[str, object]:
    facts = {"signal": one["signal"], "step": STEPS[one["step"]], "why": one["why"], "order": one["order"]}
    if not one["verdict"]:
        return facts
    said = one["verdict"]
    decision = Decision(**{name: said[name] for name in ("verdict", "code", "sentence", "order_class", "findings")}, final=Decimal(said["final"]))
    first, rest = rules(decision)
    if one["step"] == "SENT":
        facts["step"] = JUDGED.get(said["verdict"], STEPS["SENT"]).format(qty(decision.final))
    return {**facts, "verdict": shown(decision), "rules": first, "more_rules": rest}
