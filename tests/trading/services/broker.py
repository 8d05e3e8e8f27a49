"""A broker at the wire: an adapter that answers what a test tells it and remembers what it was asked."""

from brokers.errors import Rejected
from brokers.types import Capabilities, Fill, OrderKey, OrderReport, PlaceAck, Status
from tvapp.lib import clock


class Wire:
    """Stands where the adapter of an account stands. `answers` are given (or raised) one per place; then it accepts."""

    ahead = None

    def __init__(self, *answers, **caps):
        self.caps = Capabilities("wire", "BOOK", 20, **caps)
        self.answers, self.placed, self.cancelled = list(answers), [], []
        self.book: dict[str, list[OrderReport]] = {}
        self.changed, self.refusals = [], []
        self.fills: list[Fill] = []

    def place(self, request):
        self.placed.append(request)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return PlaceAck(OrderKey(f"W{len(self.placed)}", request.ref), raw={"status": "success"})

    def cancel(self, key):
        self.cancelled.append(key)

    def modify(self, key, **changes):
        self.changed.append((key, changes))
        if self.refusals:
            raise self.refusals.pop(0)
        return PlaceAck(key)

    def show(self, order, status=Status.OPEN, *, filled=0, broker_id="W1", message=""):
        """Puts the order into the book as the broker would report it."""
        report = OrderReport(
            OrderKey(broker_id, order.tag), None, status, str(status), order.side, order.order_type, order.product, order.quantity, filled, 0,
            order.price, None, None, message, clock.now(), clock.now(),
        )  # fmt: skip
        self.book.setdefault(order.tag, []).append(report)
        return report

    def fill(self, quantity, price, *, trade_id="T1", broker_id="W1"):
        self.fills.append(Fill(trade_id, broker_id, quantity, price, None, "", clock.now()))

    def find_by_ref(self, ref, hint=None):
        return tuple(self.book.get(ref, ()))

    def get_order(self, key):
        found = [report for reports in self.book.values() for report in reports if report.key.broker_order_id == key.broker_order_id]
        if not found:
            raise Rejected("ORDER_NOT_FOUND", "There is no such order")
        return found[-1]

    def check_session(self):
        """It is the right client's."""

    def positions(self):
        return ()

    def holdings(self):
        return ()

    def funds(self):
        return ()

    def list_orders(self):
        return tuple(report for reports in self.book.values() for report in reports)

    def list_fills(self, key=None):
        return tuple(f for f in self.fills if key is None or f.broker_order_id == key.broker_order_id)

    def step(self, now):
        return 0
