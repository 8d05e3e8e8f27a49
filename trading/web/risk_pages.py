"""The risk page: where every limit stands, what is stopped and why, how old the data is, what the gate decided. And what each rule means."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from risk.codes import Code, Group
from trading.selectors import rms
from trading.web.views import is_fragment
from tvapp.owned import may_see_all
from tvapp.people.roles import may_trade

GROUPS = {
    Group.RISK: ("The risk check", "Asked in this order right before an order is sent, in both modes alike. The first that refuses decides."),
    Group.ROUTE: ("When an alert comes in", "What routing finds before there is anything to measure."),
    Group.STOP: ("When the desk stops by itself", "Shown on every page until the release. A rate or the day's loss stops a scope, too."),
    Group.ROAD: ("On the way to the broker", "What can happen to an order after the risk check let it pass."),
}


@require_safe
def risk_page(request: HttpRequest) -> HttpResponse:
    found = rms.status(request.user)
    context = {
        "status": found, "calendar": rms.calendar_end(found.at), "codes": [(Code(code) if code in Code.__members__ else None, verdict, code, count)
                                                                            for verdict, code, count in found.codes],
        "may_act": may_trade(request.user), "may_release": may_see_all(request.user),
    }  # fmt: skip
    return render(request, "trading/risk_live.html" if is_fragment(request) else "trading/risk.html", context)


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    groups = [(*GROUPS[group], [code for code in Code if code.group is group]) for group in Group]
    return render(request, "trading/help_risk.html", {"groups": groups})
