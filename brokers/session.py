"""The login of an account: begun on a page, completed by a worker, ended by the broker's clock or by a person.

    NONE, EXPIRED, FAILED -> EXCHANGE -> ACTIVE -> EXPIRED        EXCHANGE -> FAILED        ACTIVE -> ENDING -> NONE

The web process writes what the login page gave back and nothing else; `exchange` and `end` run in a worker and are the only
functions here that talk to the broker. Every change is a conditional UPDATE on the state and the moment that were read, so that of
two at once one wins. What the broker gives for a login is usable once: whatever becomes of an exchange nobody saw the end of, the
person logs in again.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import Q

from brokers import registry
from brokers.errors import AuthExpired, BrokerError, RateLimited, RejectCode, Rejected, Unavailable
from brokers.models import ONE_ACCOUNT, AccountState, BrokerAccount, BrokerName, BrokerSession, Environment, SessionState, environment_of
from brokers.secrets import SecretUnreadable
from brokers.types import Session
from tvapp.lib import clock, crash
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings

logger = logging.getLogger("tvapp.session")

STATE_LIVES_S = 600
EXCHANGE_S = 45  # longer than any answer is waited for, shorter than a task may run
SALT = "brokers.session.state"
S = SessionState
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")
_IN_URL = re.compile(r"[?&]request_token=([A-Za-z0-9_-]{8,128})")


@dataclass(frozen=True)
class Outcome:
    """How an exchange or a logout ended: `code` empty when it went well, `text` is for the person. `done` False: there was nothing to do."""

    done: bool
    code: str = ""
    text: str = ""


NOTHING = Outcome(False)


def row_of(account: BrokerAccount) -> BrokerSession | None:
    """The session row of this account as it is now; None before anybody logged in."""
    return BrokerSession.objects.filter(account_id=account.pk).first() if account.pk else None


def session_of(account: BrokerAccount) -> BrokerSession:
    """The session row of this account, made when there is none."""
    return row_of(account) or BrokerSession.objects.get_or_create(account_id=account.pk)[0]


def is_connected(row: BrokerSession | None) -> bool:
    """Whether the desk holds a session that should work now; a new login under way changes nothing about the old one."""
    return bool(row and row.state in (S.ACTIVE, S.EXCHANGE) and row.expires_at and row.expires_at > clock.now())


def access_token_of(account: BrokerAccount) -> str:
    """The token calls are made with. Raises AuthExpired, before anything is sent, when there is none that should work."""
    row = row_of(account)
    usable = row and row.state in (S.ACTIVE, S.EXCHANGE, S.ENDING) and row.expires_at and row.expires_at > clock.now()
    try:
        token = row.access_token if usable else None
    except SecretUnreadable as lost:
        raise AuthExpired("SECRET_UNREADABLE", "The stored session cannot be opened with the keys in FIELD_KEYS.", sent=False) from lost
    if not token:
        raise AuthExpired("NOT_LOGGED_IN", f"{account.name} is not logged in.", sent=False)
    return token


def api_key_of(account: BrokerAccount) -> str:
    """The account's own, or that of the environment; empty when there is none."""
    return account.api_key or settings.KITE_API_KEY


def credentials_of(account: BrokerAccount) -> tuple[str, str]:
    """API key and API secret: the account's own, or those of the environment. Raises AppError with the account to change."""
    key = api_key_of(account)
    try:
        secret = account.credentials if account.api_key else settings.KITE_API_SECRET
    except SecretUnreadable as lost:
        text = f"The API secret of {account.name} cannot be opened with the keys in FIELD_KEYS. Type it again."
        raise AppError("SECRET_UNREADABLE", text, status=409) from lost
    if not key or not secret:
        what = "API secret" if key else "API key"
        text = f"{account.name} has no {what}. Type it in the account's settings, or set KITE_API_KEY and KITE_API_SECRET."
        raise AppError("NO_CREDENTIALS", text, status=409)
    return key, secret


def _check_address(account: BrokerAccount) -> None:
    """An account keeps the environment it was made in, so that a simulated one is never logged in with real money, nor the reverse."""
    here = environment_of(account.broker)
    if account.environment == here or (settings.TEST_MODE and account.environment == Environment.LIVE):
        return
    there = {Environment.LIVE: "Zerodha itself", Environment.SIM: "a simulator"}.get(here, here)
    text = f"{account.name} is a {account.environment} account, but KITE_ROOT_URL of this desk leads to {there}. Make another account for it."
    raise AppError("WRONG_ENVIRONMENT", text, status=409)


def _check_login(account: BrokerAccount) -> None:
    if account.broker != BrokerName.ZERODHA:
        raise AppError("NO_LOGIN", f"{account.name} is a {account.get_broker_display()} account and needs no login.", status=409)
    _check_address(account)


