"""Good-till-triggered orders: stored, watched, fired once. They carry no tag, as with Kite."""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal as D
from typing import TYPE_CHECKING

from brokers.kitesim import engine, rules
from brokers.kitesim.accounts import Account
from brokers.kitesim.answers import Refused, invalid
from brokers.kitesim.simclock import stamp

if TYPE_CHECKING:
    from brokers.kitesim.state import Simulator

MOST_ACTIVE, LIVES, TOO_CLOSE = 250, timedelta(days=365), D("0.0025")
LEGS = {"single": 1, "two-leg": 2}
PRODUCT = {"NSE": "CNC", "BSE": "CNC", "NFO": "NRML", "BFO": "NRML"}


def place(sim: "Simulator", account: Account, form: Mapping[str, str]) -> dict[str, object]:
    if sum(row["status"] == "active" for row in account.gtts.values()) >= MOST_ACTIVE:
        raise Refused(f"Maximum allowed active GTTs is {MOST_ACTIVE}.")
    number = sim.next_number() % 1_000_000_000
    now = sim.clock.now()
    fresh = {"id": number, "user_id": account.user_id, "parent_trigger": None, "created_at": stamp(now), "expires_at": stamp(now + LIVES), "meta": {}}
    account.gtts[number] = fresh | _read(sim, form)
    return {"trigger_id": number}


def modify(sim: "Simulator", account: Account, number: str, form: Mapping[str, str]) -> dict[str, object]:
    row = find(account, number)
    if row["status"] not in ("active", "disabled"):
        raise Refused("Trigger cannot be modified.")
    row.update(_read(sim, form))
    return {"trigger_id": row["id"]}


def delete(sim: "Simulator", account: Account, number: str) -> dict[str, object]:
    row = find(account, number)
    if row["status"] not in ("active", "disabled"):
        raise Refused("Trigger cannot be deleted.")
    row["status"], row["updated_at"] = "deleted", sim.clock.stamp()
    return {"trigger_id": row["id"]}


def find(account: Account, number: str) -> dict[str, object]:
    row = account.gtts.get(int(number)) if number.isdecimal() else None
    if row is None:
        raise Refused("Couldn't find that `trigger_id`.", "GeneralException", 404)
    return row


def _read(sim: "Simulator", form: Mapping[str, str]) -> dict[str, object]:
    """Type, condition and legs of a request, judged."""
    try:
        condition = json.loads(form.get("condition") or "", parse_float=D, parse_int=D)
        legs = json.loads(form.get("orders") or "", parse_float=D)
        triggers = sorted(D(value) for value in condition["trigger_values"])
        last = D(condition["last_price"])
        kind = rules.one_of(form, "type", tuple(LEGS))
    except (ValueError, ArithmeticError, KeyError, TypeError) as why:
        raise invalid("condition") from why
    if len(triggers) != LEGS[kind] or not isinstance(legs, list) or len(legs) != LEGS[kind]:
        raise invalid("trigger_values")
    item = rules.instrument(condition, sim.market)
    orders = [_leg(sim, {**leg, "exchange": item.exchange, "tradingsymbol": item.tradingsymbol}) for leg in legs]
    near = any(abs(value - last) < last * TOO_CLOSE for value in triggers)
    return {
        "type": kind,
        "updated_at": sim.clock.stamp(),
        "status": "disabled" if near else "active",
        "condition": {
            "exchange": item.exchange,
            "last_price": last,
            "tradingsymbol": item.tradingsymbol,
            "trigger_values": triggers,
            "instrument_token": item.token,
        },
        "orders": orders,
    }


def _leg(sim: "Simulator", leg: dict[str, object]) -> dict[str, object]:
    fields = {name: str(value) for name, value in leg.items()}
    wish = rules.read("regular", fields, sim.market)
    if wish.order_type != "LIMIT":
        raise invalid("order_type")
    if wish.product != PRODUCT.get(wish.item.exchange):
        raise invalid("product")
    if wish.quantity <= 0 or wish.quantity % max(1, wish.item.lot):
        raise invalid("quantity")
    return {
        "exchange": wish.item.exchange,
        "tradingsymbol": wish.item.tradingsymbol,
        "product": wish.product,
        "order_type": "LIMIT",
        "transaction_type": wish.side,
        "quantity": wish.quantity,
        "price": wish.price,
        "result": None,
    }


# ---------------------------------------------------------------------------- watching
def price_moved(sim: "Simulator", keys: Iterable[str]) -> None:
    """Fires what these prices trigger, and expires what is too old."""
    moved, now = set(keys), sim.clock.stamp()
    for account in list(sim.accounts.values()):
        for row in account.gtts.values():
            if row["status"] != "active":
                continue
            key = f"{row['condition']['exchange']}:{row['condition']['tradingsymbol']}"
            if row["expires_at"] <= now or key not in sim.market.by_key:
                row["status"], row["updated_at"] = "expired", now
                continue
            leg = _triggered(row, sim.market.price(key)) if key in moved else None
            if leg is not None:
                _fire(sim, account, row, leg)


def _triggered(row: Mapping[str, object], last: D) -> int | None:
    """The leg that fires. One trigger fires away from the last price the client named, two at their ends."""
    triggers, named = row["condition"]["trigger_values"], row["condition"]["last_price"]
    if row["type"] == "single":
        fires = last >= triggers[0] if triggers[0] > named else last <= triggers[0]
        return 0 if fires else None
    return 0 if last <= triggers[0] else 1 if last >= triggers[1] else None


def _fire(sim: "Simulator", account: Account, row: dict[str, object], leg: int) -> None:
    order, now = row["orders"][leg], sim.clock.stamp()
    form = {name: str(order[name]) for name in ("exchange", "tradingsymbol", "product", "order_type", "transaction_type", "quantity", "price")}
    row["status"], row["updated_at"] = "triggered", now
    try:
        placed, reason = engine.place(sim, account, "regular", form)["order_id"], ""
    except Refused as why:
        placed, reason = "", why.message
    result = {"status": "success" if placed else "failed", "order_id": placed, "rejection_reason": reason}
    order["result"] = {"account_id": account.user_id, **form, "quantity": order["quantity"], "price": order["price"], "validity": "DAY", "meta": ""}
    order["result"] |= {"timestamp": now, "triggered_at": sim.market.price(f"{order['exchange']}:{order['tradingsymbol']}"), "order_result": result}
