"""The line that says how fresh a broker's books are, with its button."""

from django import template

from brokers.models import AccountState
from trading.selectors import books

register = template.Library()


@register.inclusion_tag("components/synced.html", takes_context=True)
def synced(context: template.Context, page: str) -> dict[str, object]:
    """`page` is where the button leads back to: orders, positions, holdings."""
    request, desk = context["request"], context["desk"]
    rows = books.synced(request.user)
    connected = any(row.account.state != AccountState.DISCONNECTED for row in rows)
    shown = {"rows": rows, "page": page, "may_act": desk.get("may_act"), "connected": connected}
    return {**shown, "request": request, "csrf_token": context.get("csrf_token")}