# ------------------------------------------------------------------------------------------------------------ the way there
def login_url(account: BrokerAccount, user) -> str:
    """Where this person's browser logs this account in. Writes nothing and calls nobody; the address works for ten minutes.

    The state in it is signed and names account, person and end; it is used up by the first login that comes back with it, together
    with every state given out before it. Raises AppError.
    """
    _check_login(account)
    api_key, _ = credentials_of(account)
    until = clock.now() + clock.seconds(STATE_LIVES_S)
    state = signing.dumps([account.pk, user.pk, until.isoformat(), secrets.token_urlsafe(16)], salt=SALT)
    query = urlencode({"v": "3", "api_key": api_key, "redirect_params": urlencode({"state": state})})
    return f"{settings.KITE_LOGIN_URL}?{query}"


def take_callback(user, params: Mapping[str, str]) -> BrokerAccount:
    """What the login page sent this person's browser back with. Stores the request token for the worker. Raises AppError: nothing was stored."""
    state = params.get("state", "")
    account, until = _read_state(state, user)
    if not BrokerSession.objects.filter(Q(nonce_until=None) | Q(nonce_until__lt=until), account=account).exists():
        raise _bad_state("This login was used already.")
    if params.get("status", "") != "success" or not params.get("request_token"):
        raise AppError("LOGIN_CANCELLED", f"{account.name} was not logged in: the login was cancelled at Zerodha.", status=409)
    digest = hashlib.sha256(state.encode()).hexdigest()
    _hand_over(account, params["request_token"], nonce_digest=digest, nonce_until=until)
    return account


def _read_state(state: str, user) -> tuple[BrokerAccount, datetime]:
    try:
        account_id, user_id, until_text, _ = signing.loads(state, salt=SALT)
        until = datetime.fromisoformat(until_text)
    except (signing.BadSignature, ValueError, TypeError) as wrong:
        raise _bad_state("This login was not begun on this desk.") from wrong
    if user_id != user.pk:
        raise _bad_state("This login was begun by somebody else.")
    if until <= clock.now():
        raise _bad_state("This login was begun too long ago.")
    account = BrokerAccount.objects.for_user(user).filter(pk=account_id).first()
    if account is None:
        raise _bad_state("The account of this login is gone.")
    session_of(account)
    return account, until


def _bad_state(why: str) -> AppError:
    return AppError("BAD_STATE", f"{why} Nothing was changed. Begin it again on the brokers page.", status=403)


def take_token(account: BrokerAccount, text: str) -> None:
    """A request token that a person carries over: the token, or the whole address the login page led to. Raises AppError."""
    found = _IN_URL.search(text)
    _hand_over(account, found[1] if found else text.strip())


def _hand_over(account: BrokerAccount, token: str, **nonce: object) -> None:
    """Stores the token for the worker, unless another login is just being worked on."""
    _check_login(account)
    credentials_of(account)
    if not _TOKEN.fullmatch(token):
        text = "This is no request token: it has only letters and digits, or is the whole address you were led to."
        raise AppError("INVALID_VALUE", text, extra={"field": "request_token"})
    row = session_of(account)
    free = row.state not in (S.EXCHANGE, S.ENDING) or (row.state == S.EXCHANGE and is_stuck(row))
    used_up = Q(nonce_until=None) | Q(nonce_until__lt=nonce["nonce_until"]) if nonce else Q()
    if not free or not _swap(row, used_up, state=S.EXCHANGE, request_token=token, error="", error_code="", **nonce):
        raise AppError("LOGIN_BUSY", f"A login or logout of {account.name} is just being completed. Look again in a moment.", status=409)


def is_stuck(row: BrokerSession) -> bool:
    """Whether what was begun should have ended by now: its worker is gone."""
    return clock.now() - row.updated_at > clock.seconds(EXCHANGE_S)


def _swap(row: BrokerSession, *more: Q, **changes: object) -> bool:
    """Writes when nobody else wrote since `row` was read."""
    changes["updated_at"] = clock.now()
    if not BrokerSession.objects.filter(*more, pk=row.pk, state=row.state, updated_at=row.updated_at).update(**changes):
        return False
    for name, value in changes.items():
        setattr(row, name, value)
    return True


