import gc
import sys

from django.core.management.base import BaseCommand, CommandError

from brokers.models import BrokerAccount
from trading.services import instruments
from tvapp.lib.errors import AppError
from tvapp.lib.progress import Bar


class Command(BaseCommand):
    help = "Loads the instrument list of a Zerodha account or of a file. Safe to break off and to run beside the desk. Daily by itself at 08:15 IST."

    def add_arguments(self, parser):
        parser.add_argument("--account", metavar="NAME", default="", help="Whose broker is asked; without it the first connected Zerodha account.")
        parser.add_argument("--exchange", default="", help="Only this exchange, for example NSE.")
        parser.add_argument("--file", default="", help="A list in the form of Kite's instruments.csv instead of asking a broker.")
        parser.add_argument("--force", action="store_true", help="Take a list with less than half of the instruments there were.")

    def handle(self, *args, **options):
        bar = Bar(sys.stderr, "instruments")
        gc.freeze()  # else full collections fall into write transactions, and everybody waits for them
        try:
            account = _account(options["account"])
            found = {name: options[name] for name in ("file", "force")}
            result = instruments.load(account=account, exchange=options["exchange"].strip().upper(), progress=bar.told, **found)
        except AppError as refused:
            raise CommandError(refused.message) from refused
        finally:
            bar.close()
        self.stdout.write(str(result))


def _account(name: str) -> BrokerAccount | None:
    if not name:
        return None
    found = list(BrokerAccount.objects.filter(name=name).order_by("id")[:2])
    if len(found) != 1:
        raise CommandError(f"There is {'more than one' if found else 'no'} account called {name}.")
    return found[0]
