"""What a broker session means to the desk: orders that wait for it, notices about it, bells for the worker that talks to the broker.

Who connects, disconnects or loses a session ends up here; brokers/session.py keeps the session itself.
"""

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from brokers import session
from brokers.models import AccountState, BrokerAccount, BrokerName, BrokerSession, SessionState
from trading.domain.orderfsm import State
from trading.models import Level, Order
from trading.services import doorbell, ledgers, limits, orders, polling, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError

logger = logging.getLogger("tvapp.connect")

ACTOR = "session"
CODE = "ACCOUNT_DISCONNECTED"
RING_AFTER_S = 2
RING_EVERY_S = 5
LOGOUT_S = 300
MOST = 500


# ------------------------------------------------------------------------------------------------------------------ people
def accounts_of(user):
    """The Zerodha accounts this person may see, switched-off ones too."""
    return BrokerAccount.objects.for_user(user).filter(broker=BrokerName.ZERODHA).select_related("session", "owner").order_by("id")


def one_account(user, account_id: int | None = None) -> BrokerAccount:
    """The named Zerodha account, or the only one there is; a person's own come first. Raises AppError when that is not one."""
    rows = accounts_of(user)
    if account_id is not None:
        found = rows.filter(pk=account_id).first()
        if found is None:
            raise AppError("NOT_FOUND", "There is no such account, or it belongs to somebody else.", status=404)
        return found
    for choice in (list(rows.filter(owner=user)[:2]), list(rows[:2])):
        if len(choice) == 1:
            return choice[0]
        if choice:
            raise AppError("ACCOUNT_NEEDED", "There is more than one Zerodha account: say which with account_id.", extra={"field": "account_id"})
    raise AppError("NO_ACCOUNT", "There is no Zerodha account yet. Add one on the brokers page.", status=404)


def add_account(owner, facts: Mapping[str, object], *, actor: str) -> BrokerAccount:
    """A new account of this person. `facts` are fields of the model, the secret under `credentials`. Raises AppError or ValidationError."""
    _check_name(owner, str(facts.get("name", "")))
    account = BrokerAccount(owner=owner, **facts)
    account.full_clean(exclude=["owner"])
    with transaction.atomic():
        account.save(force_insert=True)
        text = f"{actor} added the {account.get_broker_display()} account {account.name} ({account.environment})."
        sysevents.record("broker", "ACCOUNT_ADDED", text, owner=owner, data={"account_id": account.pk})
        limits.for_live(account)
    return account


def change_account(account: BrokerAccount, changes: Mapping[str, object], *, actor: str) -> BrokerAccount:
    """Writes what differs. The session belongs to the key it was made with, so a connected account keeps its key. Raises AppError."""
    real = {name: value for name, value in changes.items() if name == "credentials" or getattr(account, name) != value}
    if "name" in real:
        _check_name(account.owner, str(real["name"]))
    if "api_key" in real and session.is_connected(session.row_of(account)):
        raise AppError("SESSION_ACTIVE", "Disconnect the account before you change its API key.", status=409, extra={"field": "api_key"})
    for name, value in real.items():
        setattr(account, name, value)
    account.full_clean(exclude=["owner"])
    if real:
        with transaction.atomic():
            account.save(update_fields=list(real))
            said = ", ".join(sorted("API secret" if name == "credentials" else name.replace("_", " ") for name in real))
            text = f"{actor} changed {account.name}: {said}."
            sysevents.record("broker", "ACCOUNT_CHANGED", text, owner=account.owner, data={"account_id": account.pk})
    return account


def _check_name(owner, name: str) -> None:
    if BrokerAccount.objects.filter(owner=owner, name=name).exists():
        raise AppError("NAME_TAKEN", f"There is already an account called {name}. Choose another name.", extra={"field": "name"})


def take_callback(user, params: Mapping[str, str]) -> BrokerAccount:
    """The login page sent this person back: stores what it gave and rings for its exchange, in one transaction. Raises AppError."""
    with transaction.atomic():
        account = session.take_callback(user, params)
        doorbell.ring_exchange(account.pk)
    return account


def take_token(account: BrokerAccount, text: str) -> None:
    """A request token carried over by hand. Raises AppError."""
    with transaction.atomic():
        session.take_token(account, text)
        doorbell.ring_exchange(account.pk)


def disconnect(account: BrokerAccount, *, actor: str) -> None:
    """Nothing is sent from here on; queued orders are put on hold; a worker ends the session at the broker and erases it."""
    if account.broker != BrokerName.ZERODHA:
        raise AppError("NO_LOGIN", f"{account.name} is a {account.get_broker_display()} account and has no session.", status=409)
    with ledgers.book_of(account.pk):
        asked = session.begin_end(account)
        _hold_queued(account, f"On hold: {actor} disconnected {account.name}. Log in again and it goes on.")
        text = f"{actor} disconnected {account.name}. What rests at the broker stays there."
        sysevents.record("broker", "SESSION_ENDED", text, level=Level.WARNING, owner=account.owner, data={"account_id": account.pk})
        if asked:
            doorbell.ring_end(account.pk)


