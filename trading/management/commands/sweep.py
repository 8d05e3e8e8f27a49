import logging
import signal
import threading

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection

from trading.services import sweeper
from tvapp.lib import clock

logger = logging.getLogger("tvapp.sweeper")
EVERY_S = 1.0


class Command(BaseCommand):
    help = "One pass of the sweeper: rings again for every order that is due, settles lost ones. With --loop once a second until SIGTERM."

    def add_arguments(self, parser):
        parser.add_argument("--loop", action="store_true", help="Go on until SIGTERM or Ctrl-C.")

    def handle(self, *args, **options):
        if not options["loop"]:
            self.stdout.write(sweeper.sweep())
            return
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        while not ended.is_set():
            _pass()
            ended.wait(EVERY_S * clock.time_scale())


def _pass() -> None:
    """A database that is busy or gone is tried again at the next pass; anything else ends the process, and the supervisor starts it again."""
    try:
        done = sweeper.sweep()
    except DatabaseError:
        logger.exception("the sweep was broken off by the database; it is tried again")
        if not connection.in_atomic_block:
            connection.close()
        return
    finally:
        close_old_connections()
    if done != "quiet":
        logger.info("swept: %s", done)
