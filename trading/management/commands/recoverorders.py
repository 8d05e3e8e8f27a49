from django.core.management.base import BaseCommand

from trading.services import recover


class Command(BaseCommand):
    help = "Settles every order whose outcome was not recorded: looks it up by its tag, adopts what is found, never sends again by guess."

    def handle(self, *args, **options):
        counts = recover.recover_all()
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        self.stdout.write(said or "Nothing to recover: every order's outcome is recorded.")
