"""What an alert would do, by the very code that does it: run inside a transaction that is rolled back, with nothing in the log."""

from datetime import datetime
from enum import StrEnum

from django.db import transaction

from brokers.models import BrokerAccount
from trading.domain.signal import Signal as Parsed
from trading.domain.signal import to_data
from trading.models import Alert, Order, Signal
from trading.services import advice, route
from tvapp.lib import log
from tvapp.lib.money import plain


class Step(StrEnum):
    """How far one signal came."""

    NOTHING = "NOTHING"
    WAITS = "WAITS"
    SENT = "SENT"
    STALE = "STALE"


STEPS = {"WAITING": Step.WAITS, "QUEUED": Step.SENT, "STALE": Step.STALE}


def evaluate(alert: Alert, parsed: list[Parsed], account: BrokerAccount, problem: str, now: datetime) -> list[dict]:
    """For each signal what would become of it: `step`, the order's figures, `why`, and the gate's verdict rule by rule.

    `alert` may be saved or not; nothing of what is made here stays.
    """
    with log.muted(), transaction.atomic():
        if alert.pk is None:
            alert.save(force_insert=True)
        found = [_one(alert, signal, number, account, problem, now) for number, signal in enumerate(parsed, 1)]
        transaction.set_rollback(True)
    return found


def _one(alert: Alert, parsed: Parsed, number: int, account: BrokerAccount, problem: str, now: datetime) -> dict:
    row = Signal.objects.create(
        owner=alert.owner, alert=alert, leg_no=number, scope=f"dry:{alert.pk}", dedupe_key=f"dry:{number}", symbol=alert.symbol,
        action=parsed.action or "BUY", data=to_data(parsed), fired_at=parsed.fired_at, received_at=now,
    )  # fmt: skip
    routed = route.place(row, parsed, alert, account, problem)
    said = {"signal": to_data(parsed), "code": routed.code, "why": routed.text}
    if routed.order is None:
        return {**said, "step": Step.NOTHING.value, "order": None, "verdict": None}
    order = Order.objects.select_related("account", "strategy", "instrument", "owner").get(pk=routed.order.pk)
    became = {"code": order.status_reason, "why": order.why, "step": STEPS[order.status].value}
    return {**said, **became, "order": _shown(order), "verdict": _verdict(order)}


def _shown(order: Order) -> dict[str, object]:
    names = ("symbol", "side", "order_type", "product", "validity", "mode", "reduce_only", "gtt", "simulated")
    figures = ("requested_quantity", "quantity", "price", "trigger_price", "ref_price")
    account = {"account_id": order.account_id, "account": order.account.name, "brackets": order.brackets}
    return {**{name: getattr(order, name) for name in names}, **{name: plain(getattr(order, name)) for name in figures}, **account}


def _verdict(order: Order) -> dict[str, object] | None:
    """None where the gate has nothing to judge: no instrument or no quantity is known."""
    if order.instrument_id is None or order.quantity is None:
        return None
    said = advice.advise(order)
    return {
        "verdict": said.verdict, "code": said.code, "final": plain(said.final), "sentence": said.sentence, "order_class": said.order_class,
        "findings": said.findings, "data": said.data,
    }  # fmt: skip
