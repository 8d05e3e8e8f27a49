from django.core.management.base import BaseCommand

from trading.services import books, recover


class Command(BaseCommand):
    help = "Settles every order whose outcome was not recorded: looks it up by its tag, adopts what is found, never sends again by guess."

    def handle(self, *args, **options):
        counts = recover.recover_all()
        counts.pop("asked for the book", None)
        for account, said in books.look_now().items():
            self.stdout.write(f"Account {account}: {said}")
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        self.stdout.write(said or "Nothing to recover: every order's outcome is recorded.")
