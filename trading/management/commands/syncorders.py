import signal
import threading

from django.core.management.base import BaseCommand, CommandError

from brokers.models import AccountState
from trading.services import books, polling
from tvapp.lib import clock


class Command(BaseCommand):
    help = "Reads the order book of every connected broker account and brings the orders up to it. With --loop again and again until SIGTERM."

    def add_arguments(self, parser):
        parser.add_argument("--account", help="Only the account of this name.")
        parser.add_argument("--loop", action="store_true", help="Go on until SIGTERM or Ctrl-C, every 5 s.")

    def handle(self, *args, **options):
        ended = threading.Event()
        if options["loop"]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: ended.set())
        while True:
            failed = self.once(options["account"])
            if not options["loop"] or ended.wait(polling.MOVING_S * clock.time_scale()):
                break
        if failed and not options["loop"]:
            raise CommandError(f"Not every book could be read: {', '.join(failed)}.")

    def once(self, name: str | None) -> list[str]:
        failed = []
        for account in named(name):
            said = books.sync_account(account.pk, full=self.full)
            self.stdout.write(f"{account.name}: {said}")
            failed += [account.name] if said in books.UNREAD else []
        return failed

    full = False


def named(name: str | None) -> list:
    """The connected accounts, or the one of this name. CommandError when there is none of that name."""
    accounts = [account for account, _ in polling.remote_accounts()]
    if name is None:
        return [account for account in accounts if account.state != AccountState.DISCONNECTED]
    found = [account for account in accounts if account.name == name]
    if not found:
        raise CommandError(f"There is no account called {name} at a real broker.")
    return found
