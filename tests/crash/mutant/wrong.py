"""Five ways of building it wrong that others did before; each is one change of one module, made in a process of a crash test."""

from dataclasses import replace
from functools import wraps


def failed_on_timeout(dispatch) -> None:
    """No answer is called a refusal."""
    record = dispatch._record_error

    @wraps(record)
    def wrong(order, attempt, exc):
        return record(order, attempt, dispatch.Rejected("OTHER", exc.message) if isinstance(exc, dispatch.Ambiguous) else exc)

    dispatch._record_error = wrong


def separate_commits(ingest) -> None:
    """The alert is saved first and its order afterwards."""
    make = ingest._orders

    @wraps(make)
    def wrong(*args):
        connection = ingest.transaction.get_connection()
        connection.connection.execute("COMMIT")
        connection.connection.execute("BEGIN IMMEDIATE")
        return make(*args)

    ingest._orders = wrong


def another_tag(dispatch) -> None:
    """Every attempt has a tag of its own."""
    build = dispatch._request

    @wraps(build)
    def wrong(order, *args):
        return replace(build(order, *args), ref=f"{order.tag[:-1]}{order.attempt}")

    dispatch._request = wrong


def sent_again(recover) -> None:
    """What the broker does not show was not accepted, so it is sent again."""

    def wrong(order):
        recover.orders.move(order, recover.State.QUEUED, text="The broker does not show it.", actor=recover.ACTOR)
        return "queued again"

    _may_go_back(recover)
    recover._absent = wrong


def no_lease(recover) -> None:
    """Who sends an order is not remembered: whoever finds it on its way takes it for left behind."""

    def all_of_them(account_id=None):
        rows = recover.Order.objects.filter(status=recover.State.SENDING).select_related("account", "strategy", "instrument", "owner")
        return list(rows.filter(account_id=account_id) if account_id else rows)

    def wrong(order, why):
        recover.orders.move(order, recover.State.QUEUED, text=f"Queued again: {why}.", actor=recover.ACTOR)
        return "queued again"

    recover.sending_lost, recover.lost = all_of_them, wrong


def _may_go_back(recover) -> None:
    from trading.domain import orderfsm

    orderfsm.MOVES[recover.State.UNKNOWN] |= {recover.State.QUEUED}


DISPATCH, INGEST, RECOVER = (f"trading.services.{name}" for name in ("dispatch", "ingest", "recover"))
WAYS = {
    "failed_on_timeout": (DISPATCH, failed_on_timeout),
    "separate_commits": (INGEST, separate_commits),
    "another_tag": (DISPATCH, another_tag),
    "sent_again": (RECOVER, sent_again),
    "no_lease": (RECOVER, no_lease),
}
