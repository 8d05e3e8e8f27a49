import time

from django.core.management.base import BaseCommand, CommandError

from trading.models import SquareOff, SquareOffState
from trading.selectors import squareoff as read
from trading.services import halt, squareoff
from tvapp.lib import clock
from tvapp.lib.errors import AppError

ACTOR = "command line"
LOOK_EVERY_S = 0.5


class Command(BaseCommand):
    help = "Cancels and closes everything of an account, and waits for the end. It needs no running desk. Exit status 1 when something is left open."

    def add_arguments(self, parser):
        parser.add_argument("--account", metavar="NAME", required=True, help="The account to close.")
        parser.add_argument("--confirm", metavar="NAME", required=True, help="The account's name once more.")
        parser.add_argument("--reason", default="somebody asked for it at the command line", help="Why; kept with it.")

    def handle(self, *args, **options):
        try:
            account = halt.account_named(options["account"])
            row = squareoff.ask(account, confirm=options["confirm"], actor=ACTOR, reason=options["reason"])
        except AppError as refused:
            raise CommandError(refused.message) from refused
        row = self._until_done(row)
        if row.state != SquareOffState.DONE:
            raise CommandError(row.note)
        self.stdout.write(f"{account.name} is flat. {row.note}")

    def _until_done(self, row: SquareOff) -> SquareOff:
        """Does the work itself as well: the desk's workers may be the very thing that is down. Whoever comes second finds it done."""
        said = ""
        while True:
            squareoff.push(row)
            row.refresh_from_db()
            if (now := f"{row.get_state_display()}. {row.note}".strip()) != said:
                self.stdout.write(now)
                said = now
            if row.state not in read.ACTIVE:
                return row
            time.sleep(clock.seconds(LOOK_EVERY_S).total_seconds())