# ------------------------------------------------------------------------------------------------------------ in the worker
def exchange(account_id: int) -> Outcome:
    """Completes a login that waits: at most one call with its token, ever. The account is RECOVERING afterwards. Never raises for the broker."""
    row = BrokerSession.objects.select_related("account").filter(account_id=account_id, state=S.EXCHANGE, request_token__isnull=False).first()
    if row is None:
        return NOTHING
    try:
        token = row.request_token
    except SecretUnreadable:
        return _fail(row, "SECRET_UNREADABLE", "The login cannot be opened with the keys in FIELD_KEYS. Log in again.")
    if not _swap(row, request_token=None):  # taken out before it is used: a second worker finds nothing
        return NOTHING
    crash.point("session.claimed")
    try:
        _check_address(row.account)
        found = registry.adapter_for(row.account).complete_login(token)
    except AppError as exc:
        return _fail(row, exc.code, exc.message)
    except BrokerError as exc:
        if isinstance(exc, RateLimited) and exc.local:  # nothing left the desk, so the token is as good as before
            _swap(row, request_token=token)
            return NOTHING
        return _fail(row, *_explain(row.account, exc, token))
    except Exception:  # anything a client library throws may have come after the token was used
        logger.exception("the login of account %s ended in an unexpected way", account_id)
        return _fail(row, *UNKNOWN)
    crash.point("session.exchanged")
    return _store(row, found)


def _store(row: BrokerSession, found: Session) -> Outcome:
    account, now = row.account, clock.now()
    bound = (account.client_id or row.user_id).upper()
    if bound and found.user_id.upper() != bound:
        text = f"{found.user_id} logged in, but this account belongs to {bound}. Log in as {bound}."
        return _fail(row, "OTHER_USER", text)
    facts = {"user_id": found.user_id, "user_name": found.meta.get("user_name", "")[:80], "issued_at": now, "checked_at": now}
    try:
        with transaction.atomic():
            if not _swap(row, state=S.ACTIVE, access_token=found.token, expires_at=ends_at(now), error="", error_code="", **facts):
                return NOTHING
            BrokerAccount.objects.filter(pk=account.pk).update(state=AccountState.RECOVERING, client_id=found.user_id.upper())
    except IntegrityError:  # two accounts of one client would take each other's orders for strangers'
        row.refresh_from_db()
        return _fail(row, "CLIENT_TAKEN", f"{found.user_id} is the login of another account of this desk. {ONE_ACCOUNT}")
    return Outcome(True, "", f"{account.name}: {found.user_id} is logged in until {row.expires_at.astimezone(clock.IST):%H:%M} IST.")


def ends_at(now: datetime) -> datetime:
    """The next morning hour at which the broker ends every session."""
    local = now.astimezone(clock.IST)
    end = datetime.combine(local.date(), time(DeskSettings.current().kite_session_end_h), clock.IST)
    return end if end > local else end + timedelta(days=1)


UNKNOWN = ("LOGIN_UNKNOWN", "The answer to the login did not arrive, and a login works only once. Log in again.")


def _explain(account: BrokerAccount, exc: BrokerError, token: str) -> tuple[str, str]:
    """Code and sentence of a login the broker did not complete. The broker's words decide before its codes."""
    said = exc.message.lower()
    if "checksum" in said or exc.code == "LOGIN_BAD_SECRET":
        return "WRONG_SECRET", "Zerodha does not accept the API secret of this account. Copy it again from the developer console."
    if "api_key" in said and "access_token" not in said:
        return "WRONG_API_KEY", "Zerodha does not know the API key of this account. Copy it again from the developer console."
    if exc.code == "LOGIN_WRONG_USER":
        return "OTHER_USER", f"{exc.message[:200]}. Log in as {account.client_id.upper()}."
    if exc.code == RejectCode.NOT_PERMITTED or exc.code == "TLS_CERT":
        return str(exc.code), _clean(account, exc.message, token)
    if exc.code == RejectCode.IP_NOT_ALLOWED:
        text = f"Zerodha does not allow the address of this machine: {exc.message}"
        return "IP_NOT_ALLOWED", _clean(account, text, token)
    if exc.code == RejectCode.TOTP_REQUIRED:
        return "TOTP_REQUIRED", "Zerodha wants an external authenticator app (TOTP) for this user. Switch it on in Kite, then log in again."
    if isinstance(exc, AuthExpired):
        return "LOGIN_TOKEN_USED", "This login was used already, or is older than a few minutes. Log in again."
    if isinstance(exc, RateLimited):
        return "TOO_MANY_REQUESTS", "Zerodha says that there were too many requests. Wait a minute, then log in again."
    if isinstance(exc, Unavailable) and exc.sent is False:
        return "NO_CONNECTION", "Zerodha could not be reached, nothing was sent. Log in again when the connection is back."
    if isinstance(exc, Rejected):
        return str(exc.code), _clean(account, f"Zerodha refused the login: {exc.message}", token)
    return UNKNOWN


def _clean(account: BrokerAccount, text: str, token: str) -> str:
    """A broker's words without anything that must not be shown."""
    for secret in (token, *credentials_of(account)):
        text = text.replace(secret, "…")
    return text[:300]


