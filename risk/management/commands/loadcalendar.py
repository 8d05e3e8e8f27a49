from datetime import date
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from risk import holidays
from tvapp.lib.errors import AppError


class Command(BaseCommand):
    help = "Fills the market calendar: hours, holidays and special sessions of NSE, BSE, NFO, BFO, MCX and CDS. What a person entered stays."

    def add_arguments(self, parser):
        parser.add_argument("--year", type=int, help="Only the days of this year.")
        parser.add_argument("--file", metavar="CSV", help="Your own list: exchanges,date,kind,opens,closes,name.")
        parser.add_argument("--to", metavar="DATE", help="Last day your list is complete for, for example 2027-12-31.")

    def handle(self, *args, **options):
        try:
            to = date.fromisoformat(options["to"]) if options["to"] else None
            result = holidays.load(file=Path(options["file"]) if options["file"] else None, year=options["year"], to=to)
        except AppError as refused:
            raise CommandError(refused.message) from refused
        except ValueError as exc:
            raise CommandError(f"--to is a date like 2027-12-31, not {options['to']}.") from exc
        self.stdout.write(str(result))
