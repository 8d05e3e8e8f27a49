"""What every page's frame needs: the mode, the queue's count, the kill switch, the navigation. Read only when a template asks."""

from collections.abc import Mapping, Sequence

from django.db import DatabaseError
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from risk.models import TradingMode
from trading.selectors import attention, connections, queue
from trading.selectors.stops import Stop, standing
from tvapp.lib import clock
from tvapp.owned import may_see_all
from tvapp.people.roles import may_trade

# (URL name, word, icon, path it is the current page of)
PAGES = (
    ("desk:dashboard", "Dashboard", "home", "/"),
    ("desk:queue", "Queue", "inbox", "/queue"),
    ("desk:orders", "Orders", "list", "/orders"),
    ("desk:positions", "Positions", "pulse", "/positions"),
    ("desk:alerts", "Alerts", "bell", "/alerts"),
    ("desk:risk", "Risk", "shield", "/risk"),
    ("desk:brokers", "Brokers", "bank", "/brokers"),
    ("admin:index", "Settings", "gear", "/admin/"),
)


def desk(request) -> dict[str, object]:
    """`desk` for templates; nothing of it is computed before it is used, so that an error page costs nothing and cannot fail here."""
    return {"desk": SimpleLazyObject(lambda: _desk(request))}


def _desk(request) -> Mapping[str, object]:
    frame: dict[str, object] = {"now": clock.now(), "signed_in": False, "nav": _nav(request.path), "stop": None, "waiting": 0, "mode": "paper"}
    frame["attention"] = []
    try:
        return frame | _of_user(getattr(request, "user", None))
    except DatabaseError:  # the page that says so must still be drawn
        return frame


def _of_user(user) -> Mapping[str, object]:
    if user is None or not user.is_authenticated:
        return {}
    stops = standing()
    return {
        "signed_in": True, "user": user, "initials": _initials(user), "may_act": may_trade(user), "may_release": may_see_all(user),
        "stop": _stop(stops), "attention": attention.notices(user, stops), "waiting": queue.count(user),
        "chips": connections.chips(user), "mode": "live" if (real := connections.real_money(user)) else "paper", "real_money": real,
    }  # fmt: skip


def _stop(stops: Sequence[Stop]) -> Stop | None:
    """What stops the whole desk; what only keeps entries back is a notice."""
    return next((stop for stop in stops if stop.scope == "GLOBAL" and stop.state == TradingMode.HALTED), None)


def _nav(path: str) -> list[Mapping[str, object]]:
    return [{"url": reverse(name), "word": word, "icon": icon, "here": _is_here(path, root)} for name, word, icon, root in PAGES]


def _is_here(path: str, root: str) -> bool:
    return path == root or (root != "/" and path.startswith(root if root.endswith("/") else f"{root}/"))


def _initials(user) -> str:
    names = [user.first_name, user.last_name]
    letters = "".join(n[:1] for n in names if n) or user.get_username()[:2]
    return letters.upper()
