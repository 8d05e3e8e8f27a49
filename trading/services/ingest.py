"""From a body to rows, in one transaction: the alert, its signals, its orders and their bells. Then, and only then, an answer.

Who may send is decided before anything is believed. What a good sender got wrong is kept, so that the person can see it.
"""

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from brokers.models import BrokerAccount
from trading.domain import alertjson, dedupe, dialects
from trading.domain import signal as signals
from trading.domain.signal import Signal as Parsed
from trading.models import Alert, Level, Order, Outcome, Signal, Strategy
from trading.services import dryrun, ledgers, route, sysevents
from tvapp.lib import clock, crash
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings
from tvapp.people.auth import digest

logger = logging.getLogger("tvapp.ingest")
DEFAULT_ACCOUNT = "paper"
_DUMMY = digest("no such secret")


@dataclass(frozen=True)
class Answer:
    """What the webhook says: HTTP status and body."""

    status: int
    alert_id: int
    order_ids: list[int]
    correlation_id: str
    word: str = "accepted"
    duplicate: bool = False
    code: str = ""

    def body(self) -> dict[str, object]:
        first = self.order_ids[0] if self.order_ids else None
        data: dict[str, object] = {"id": self.alert_id, "alert_id": self.alert_id, "order_id": first, "order_ids": self.order_ids}
        data |= {"status": self.word, "duplicate": self.duplicate, "correlation_id": self.correlation_id}
        return data | ({"code": self.code} if self.code else {})


@dataclass(frozen=True)
class Sender:
    """Who proved to be allowed to send: one strategy by its own secret, or the whole desk by the installation's."""

    strategy: Strategy | None
    endpoint: str


@dataclass
class Delivery:
    """One request on its way through ingest."""

    raw: bytes
    body: dict[str, object]
    received_at: datetime
    correlation_id: str
    source: str
    sender: Sender
    strategy: Strategy | None = None
    problem: str = ""
    dialect: str = ""
    parsed: list[Parsed] = field(default_factory=list)

    @property
    def owner(self):
        return self.strategy.owner if self.strategy else default_account().owner

    @property
    def body_hash(self) -> str:
        return dedupe.body_hash(self.raw)


def receive(raw: bytes, *, token: str | None, source: str, correlation_id: str, wanted_dialect: str = "") -> Answer:
    """Takes one body to its rows and its answer. AppError for what is refused; nothing is stored unless the secret was right."""
    received_at = clock.now()
    body = alertjson.parse_body(raw)
    sender = authenticate(body, token)
    delivery = Delivery(raw, body, received_at, correlation_id, source, sender)
    try:
        _understand(delivery, wanted_dialect)
    except AppError as refused:
        if refused.status == 400:
            _keep_refused(delivery, refused)
        raise
    crash.point("ingest.understood")
    return _store(delivery)


# ------------------------------------------------------------------------------ who
def _refuse_secret() -> AppError:
    return AppError("UNAUTHORIZED", "The secret is missing or wrong.", status=401)


def authenticate(body: Mapping[str, object], token: str | None) -> Sender:
    """The sender by path token or body secret. Missing, wrong, retired and unknown are one answer: 401."""
    given = alertjson.find_secret(body)
    if token is not None:
        strategy = _by_secret(token)
        if given and not (_is_installation(given) or _same(_by_secret(given), strategy)):
            raise _refuse_secret()
        return Sender(strategy, "path")
    if given and _is_installation(given):
        return Sender(None, "body")
    return Sender(_by_secret(given or ""), "body")


def _same(one: Strategy, other: Strategy) -> bool:
    return one.pk == other.pk


def _is_installation(given: str) -> bool:
    secret = settings.TRADINGVIEW_WEBHOOK_SECRET
    return bool(secret) and hmac.compare_digest(digest(given), digest(secret))


def _by_secret(given: str) -> Strategy:
    """Found by hash, so the time of the look-up says nothing about the secret. Raises 401."""
    key = digest(given)
    valid = Q(secret_digest=key) | Q(old_secret_digest=key, old_secret_until__gt=clock.now())
    strategy = Strategy.objects.standing().filter(valid).select_related("owner", "account").first()
    stored = (strategy.secret_digest, strategy.old_secret_digest) if strategy else (_DUMMY, _DUMMY)
    matches = [hmac.compare_digest(key, s or _DUMMY) for s in stored]
    if not any(matches) or strategy is None or not strategy.owner.is_active:
        raise _refuse_secret()
    return strategy


