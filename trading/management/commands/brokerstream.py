import logging
import signal
import threading

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection

from trading.services import health
from trading.services.streams import Streams, logged_in
from tvapp.lib import clock

logger = logging.getLogger("tvapp.streams")
EVERY_S = 2.0


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # they import every page, for nothing here
    help = "Says which accounts are logged in. With --loop it listens to their order updates until SIGTERM and has their books read for each."

    def add_arguments(self, parser):
        parser.add_argument("--loop", action="store_true", help="Go on until SIGTERM or Ctrl-C.")

    def handle(self, *args, **options):
        if not options["loop"]:
            names = [row.account.name for row in logged_in()]
            self.stdout.write(f"Logged in: {', '.join(names)}." if names else "No account is logged in: there is nothing to listen to.")
            return
        streams, ended = Streams(), threading.Event()

        def end(*_: object) -> None:
            ended.set()
            streams.wake()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        while not ended.is_set():
            work(streams, EVERY_S * clock.time_scale(), ended)
        streams.close()


def work(streams: Streams, seconds: float, ended: threading.Event) -> None:
    """One pass. A database that is busy or gone is tried again: a word lost with it costs seconds, the next poll reads the book anyway."""
    try:
        streams.keep()
        health.touch("stream")
        streams.hear(seconds)
    except DatabaseError:
        logger.exception("the streams were broken off by the database; they go on")
        if not connection.in_atomic_block:
            connection.close()
        ended.wait(seconds)
    finally:
        close_old_connections()
