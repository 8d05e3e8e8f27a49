import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from trading.services import settingsfile


class Command(BaseCommand):
    help = "Writes all settings as JSON, without any secret: strategies, limits, calendar, charges, overrides, the desk's own."

    def add_arguments(self, parser):
        parser.add_argument("file", nargs="?", default="-", help="Where to; - or nothing is the standard output.")

    def handle(self, *args, **options):
        text = json.dumps(settingsfile.document(), indent=1, ensure_ascii=False)
        if options["file"] == "-":
            self.stdout.write(text)
            return
        try:
            Path(options["file"]).write_text(text + "\n", encoding="utf-8")
        except OSError as exc:
            raise CommandError(f"{options['file']} could not be written: {exc.strerror}.") from exc
        self.stdout.write(f"All settings are in {options['file']}. Secrets and orders are not among them.")