# ----------------------------------------------------------------------------- what
def _understand(delivery: Delivery, wanted: str) -> None:
    """Dialect, signals, strategy; in the order in which a refusal helps the sender most."""
    alertjson.check_placeholders(delivery.body)
    strategy = delivery.sender.strategy
    delivery.strategy = strategy
    dialect = dialects.detect(delivery.body, wanted)
    delivery.dialect = dialect.NAME
    if dialects.ignored_platform(delivery.body):
        delivery.problem = "PLATFORM_IGNORED"
        return
    delivery.parsed = dialect.to_signals(delivery.body, _context(delivery))
    _pick(delivery, delivery.parsed[0].strategy_ref or "")
    if delivery.strategy is not strategy:  # named in the body: it is read again as that strategy wants it read
        delivery.parsed = dialect.to_signals(delivery.body, _context(delivery))
    for parsed in delivery.parsed:
        route.check_values(parsed)


def _context(delivery: Delivery) -> dialects.Context:
    strategy = delivery.strategy
    return dialects.Context(
        received_at=delivery.received_at,
        default_exchange=strategy.default_exchange if strategy else "NSE",
        use_target=bool(strategy and strategy.use_target),
    )


def _pick(delivery: Delivery, ref: str) -> None:
    """The strategy of this alert. A strategy's own secret sends for that strategy only."""
    own = delivery.sender.strategy
    if own is not None:
        if ref and not _names(own, ref) and delivery.sender.endpoint == "body":
            raise _refuse_secret()
        delivery.problem = "" if own.enabled else "STRATEGY_DISABLED"
        return
    delivery.strategy = _by_name(ref, str(delivery.body.get("st_user_id") or ""))
    if delivery.strategy is None:
        delivery.problem = "STRATEGY_UNKNOWN"
    elif not delivery.strategy.enabled:
        delivery.problem = "STRATEGY_DISABLED"


def _names(strategy: Strategy, ref: str) -> bool:
    return ref.strip().casefold() == strategy.name.casefold() or ref.strip() == str(strategy.pk)


def _by_name(ref: str, username: str) -> Strategy | None:
    ref = ref.strip()
    if not ref:
        return None
    named = Q(name__iexact=ref) | (Q(pk=int(ref)) if ref.isdecimal() and len(ref) < 19 else Q(pk__in=[]))
    rows = Strategy.objects.standing().filter(named, owner__is_active=True).select_related("owner", "account").order_by("id")
    mine = [row for row in rows if row.owner.username == username] if username else []
    if not mine and username and get_user_model().objects.filter(username=username).exists():
        return None  # somebody of this desk was named: nobody else's strategy of that name is meant
    return next(iter(mine or rows), None)


def default_account() -> BrokerAccount:
    """Where an alert of no known strategy waits: the first account called `paper`."""
    rows = BrokerAccount.objects.select_related("owner").order_by("id")
    account = rows.filter(name=DEFAULT_ACCOUNT).first() or rows.first()
    if account is None:
        raise AppError("NO_ACCOUNT", "There is no broker account yet. Start the desk once with bin/run.", status=503)
    return account


# --------------------------------------------------------------------------- store
def _store(delivery: Delivery) -> Answer:
    """The one transaction. A conflict on a signal's key means a repeat: the stored answer is given again."""
    if _dry(delivery) and not _ignored(delivery):
        return _kept_dry(delivery)
    with transaction.atomic():
        repeat = _recent_body(delivery)
        if repeat is None:
            try:
                with transaction.atomic():
                    alert = _alert(delivery, Outcome.IGNORED if _ignored(delivery) else Outcome.ACCEPTED, delivery.problem)
                    rows = [_signal(delivery, alert, parsed) for parsed in delivery.parsed]
                    crash.point("ingest.inserted")
            except IntegrityError:
                repeat = _first(delivery)
        if repeat is not None:
            return _repeated(delivery, repeat)
        answer = _orders(delivery, alert, rows)
        crash.point("ingest.before_commit")
    crash.point("ingest.committed")
    return answer


def _dry(delivery: Delivery) -> bool:
    """The sender or the strategy wants to see only. It is never the key of a repeat: the real alert with the same key is still to come."""
    return delivery.body.get("dry_run") in (True, "true", "1", 1) or bool(delivery.strategy and delivery.strategy.dry_run)


def _kept_dry(delivery: Delivery) -> Answer:
    """The alert with everything it would have done; no signal, no order, no bell."""
    with transaction.atomic():
        alert = _alert(delivery, Outcome.IGNORED, "DRY_RUN")
        alert.evaluation = dryrun.evaluate(alert, delivery.parsed, _account(delivery), delivery.problem, delivery.received_at)
        alert.save(update_fields=["evaluation"])
    return Answer(200, alert.pk, [], alert.correlation_id, "ignored", code=alert.code)


