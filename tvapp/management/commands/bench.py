"""`manage.py bench`: figures of this machine, each beside its yardstick from the same run. What is measured lives in tests/bench."""

import json

from django.core.management.base import BaseCommand, CommandError

from tvapp.management.from_tests import ended_politely, load

COLUMNS = ("figure", "ours", "yardstick", "ratio", "goal", "met")
MOST_ROWS = 1_000_000


class Command(BaseCommand):
    help = (
        "Measures the desk on this machine, in a temporary home that is deleted afterwards: webhook, postgres, latency, burst, hang, kill, pages, "
        "admin, losses, risk, start, memory, and only when it is named: steady, which takes ten minutes. The others together take some eight. "
        "Exit status 1 when there is a name it does not know or no figure, never for a slow machine."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("name", nargs="*", help="What to measure; nothing named: everything but steady.")
        parser.add_argument("--json", action="store_true", help="Only a JSON list on stdout: name, figure, ours, yardstick, ratio, goal, met.")
        history = "Orders in the long history of `pages` and `admin`, 1000 to 1000000 (default %(default)s)."
        parser.add_argument("--rows", type=int, default=100_000, help=history)
        parser.add_argument("--quick", action="store_true", help="Few and short runs, to see that it works; the figures then mean little.")

    def handle(self, *args, **options):
        bench = load("tests.bench", "The benchmarks are")
        unknown = [name for name in options["name"] if name not in (*bench.NAMES, *bench.LATER)]
        if unknown:
            raise CommandError(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(bench.NAMES)}.")
        if not 1000 <= options["rows"] <= MOST_ROWS:
            raise CommandError(f"--rows is {options['rows']}: give it a number from 1000 to {MOST_ROWS}.")
        size = bench.Size.quick(options["rows"]) if options["quick"] else bench.Size(rows=options["rows"])
        try:
            with ended_politely():
                rows = bench.run(self._present(bench, options["name"]), size, self._say)
        except bench.BenchmarkFailed as why:
            raise CommandError(str(why)) from why
        self.stdout.write(json.dumps(rows, indent=1) if options["json"] else _table(rows))

    def _present(self, bench, asked: list[str]) -> list[str]:
        """The names there is something to measure for, once each; what is left out is said."""
        names = list(dict.fromkeys(asked)) or [name for name in (*bench.NAMES, *bench.LATER) if name not in bench.ONLY_NAMED]
        for name in names:
            if why := bench.left_out(name):
                self._say(f"{name} is left out: {why}.")
        return [name for name in names if not bench.left_out(name)]

    def _say(self, text: str) -> None:
        self.stderr.write(text, self.style.NOTICE)


def _table(rows: list[dict[str, object]]) -> str:
    lines = [COLUMNS, *(tuple(_word(row[column]) for column in COLUMNS) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(COLUMNS))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _word(value: object) -> str:
    return {None: "", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)
