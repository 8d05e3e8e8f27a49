import sys

from django.core.management.base import BaseCommand, CommandError

from brokers import rotation
from tvapp.lib.progress import Bar


class Command(BaseCommand):
    help = "Writes every encrypted value anew with the first key of FIELD_KEYS. Safe to break off, to repeat and to run beside the desk."

    def add_arguments(self, parser):
        parser.add_argument("--check", action="store_true", help="Only count; exit status 1 when an old key is still needed.")

    def handle(self, *args, **options):
        bar = Bar(sys.stderr, "encrypted values")
        try:
            count = rotation.rotate(write=not options["check"], progress=bar.told)
        finally:
            bar.close()
        if count.lost:
            raise CommandError(f"{count.lost} of {count.seen} values are opened by no key in FIELD_KEYS: put the key back, or type them anew.")
        if count.old:
            raise CommandError(f"{count.old} of {count.seen} values still need an old key: run rotate_keys{'' if options['check'] else ' again'}.")
        self.stdout.write(f"All {count.seen} values are under the first key, {count.written} of them written anew.")
