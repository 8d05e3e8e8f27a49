import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from trading.services import settingsfile
from tvapp.lib.errors import AppError


class Command(BaseCommand):
    help = "Reads settings back that exportsettings wrote. Shows what would change; with --apply it is changed, all of it or nothing."

    def add_arguments(self, parser):
        parser.add_argument("file", help="A file exportsettings wrote.")
        parser.add_argument("--apply", action="store_true", help="Change it. Every strategy is disarmed. Without it nothing is written.")

    def handle(self, *args, **options):
        try:
            done = settingsfile.load(json.loads(Path(options["file"]).read_text(encoding="utf-8")), actor="importsettings", keep=options["apply"])
        except OSError as exc:
            raise CommandError(f"{options['file']} could not be read: {exc.strerror}.") from exc
        except ValueError as exc:
            raise CommandError(f"{options['file']} is no JSON: {exc}.") from exc
        except AppError as refused:
            raise CommandError(f"Nothing was changed. {refused.message}") from refused
        for change in done:
            for line in change.lines():
                self.stdout.write(line)
        rows = f"{len(done)} {'row' if len(done) == 1 else 'rows'}"
        if not done:
            self.stdout.write("Everything is as the file says; nothing to change.")
        elif options["apply"]:
            self.stdout.write(f"{rows} made or changed. No strategy is armed any more.")
        else:
            self.stdout.write(f"{rows} would be made or changed. Nothing was written; add --apply to do it.")
