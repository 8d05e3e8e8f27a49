"""What people and TradingView do while processes die: each scene drives one part of the order path and gives up where a death left it."""

from collections.abc import Callable

from tests.crash.stage import PRICE, Stage

Scene = Callable[[Stage], None]
FAULTS = {  # what the broker does meanwhile, by the route it does it on
    "place": ("hang_before", "hang_after", "drop_before", "drop_after", "5xx_before", "5xx_after", "html_502", "429", "400_margin",
              "400_timed_out_but_placed", "malformed", "lag_orderbook", "reject_after_accept", "slow"),
    "cancel": ("hang_after", "drop_before", "drop_after", "5xx_after", "fill_before_cancel", "429"),
    "modify": ("hang_after", "drop_before", "drop_after", "5xx_after", "429"),
    "orders": ("5xx_before", "empty_book", "partial_book", "429", "drop_after", "lag_orderbook"),
}  # fmt: skip


def auto(stage: Stage) -> None:
    stage.reach(stage.send(stage.fresh()), "COMPLETE")


def approve(stage: Stage) -> None:
    order_id = stage.send(stage.fresh(), "kite-manual")
    stage.ask(f"/api/orders/{order_id}/execute")
    stage.reach(order_id, "COMPLETE")


def paper(stage: Stage) -> None:
    order_id = stage.send(stage.fresh(), "demo-auto", order_type="SL_M", trigger_price=1100)
    stage.reach(order_id, "OPEN", seconds=4)
    stage.ask(f"/api/orders/{order_id}/cancel")
    stage.reach(stage.send(stage.fresh(), "demo-auto"), "COMPLETE", seconds=4)


def cancel(stage: Stage) -> None:
    order_id = _resting(stage)
    stage.ask(f"/api/orders/{order_id}/cancel")
    stage.reach(order_id, "CANCELLED", "COMPLETE")


def change(stage: Stage) -> None:
    order_id = _resting(stage)
    stage.ask(f"/api/orders/{order_id}/modify", {"quantity": "2"})
    stage.reached(lambda: not stage.order(order_id)["pending_action"], 6)
    stage.ask(f"/api/orders/{order_id}/cancel")


def fill(stage: Stage) -> None:
    """Part of it fills, then all of it; the postback that told it is the simulator's own."""
    symbol = stage.fresh()
    stage.kite.price(f"NSE:{symbol}", PRICE, quantity=2)
    order_id = stage.send(symbol, quantity=5)
    stage.reach(order_id, "PARTIAL")
    stage.kite.price(f"NSE:{symbol}", PRICE)
    stage.reach(order_id, "COMPLETE")


def guard(stage: Stage) -> None:
    """An entry with stop and target; the price runs to the target, which cancels the stop."""
    symbol = stage.fresh()
    order_id = stage.send_with_exits(symbol)
    stage.reach(order_id, "COMPLETE")
    stage.reached(lambda: len([row for row in stage.children(order_id) if row["status"] == "OPEN"]) == 2, 6)
    stage.kite.price(f"NSE:{symbol}", round(PRICE * 1.05))
    stage.reached(lambda: all(row["status"] in ("COMPLETE", "CANCELLED") for row in stage.children(order_id)), 8)


def trigger(stage: Stage) -> None:
    """A delivery buy whose stop and target are one trigger at the broker; it fires."""
    symbol = stage.fresh()
    order_id = stage.send_with_exits(symbol, product="CNC")
    stage.reach(order_id, "COMPLETE")
    stage.reached(lambda: [row["status"] for row in stage.children(order_id)] == ["OPEN"], 6)
    stage.kite.price(f"NSE:{symbol}", round(PRICE * 1.05))
    stage.reached(lambda: [row["status"] for row in stage.children(order_id)] == ["COMPLETE"], 8)


def slices(stage: Stage) -> None:
    """More than the exchange takes at once."""
    order_id = stage.send(stage.cheap(), quantity=150_000, price=1)
    stage.reach(order_id, "COMPLETE")
    stage.reached(lambda: [row["status"] for row in stage.children(order_id)] == ["COMPLETE"], 6)


def square_off(stage: Stage) -> None:
    """Everything of the account is closed; the account takes orders again afterwards."""
    _resting(stage)
    status, asked = stage.ask("/api/risk/square-off", {"account_id": stage.account["id"], "confirm": stage.account["name"]})
    if status == 202:
        at = f"/api/risk/square-offs/{asked['id']}"
        stage.reached(lambda: stage.desk.call("GET", at)[1]["state"] in ("DONE", "NEEDS_REVIEW"), 12)


def kill(stage: Stage) -> None:
    """The kill switch with an order at rest, and its release."""
    order_id = _resting(stage)
    stage.ask("/api/risk/kill", {"reason": "crash test", "cancel_open": True})
    stage.reach(order_id, "CANCELLED", "COMPLETE", seconds=5)
    stage.ask("/api/risk/release", {"reason": "over"})


def read(stage: Stage) -> None:
    """Something is traded in the broker's own app, and the books are read."""
    stage.kite.post("outside", {"tradingsymbol": stage.fresh(), "exchange": "NSE", "transaction_type": "BUY", "quantity": 1, "product": "CNC",
                                "order_type": "LIMIT", "price": 900})  # fmt: skip
    stage.ask(f"/api/brokers/accounts/{stage.account['id']}/sync")
    stage.reached(stage.knows_outside, 6)


def session(stage: Stage) -> None:
    """The session ends under an order; a person logs in again."""
    stage.kite.post("expire")
    order_id = stage.send(stage.fresh())
    stage.reach(order_id, "HELD", seconds=5)
    stage.connect()
    stage.reach(order_id, "COMPLETE", "WAITING")


def _resting(stage: Stage) -> int:
    symbol = stage.fresh()
    order_id = stage.send(symbol, order_type="LIMIT", price=round(PRICE * 0.97))
    stage.reach(order_id, "OPEN")
    return order_id


SCENES: dict[str, Scene] = {
    act.__name__: act for act in (auto, approve, paper, cancel, change, fill, guard, trigger, slices, square_off, kill, read, session)
}