def reset(account: BrokerAccount, *, actor: str) -> None:
    """Forgets the tokens at once, without a word to the broker; its owner logs in again."""
    with ledgers.book_of(account.pk):
        session.erase(account, f"{actor} reset the session. Log in again.", "SESSION_RESET")
        _hold_queued(account, f"On hold: {actor} reset the session of {account.name}. It goes on after the next login.")
        text = f"{actor} reset the broker session of {account.name}: its tokens are erased here."
        sysevents.record("broker", "SESSION_RESET", text, level=Level.WARNING, owner=account.owner, data={"account_id": account.pk})


# ------------------------------------------------------------------------------------------------------------------ losses
def session_lost(account: BrokerAccount, why: str, *, seen_at: datetime | None = None) -> bool:
    """The broker no longer takes the session, or its time is over. One notice for each loss, whoever sees it first.

    The account is DISCONNECTED and its queued orders are on hold. `seen_at` is when the call that failed began: news about an older
    session than the present one changes nothing. Safe inside a transaction; returns whether this call was the first to notice.
    """
    with ledgers.book_of(account.pk):
        first = session.expire(account, why, seen_at=seen_at)
        if first:
            text = f"{account.name}: {why.rstrip('.')}. Its orders are on hold until you log in."
            sysevents.record("broker", CODE, text, level=Level.ERROR, owner=account.owner, data={"account_id": account.pk})
            _hold_queued(account, "On hold: the broker session ended before the order was sent. Log in again and it goes on.")
    return first


def _hold_queued(account: BrokerAccount, text: str) -> int:
    """Those that are left over are held one by one when a worker takes them: the gate holds every order of a lost account."""
    rows = Order.objects.filter(account_id=account.pk, status=State.QUEUED).order_by("id")[:MOST]
    return sum(orders.move(order, State.HELD, code=CODE, text=text, actor=ACTOR) for order in rows)


# ----------------------------------------------------------------------------------------------------------- in the worker
def exchange(account_id: int) -> str:
    """Completes a login that waits, says how it ended, and asks for the books."""
    return _completed(account_id, session.exchange(account_id))


def _completed(account_id: int, how: session.Outcome) -> str:
    if not how.done:
        return "nothing"
    account = BrokerAccount.objects.select_related("owner").get(pk=account_id)
    if how.code:
        text = f"{account.name} was not logged in. {how.text}"
        sysevents.record("broker", how.code, text, level=Level.WARNING, owner=account.owner, data={"account_id": account_id})
        return "failed"
    sysevents.record("broker", "SESSION_STARTED", how.text, owner=account.owner, data={"account_id": account_id})
    doorbell.ring_sync(account_id)
    doorbell.ring_instruments(account_id)
    return "connected"


def end(account_id: int) -> str:
    """Ends a session at the broker that somebody disconnected."""
    how = session.end(account_id)
    if how.code:
        logger.warning("account %s is not logged out yet: %s", account_id, how.code)
        return "later"
    return "ended" if how.done else "nothing"


# ---------------------------------------------------------------------------------------------------------------- sweeper
def sweep() -> int:
    """Lost bells of logins and logouts, logins whose worker died, sessions whose time is over. Returns how many it worked on."""
    return sum(_nudge(row) for row in session.waiting()) + sum(_run_out(row) for row in session.run_out())


def _nudge(row: BrokerSession) -> bool:
    age = clock.now() - row.updated_at
    if row.state == SessionState.ENDING and age > clock.seconds(LOGOUT_S):
        return _forget(row)
    if row.state == SessionState.EXCHANGE and session.is_stuck(row):
        return bool(_completed(row.account_id, session.give_up(row)))
    if age < clock.seconds(RING_AFTER_S):
        return False
    ring = doorbell.ring_end if row.state == SessionState.ENDING else doorbell.ring_exchange
    return polling.ring_once(f"session {row.account_id}", clock.seconds(RING_EVERY_S), lambda: ring(row.account_id))


def _forget(row: BrokerSession) -> bool:
    if not session.forget(row):
        return False
    account = row.account
    text = f"{account.name}: the broker did not answer the logout. The tokens are erased here; the session ends there in the morning."
    sysevents.record("broker", "LOGOUT_UNANSWERED", text, level=Level.WARNING, owner=account.owner, data={"account_id": account.pk})
    return True


def _run_out(row: BrokerSession) -> bool:
    end = row.expires_at.astimezone(clock.IST)
    return session_lost(row.account, f"its session ended at {end:%H:%M} IST", seen_at=row.expires_at)


# -------------------------------------------------------------------------------------------------------------- conditions
def not_ready() -> Q:
    """Orders that are on hold for a session or a book that is still missing: no use in asking the gate about them yet."""
    return Q(status_reason__in=(CODE, "ACCOUNT_RECOVERING")) & ~Q(account__state=AccountState.READY)
