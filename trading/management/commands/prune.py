from django.core.management.base import BaseCommand

from trading.services import housekeeping


class Command(BaseCommand):
    help = "Deletes what is past its time: refused alerts, old beats, finished queue tasks, ended sessions. Runs daily by itself."

    def handle(self, *args, **options):
        self.stdout.write(f"{housekeeping.prune()}.".capitalize())
