"""`manage.py docs`: the parts of docs/ that are made from the code, so that they cannot say something else than the code does."""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError

ROOMS = ("tvapp", "brokers", "risk", "trading", "analytics")
COMMON = {"help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks"}
MARK = re.compile(r"(<!-- made by manage\.py docs: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.S)


class Command(BaseCommand):
    help = "Writes the generated parts of docs/: order states, reasons, settings, commands. With --check it only says which are out of date."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--check", action="store_true", help="Change nothing; exit status 1 when a file is out of date.")

    def handle(self, *args, **options):
        root = Path(settings.BASE_DIR)
        stale = [file for file in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")]) if renewed(file) != file.read_text()]
        names = ", ".join(str(file.relative_to(root)) for file in stale)
        if options["check"] and stale:
            raise CommandError(f"Out of date: {names}. Run manage.py docs.")
        for file in stale:
            file.write_text(renewed(file))
        self.stdout.write(f"Written: {names}." if stale else "All generated parts are up to date.")


def renewed(file: Path) -> str:
    """The file's text with each marked part made anew. Raises CommandError for a mark nobody fills."""

    def fill(found: re.Match[str]) -> str:
        part = PARTS.get(found["name"])
        if part is None:
            raise CommandError(f"{file.name} has a part called {found['name']}, which nobody makes.")
        return f"{found[1]}{part().rstrip()}\n{found[3]}"

    return MARK.sub(fill, file.read_text())


def order_states() -> str:
    from trading.domain import orderfsm

    return orderfsm.table()


def risk_codes() -> str:
    from risk import codes

    return codes.table()


def alert_message() -> str:
    from trading.models import Strategy
    from trading.services import strategies

    return f"```json\n{strategies.alert_message(Strategy(name='demo-auto'))}\n```\n"


def crash_points() -> str:
    """Every named crash point by file, in the order of the code."""
    lines = []
    for room in ROOMS:
        for file in sorted(Path(settings.BASE_DIR, room).rglob("*.py")):
            names = [re.sub(r"\{.*?\}", "<state>", name) for name in re.findall(r"crash\.point\(f?\"([^\"]+)\"\)", file.read_text())]
            if names:
                lines.append(f"| `{file.relative_to(settings.BASE_DIR)}` | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(["| file | crash points |", "|---|---|", *lines]) + "\n"


# ---------------------------------------------------------------------------- settings
def environment() -> str:
    """From .env.example: comments above a `#NAME=default` line say what it means, `# ----` begins a group."""
    lines = []
    for group, rows in _groups(Path(settings.BASE_DIR, ".env.example").read_text()):
        lines += [f"\n### {group[0].upper()}{group[1:]}", "", "| variable | default | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {f'`{default}`' if default else 'empty'} | {meaning} |" for name, default, meaning in rows]
    return "\n".join(lines).lstrip("\n") + "\n"


def _groups(text: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    for part in re.split(r"^# ---- ", text, flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        rows, said = [], []
        for line in body.splitlines():
            if found := re.match(r"#?([A-Z][A-Z0-9_]+)=(.*)$", line):
                rows.append((found[1], found[2].strip(), " ".join(said)))
                said = []
            elif line.startswith("# "):
                said.append(line[2:].strip())
        yield title.strip(), rows


def desk_settings() -> str:
    from tvapp.models import DeskSettings

    shown = [f for f in DeskSettings._meta.fields if f.editable and not f.primary_key]
    rows = [f"| `{f.name}` | {f.default} | {f.help_text} |" for f in shown]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows]) + "\n"


# ---------------------------------------------------------------------------- commands
def own_commands() -> dict[str, BaseCommand]:
    """The commands of this project by name, sorted."""
    return {name: load_command_class(app, name) for name, app in sorted(get_commands().items()) if app in ROOMS}


def commands() -> str:
    return "\n".join(_section(name, command) for name, command in own_commands().items())


def _section(name: str, command: BaseCommand) -> str:
    """Written from the arguments and not from argparse's text, which differs between versions of Python."""
    arguments = [a for a in command.create_parser("manage.py", name)._actions if a.dest not in COMMON]
    usage = " ".join(["manage.py", name, *[_usage(a) for a in arguments]])
    options = [f"* `{_usage(a).strip('[]')}`: {(a.help or '') % _facts(a)}" for a in arguments if a.help]
    return "\n".join([f"### {name}", "", command.help, "", f"`{usage}`", "", *options, *([""] if options else [])])


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return "|".join(action.choices) if action.choices else action.dest.upper()
    value = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 else ""
    return f"[{action.option_strings[-1]}{value}]"


def _facts(action: argparse.Action) -> dict[str, object]:
    return {**vars(action), "prog": "manage.py"}


PARTS: dict[str, Callable[[], str]] = {
    "order-states": order_states,
    "risk-codes": risk_codes,
    "alert-message": alert_message,
    "crash-points": crash_points,
    "environment": environment,
    "desk-settings": desk_settings,
    "commands": commands,
}
