import json
import signal
import threading
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from brokers.kitesim import instruments, server
from brokers.kitesim.state import Simulator


class Command(BaseCommand):
    help = "A simulated Kite Connect on 127.0.0.1 for tests and demos, until Ctrl-C: docs/kitesim.md. No broker account is needed."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--port", type=int, default=server.PORT, help="the port; 0 takes a free one (default %(default)s)")
        parser.add_argument("--instruments", metavar="FILE", default="", help="a dump of instruments in Kite's form instead of the standard list")
        parser.add_argument("--faults", metavar="FILE", default="", help="a JSON list of the faults that are set at the start")
        parser.add_argument("--redirect", metavar="URL", default=server.REDIRECT, help="where a login returns to (default %(default)s)")

    def handle(self, *args, **options):
        try:
            rows = instruments.load(Path(options["instruments"])) if options["instruments"] else None
            faults = json.loads(Path(options["faults"]).read_text()) if options["faults"] else []
            simulator = server.start(options["port"], Simulator(rows, faults, options["redirect"]))
        except (OSError, OverflowError, TypeError, AttributeError, ValueError) as why:
            raise CommandError(f"The simulator cannot start: {why}") from why
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        self.stdout.write(f"Kite is simulated at {simulator.url}")
        self.stdout.flush()
        ended.wait()
        simulator.close()
