import json
from datetime import date, datetime, time, timedelta
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from trading.services import whatif
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise CommandError(f"{text} is no day: write it like 2026-11-20.") from exc


class Command(BaseCommand):
    help = "Recomputes the kept decisions of a period under other limits and says which orders would differ. Writes nothing."

    def add_arguments(self, parser):
        parser.add_argument("--from", dest="start", required=True, metavar="DAY", help="First day (IST), for example 2026-11-01.")
        parser.add_argument("--to", dest="end", required=True, metavar="DAY", help="Last day.")
        parser.add_argument("--limits", metavar="FILE", help='JSON like {"GLOBAL": {"max_order_value": "25000"}}. Without it: the limits of then.')

    def handle(self, *args, **options):
        start, end = (datetime.combine(day(options[name]), time.min, clock.IST) for name in ("start", "end"))
        try:
            limits = json.loads(Path(options["limits"]).read_text(encoding="utf-8")) if options["limits"] else {}
            found = whatif.period(None, start, end + timedelta(days=1), limits)
        except OSError as exc:
            raise CommandError(f"{options['limits']} could not be read: {exc.strerror}.") from exc
        except AppError as refused:
            raise CommandError(refused.message) from refused
        except ValueError as exc:
            raise CommandError(f"{options['limits']} is no JSON: {exc}.") from exc
        for change in found.changes:
            was = change.stored
            before, after = (f"{verdict} {code} {plain(final)}".replace("  ", " ") for verdict, code, final in _sides(change))
            self.stdout.write(f"order {was.order}: {before} -> {after}. {change.sentence}.")
        counts = ", ".join(f"{code} {count}" for code, count in whatif.by_code(found.changes).items())
        self.stdout.write(f"{len(found.changes)} of {found.looked_at} decisions would differ{f': {counts}' if counts else ''}. {whatif.MARK}")
        if found.unreadable:
            self.stdout.write(f"{found.unreadable} cannot be computed again: what these limits look at was not kept then.")
        if found.more:
            self.stdout.write(f"The period holds more; only the newest {found.looked_at} were looked at.")


def _sides(change):
    return (change.stored.verdict, change.stored.code, change.stored.final), (change.verdict, change.code, change.final)
