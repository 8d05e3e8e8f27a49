from django.core.management.base import BaseCommand, CommandError

from trading.services import ingest
from tvapp.lib.errors import AppError


class Command(BaseCommand):
    help = "Routes a stored alert that made no order yet. Its orders wait for a person; a signal that has an order is left alone."

    def add_arguments(self, parser):
        parser.add_argument("id", type=int, help="Number of the alert, as on the alerts page.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be made.")

    def handle(self, *args, **options):
        try:
            said = ingest.replay(options["id"], dry_run=options["dry_run"])
        except AppError as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(said)