def rehearse(raw: bytes, *, user, strategy: Strategy | None, correlation_id: str) -> dict[str, object]:
    """What this body would do if it came by the webhook now, for a signed-in person and their own strategies. Writes nothing, needs no secret.

    `strategy` is the one it is meant for; None: the one it names. AppError as the webhook would answer, STRATEGY_UNKNOWN for somebody else's.
    """
    body = alertjson.parse_body(raw)
    delivery = Delivery(raw, body, clock.now(), correlation_id, "", Sender(strategy, "path"))
    _understand(delivery, "")
    if delivery.strategy is None or not Strategy.objects.for_user(user).filter(pk=delivery.strategy.pk).exists():
        raise AppError("STRATEGY_UNKNOWN", "The body names no strategy of yours. Choose one to try it with.", status=400)
    found: list[dict] = []
    if not _ignored(delivery):
        alert = _new_alert(delivery, Outcome.IGNORED, "DRY_RUN")
        found = dryrun.evaluate(alert, delivery.parsed, _account(delivery), delivery.problem, delivery.received_at)
    keys = [_key(delivery, parsed)[1] for parsed in delivery.parsed]
    repeat = Signal.objects.filter(scope=str(delivery.strategy.pk), dedupe_key__in=keys).exists()
    head = {"dialect": delivery.dialect, "strategy_id": delivery.strategy.pk, "strategy": delivery.strategy.name, "duplicate": repeat}
    return {**head, "code": delivery.problem, "message": route.sentence(delivery.problem), "signals": found}


def _ignored(delivery: Delivery) -> bool:
    """Stored but not acted upon: a foreign platform, or a disabled strategy that spoke with its own secret."""
    own = delivery.sender.strategy is not None
    return delivery.problem == "PLATFORM_IGNORED" or (own and delivery.problem == "STRATEGY_DISABLED")


def _account(delivery: Delivery) -> BrokerAccount:
    return delivery.strategy.account if delivery.strategy else default_account()


def _alert(delivery: Delivery, outcome: str, code: str, message: str = "") -> Alert:
    alert = _new_alert(delivery, outcome, code, message)
    alert.save(force_insert=True)
    return alert


def _new_alert(delivery: Delivery, outcome: str, code: str, message: str = "") -> Alert:
    first = delivery.parsed[0] if delivery.parsed else None
    symbol = ":".join(p for p in (first.tv_exchange, first.tv_symbol) if p) if first else ""
    return Alert(
        owner=delivery.owner, strategy=delivery.strategy, strategy_ref=(first.strategy_ref or "")[:128] if first else "",
        received_at=delivery.received_at, correlation_id=delivery.correlation_id, source=delivery.source or None, endpoint=delivery.sender.endpoint,
        dialect=delivery.dialect, symbol=symbol[:80], body=alertjson.to_json(alertjson.redact(delivery.body)), body_hash=delivery.body_hash,
        outcome=outcome, code=code, message=message or route.sentence(code),
    )  # fmt: skip


def _scope(delivery: Delivery, parsed: Parsed) -> str:
    return str(delivery.strategy.pk) if delivery.strategy else f"ref:{(parsed.strategy_ref or '')[:128]}"


def _key(delivery: Delivery, parsed: Parsed) -> tuple[str, str]:
    mode = delivery.strategy.dedupe_scope if delivery.strategy else "BAR"
    return dedupe.dedupe_key(parsed, delivery.body_hash, mode)


def _signal(delivery: Delivery, alert: Alert, parsed: Parsed) -> Signal:
    kind, key = _key(delivery, parsed)
    if kind == "b":  # valid for a window only: the receipt time makes a later equal body a new one
        key = f"{key}:{delivery.received_at:%Y%m%d%H%M%S%f}"
    return Signal.objects.create(
        owner=alert.owner, alert=alert, leg_no=parsed.leg_no or 1, scope=_scope(delivery, parsed), dedupe_key=key, explicit_key=kind == "k",
        symbol=alert.symbol, action=parsed.action, data=signals.to_data(parsed), fired_at=parsed.fired_at, received_at=delivery.received_at,
    )  # fmt: skip


