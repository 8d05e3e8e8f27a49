from django.core.management.base import BaseCommand, CommandError

from trading.selectors import stops
from trading.services import halt
from tvapp.lib import clock
from tvapp.lib.errors import AppError

ACTOR = "command line"


class Command(BaseCommand):
    help = "The kill switch. on: nothing new is sent, open orders are cancelled. off: trading may go on, a reason is needed. status: what is stopped."

    def add_arguments(self, parser):
        parser.add_argument("what", choices=["on", "off", "status"], help="What to do.")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument("--account", metavar="NAME", help="Only this account; without it and --strategy the whole desk.")
        scope.add_argument("--strategy", metavar="NAME", help="Only this strategy.")
        parser.add_argument("--reason", default="", help="Why; kept with the state. Needed for off.")

    def handle(self, *args, **options):
        try:
            key = _key(options["account"], options["strategy"])
            said = getattr(self, f"_{options['what']}")(key, options["reason"])
        except AppError as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(said)

    @staticmethod
    def _on(key: str, reason: str) -> str:
        said = halt.told(halt.kill(key, reason=reason, actor=ACTOR))
        return f"Trading is stopped ({key}): {said or 'nothing was queued or open'}."

    @staticmethod
    def _off(key: str, reason: str) -> str:
        halt.release(key, reason=reason, actor=ACTOR)
        return f"Trading may go on ({key}). Orders on hold wait for a person."

    @staticmethod
    def _status(key: str, reason: str) -> str:
        stopped = [row for row in halt.status() if key in ("GLOBAL", row.scope)]
        said = stops.names(stopped)
        return "; ".join(_words(row, said[row.scope]) for row in stopped) or "Trading is active."


def _words(row: stops.Stop, name: str) -> str:
    since = f"{row.at.astimezone(clock.IST):%d %b %H:%M} IST"
    return f"{name}: {row.get_state_display().lower()} since {since} by {row.actor}: {row.reason or 'no reason given'}"


def _key(account: str | None, strategy: str | None) -> str:
    if strategy:
        return halt.scope_key("STRATEGY", strategy_id=halt.strategy_named(strategy).pk)
    return halt.scope_key("ACCOUNT", account_id=halt.account_named(account).pk) if account else "GLOBAL"
