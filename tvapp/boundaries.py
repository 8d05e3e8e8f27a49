"""In a crash test every boundary of the order path is a crash point without being named: found by watching, not listed by hand.

A boundary is the end of a transaction, a request to a broker, and a task put into the queue. Its name says what it is and which function of
ours it belongs to: `commit trading.services.dispatch.claim before`. Installed only with TVAPP_TEST=1 and TVAPP_CRASH_DIR (`tvapp.lib.crash`).
"""

import http.client
import sys
from threading import Timer

from django.db import transaction

from tvapp.lib import crash

ROOMS = ("trading.services.", "trading.tasks", "brokers.session", "brokers.throttle", "brokers.paper.", "brokers.quotes")
PLUMBING = ("trading.services.ledgers", "trading.services.doorbell")  # they serve whoever called them
MID_CALL_S = 0.02

_reached = crash.point  # their names are found, not written down


def install() -> None:
    """Watches this process. What the order path does not cause (a login, a page, a setting) is no boundary of it."""
    if crash.folder_of_test() is None:
        return
    from tvapp.wakeup import Broker

    transaction.Atomic.__exit__ = _around_commit(transaction.Atomic.__exit__)
    http.client.HTTPConnection.putrequest = _before("call", http.client.HTTPConnection.putrequest)
    http.client.HTTPConnection.getresponse = _after("call", http.client.HTTPConnection.getresponse)
    Broker.enqueue = _before("ring", Broker.enqueue)


def _around_commit(leave):
    def exit_(self, exc_type, exc_value, traceback):
        connection = transaction.get_connection(self.using)
        name = _name("commit") if exc_type is None and not connection.savepoint_ids and connection.in_atomic_block else ""
        if name:
            _reached(f"{name} before")
        result = leave(self, exc_type, exc_value, traceback)
        if name:
            _reached(f"{name} after")
        return result

    return exit_


def _before(kind: str, act):
    def wrapped(self, *args, **kwargs):
        if name := _name(kind):
            _reached(f"{name} before")
            _during(name)
        return act(self, *args, **kwargs)

    return wrapped


def _after(kind: str, act):
    def wrapped(self, *args, **kwargs):
        result = act(self, *args, **kwargs)
        if name := _name(kind):
            _reached(f"{name} after")
        return result

    return wrapped


def _during(name: str) -> None:
    """A kill while the request is on its way: the process dies a moment after the bytes may have left."""
    folder = crash.folder_of_test()
    if name.startswith("call ") and folder and crash.armed(f"{name} during", folder):
        Timer(MID_CALL_S, crash.die).start()


def _name(kind: str) -> str:
    """The innermost function of the order path on the stack; empty when there is none."""
    frame = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(ROOMS) and not module.startswith(PLUMBING):
            return f"{kind} {module}.{frame.f_code.co_name}"
        frame = frame.f_back
    return ""