def _recent_body(delivery: Delivery) -> Alert | None:
    """The earlier alert when a body without id and times is repeated within the window. Serialised by the scope's ledger row."""
    if not delivery.parsed or _key(delivery, delivery.parsed[0])[0] != "b":
        return None
    scope = f"INGEST:{delivery.body_hash[:32]}"
    ledgers.bump([scope])
    since = delivery.received_at - clock.seconds(DeskSettings.current().duplicate_body_s)
    rows = Alert.objects.filter(body_hash=delivery.body_hash, received_at__gt=since, signals__scope=_scope(delivery, delivery.parsed[0]))
    return rows.order_by("id").first()


def _first(delivery: Delivery) -> Alert:
    keys = Q()
    for parsed in delivery.parsed:
        keys |= Q(scope=_scope(delivery, parsed), dedupe_key=_key(delivery, parsed)[1])
    return Signal.objects.filter(keys).select_related("alert").order_by("id")[0].alert


def _repeated(delivery: Delivery, alert: Alert) -> Answer:
    """A repeat stores nothing new: it is counted and gets the first answer's ids."""
    Alert.objects.filter(pk=alert.pk).update(duplicate_count=F("duplicate_count") + 1, last_duplicate_at=delivery.received_at)
    if alert.body_hash != delivery.body_hash and alert.signals.filter(explicit_key=True).exists():
        text = f"An alert with the key of alert {alert.pk} came again with another content. The first one counts."
        data = {"first": alert.body, "second": alertjson.to_json(alertjson.redact(delivery.body))}
        sysevents.record("alert", "IDEMPOTENCY_CONFLICT", text, level=Level.WARNING, owner=alert.owner, alert=alert, data=data)
    ids = list(Order.objects.filter(alert=alert, copied_from=None).order_by("id").values_list("id", flat=True))
    word = "accepted" if alert.outcome == Outcome.ACCEPTED else "ignored"
    return Answer(200, alert.pk, ids, alert.correlation_id, word, duplicate=True, code=alert.code if word == "ignored" else "")


def _orders(delivery: Delivery, alert: Alert, rows: list[Signal]) -> Answer:
    """Routes each signal; the answer says what became of the first."""
    if alert.outcome == Outcome.IGNORED:
        sysevents.record("alert", alert.code, alert.message, owner=alert.owner, alert=alert)
        return Answer(200, alert.pk, [], alert.correlation_id, "ignored", code=alert.code)
    account = _account(delivery)
    results = [route.place(row, parsed, alert, account, delivery.problem) for row, parsed in zip(rows, delivery.parsed, strict=True)]
    return _answer(alert, results)


def _answer(alert: Alert, results: list[route.Routed]) -> Answer:
    ids = [r.order.pk for r in results if r.order]
    idle = next((r for r in results if r.ignored), None)
    if idle is None or any(not r.ignored for r in results):
        return Answer(201, alert.pk, ids, alert.correlation_id)
    alert.outcome, alert.code, alert.message = Outcome.IGNORED, idle.code, idle.text
    alert.save(update_fields=["outcome", "code", "message"])
    return Answer(200, alert.pk, ids, alert.correlation_id, "ignored", code=idle.code)


def _keep_refused(delivery: Delivery, refused: AppError) -> None:
    """A bad body with a good secret is kept for some days: the sender cannot see our answer, the person can see this."""
    delivery.parsed = []
    _alert(delivery, Outcome.REJECTED, refused.code, refused.message)


# -------------------------------------------------------------------------- replay
def replay(alert_id: int, *, dry_run: bool = False) -> str:
    """Routes the signals of a stored alert that made no order (a disabled strategy, nothing to do). They wait as MANUAL; never twice."""
    alert = Alert.objects.select_related("strategy__account", "strategy__owner").filter(pk=alert_id).first()
    if alert is None:
        raise AppError("NOT_FOUND", f"There is no alert {alert_id}.", status=404)
    rows = [s for s in alert.signals.all() if not s.orders.exists()]
    if not rows:
        raise AppError("NOTHING_TO_REPLAY", f"Alert {alert_id} has no signal that is still without an order.", status=409)
    if dry_run:
        return f"alert {alert_id}: would make {len(rows)} waiting order(s)"
    account = alert.strategy.account if alert.strategy else default_account()
    with transaction.atomic():
        routed = [route.place(row, signals.from_data(row.data), alert, account, "REPLAYED") for row in rows]
        Alert.objects.filter(pk=alert.pk).update(outcome=Outcome.ACCEPTED, code="REPLAYED")
    ids = ", ".join(str(r.order.pk) for r in routed if r.order) or "none"
    return f"alert {alert_id}: orders {ids}"
