"""What the pages say about accounts and their broker sessions. Reads rows only; whether a session still works, the broker alone knows."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from brokers import registry, throttle
from brokers.models import AccountState, BrokerAccount, BrokerName, BrokerSession, Environment, RateBucket, SessionState, SyncState
from brokers.session import is_connected
from trading.domain.orderfsm import State
from trading.models import Order
from trading.selectors import daycheck, drift, gtts, live
from tvapp.lib import clock

SOON_S = 3600
BUSY = (SessionState.EXCHANGE, SessionState.ENDING)
WINDOWS = {1: "this second", 60: "this minute", 86400: "today"}
BOOKS = (("orders_at", "Orders"), ("positions_at", "Positions"), ("holdings_at", "Holdings"), ("funds_at", "Funds"), ("gtts_at", "Triggers (GTT)"))


@dataclass(frozen=True)
class Chip:
    """The login chip: `look` is ok, soon or off."""

    name: str
    look: str
    icon: str
    words: str
    title: str = ""


@dataclass(frozen=True)
class Card:
    """One account on the brokers page."""

    account: BrokerAccount
    session: BrokerSession | None
    chip: Chip | None
    connected: bool
    busy: bool
    held: int
    books: Sequence[tuple[str, object]]
    sync: SyncState | None
    rates: Sequence[tuple[str, int, int]]
    postback_url: str
    differences: Sequence[drift.Shown] = ()
    orphans: Sequence[str] = ()

    @property
    def is_zerodha(self) -> bool:
        return self.account.broker == BrokerName.ZERODHA

    @property
    def result_text(self) -> str:
        """What to say when the broker's result of the day is another than the desk's."""
        return daycheck.sentence(self.account, self.sync)

    @property
    def sig(self) -> str:
        """Changes when the page has other buttons to offer."""
        return f"{self.session.state if self.session else ''}-{self.account.state}-{self.account.enabled}"


def row_of(account: BrokerAccount) -> BrokerSession | None:
    """The session that came with the account; None before anybody logged in."""
    return getattr(account, "session", None)


def accounts(user):
    """This person's accounts with their sessions, the broker's ones first."""
    return BrokerAccount.objects.for_user(user).select_related("owner", "session", "sync").order_by("-broker", "name")


def real_money(user) -> list[str]:
    """Names of this person's accounts whose orders can reach the market from here; none without TVAPP_ALLOW_LIVE, and none on paper only."""
    if live.barred():
        return []
    rows = BrokerAccount.objects.for_user(user).filter(enabled=True, environment=Environment.LIVE)
    return list(rows.order_by("name").values_list("name", flat=True))


def chips(user) -> list[Chip]:
    """The login chips of every page: the person's own accounts that have ever been logged in."""
    rows = BrokerAccount.objects.filter(owner=user, enabled=True).exclude(broker=BrokerName.PAPER).exclude(session__state=SessionState.NONE)
    return [chip(account) for account in rows.filter(session__isnull=False).select_related("session").order_by("name")[:3]]


def chip(account: BrokerAccount) -> Chip:
    row = row_of(account)
    if row is not None and is_connected(row):
        left = int((row.expires_at - clock.now()).total_seconds())
        face, title = f"{row.expires_at.astimezone(clock.IST):%H:%M}", f"Login expires {_moment(row)}, in {_span(left)}"
        if left < SOON_S:
            return Chip(account.name, "soon", "clock", f"login ends in {max(left // 60, 1)} m", title)
        return Chip(account.name, "ok", "link", f"login valid to {face}", title)
    if row is not None and row.state in BUSY:
        return Chip(account.name, "soon", "sync", "login is being completed" if row.state == SessionState.EXCHANGE else "is being logged out")
    if row is not None and row.state == SessionState.EXPIRED and row.expires_at:
        return Chip(account.name, "off", "unlink", f"login expired {row.expires_at.astimezone(clock.IST):%H:%M}", f"Login expired {_moment(row)}")
    return Chip(account.name, "off", "unlink", "not logged in")


def _moment(row: BrokerSession) -> str:
    return f"{row.expires_at.astimezone(clock.IST):%a %d %b %H:%M} IST"


def _span(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m"


def card(account: BrokerAccount) -> Card:
    row, sync = row_of(account), getattr(account, "sync", None)
    real = account.broker != BrokerName.PAPER
    return Card(
        account=account, session=row, chip=chip(account) if real else None, connected=is_connected(row),
        busy=bool(row and row.state in BUSY) or (real and account.state == AccountState.RECOVERING),
        held=Order.objects.filter(account=account, status=State.HELD).count(),
        books=[(word, getattr(sync, name)) for name, word in BOOKS if sync and getattr(sync, name)], sync=sync,
        rates=_rates(account) if real else [], differences=[drift.show(d) for d in drift.of_account(account)] if real else [],
        orphans=gtts.orphans(account) if real else [],
        postback_url=f"{settings.BASE_URL.rstrip('/')}/postback/zerodha/{account.postback_token}" if real else "",
    )  # fmt: skip


def _rates(account: BrokerAccount) -> list[tuple[str, int, int]]:
    """(what, used, allowed by the broker) for each window of more than a second that was used."""
    now, most = clock.now(), registry.caps_for(account.broker).order_rates
    used = {b.window_s: b.used for b in RateBucket.objects.filter(account=account, kind="order") if b.slot == throttle.slot_of(b.window_s, now)}
    return [(f"Order requests {WINDOWS.get(window, '')}".strip(), used.get(window, 0), rate) for window, rate in most if window > 1]


def redirect_url() -> str:
    """What the developer console wants as the redirect URL of the app."""
    return f"{settings.BASE_URL.rstrip('/')}/brokers/zerodha/callback"