def _fail(row: BrokerSession, code: str, text: str) -> Outcome:
    """FAILED; an older session that still runs goes on instead, because a mistyped token must not cut it off."""
    facts = {"request_token": None, "error_code": code, "error": text[:300]}
    won = _swap(row, Q(expires_at__gt=clock.now()), state=S.ACTIVE, **facts) or _swap(row, state=S.FAILED, **facts)
    return Outcome(True, code, text) if won else NOTHING


def give_up(row: BrokerSession) -> Outcome:
    """A login whose worker ended in the middle: the token may be used up, so nobody tries it again."""
    return _fail(row, *UNKNOWN)


# ------------------------------------------------------------------------------------------------------------------ the end
def expire(account: BrokerAccount, why: str, *, seen_at: datetime | None = None, code: str = "SESSION_EXPIRED") -> bool:
    """The broker no longer takes the session: tokens erased, account DISCONNECTED. True for the one that noticed it first.

    `seen_at` is when the call that failed was begun: news about an older session than the present one changes nothing.
    """
    now = clock.now()
    with transaction.atomic():
        row = BrokerSession.objects.select_for_update(of=("self",)).filter(account_id=account.pk).first()
        if row and seen_at and row.issued_at and row.issued_at > seen_at:
            return False
        if row and row.state in (S.ACTIVE, S.EXCHANGE):
            said = {"state": S.EXPIRED, "error": why[:300], "error_code": code, "updated_at": now}
            kept = said if row.state == S.ACTIVE else {}  # a login under way goes on: it will bring a session of its own
            BrokerSession.objects.filter(pk=row.pk).update(access_token=None, expires_at=min(row.expires_at or now, now), **kept)
        lost = BrokerAccount.objects.filter(pk=account.pk).exclude(state=AccountState.DISCONNECTED).update(state=AccountState.DISCONNECTED)
    account.state = AccountState.DISCONNECTED
    return bool(lost)


def begin_end(account: BrokerAccount) -> bool:
    """Somebody disconnects: from here on nothing is sent. Returns whether a worker has to end the session at the broker."""
    with transaction.atomic():
        row = BrokerSession.objects.select_for_update(of=("self",)).filter(account_id=account.pk).first()
        BrokerAccount.objects.filter(pk=account.pk).update(state=AccountState.DISCONNECTED)
        account.state = AccountState.DISCONNECTED
        if row is None or row.state == S.ENDING:
            return row is not None
        if not is_connected(row):
            erase(account)
            return False
        facts = {"state": S.ENDING, "request_token": None, "error": "", "error_code": "", "updated_at": clock.now()}
        BrokerSession.objects.filter(pk=row.pk).update(**facts)
        return True


def end(account_id: int) -> Outcome:
    """Ends the session at the broker, then erases it. A broker that cannot be reached is asked again; `erase` gives up."""
    row = BrokerSession.objects.select_related("account").filter(account_id=account_id, state=S.ENDING).first()
    if row is None:
        return NOTHING
    try:
        registry.adapter_for(row.account).end_session()
    except AuthExpired:
        pass  # it is over already, which is what was wanted
    except BrokerError as exc:
        return Outcome(False, str(exc.code), "The broker did not answer the logout yet.")
    crash.point("session.ended")
    if not forget(row):
        return NOTHING  # it was reset meanwhile, and somebody may have logged in again: that session is none of this logout's business
    return Outcome(True, "", f"{row.account.name} is logged out; its tokens are erased.")


FORGOTTEN: Mapping[str, object] = {"state": S.NONE, "access_token": None, "request_token": None, "expires_at": None}


def forget(row: BrokerSession) -> bool:
    """Forgets a session that was ended, unless another one began since `row` was read."""
    return _swap(row, **FORGOTTEN, error="", error_code="")


def erase(account: BrokerAccount, error: str = "", code: str = "") -> None:
    """Forgets whatever session there is. Who may log in stays remembered."""
    BrokerSession.objects.filter(account_id=account.pk).update(**FORGOTTEN, error=error[:300], error_code=code, updated_at=clock.now())
    BrokerAccount.objects.filter(pk=account.pk).exclude(state=AccountState.DISCONNECTED).update(state=AccountState.DISCONNECTED)
    account.state = AccountState.DISCONNECTED


# ------------------------------------------------------------------------------------------------------- what the sweeper asks
def waiting() -> list[BrokerSession]:
    """Logins and logouts under way, oldest first."""
    return list(BrokerSession.objects.select_related("account", "account__owner").filter(state__in=(S.EXCHANGE, S.ENDING)).order_by("updated_at"))


def run_out() -> list[BrokerSession]:
    """Sessions whose time is over while their account still counts as connected."""
    rows = BrokerSession.objects.select_related("account", "account__owner").filter(expires_at__lte=clock.now())
    return list(rows.filter(Q(state=S.ACTIVE) | ~Q(account__state=AccountState.DISCONNECTED)))
