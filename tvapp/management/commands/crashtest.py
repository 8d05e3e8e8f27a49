"""`manage.py crashtest`: kills the desk's processes at every boundary of the order path and lets a broker's simulator judge. Lives in tests/crash."""

import json

from django.core.management.base import BaseCommand, CommandError

from tvapp.management.from_tests import ended_politely, load

MOST = 100_000
SIDE_BY_SIDE = 16
PROMISED = ("lost", "doubled", "ghosts", "stuck", "unexplained")
MEANS = {
    "lost": "alerts that were acknowledged and made no order, or one nobody worked",
    "doubled": "orders that are at the broker more than once",
    "ghosts": "orders about which desk and broker do not agree",
    "stuck": "orders still on their way long after everything was back",
    "unexplained": "orders whose story has a gap",
}


class Command(BaseCommand):
    help = (
        "Starts a desk and a simulated broker in a temporary home, kills processes at every boundary of the order path while the broker "
        "misbehaves, and counts what was lost, doubled or left unexplained. Some three seconds a kill. Exit status 1 when any is not 0."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--kills", type=int, default=50, help="How many processes are killed, 1 to 100000 (default %(default)s).")
        parser.add_argument("--db", choices=("sqlite", "postgres"), default="sqlite", help="Where the desk keeps its rows (default %(default)s).")
        parser.add_argument("--seed", type=int, default=1, help="Another seed gives another order of kills and faults (default %(default)s).")
        parser.add_argument("--desks", type=int, default=1, help="Desks that are tried side by side, 1 to 16 (default %(default)s).")
        parser.add_argument(
            "--scale", type=float, default=0.2, help="All timers times this, 0.1 to 1 (default %(default)s); a slow or busy machine needs more."
        )
        parser.add_argument("--json", action="store_true", help="Only a JSON object on stdout.")

    def handle(self, *args, **options):
        harness = load("tests.crash.start", "The crash test is")
        if not 1 <= options["kills"] <= MOST:
            raise CommandError(f"--kills is {options['kills']}: give it a number from 1 to {MOST}.")
        if not 1 <= options["desks"] <= SIDE_BY_SIDE:
            raise CommandError(f"--desks is {options['desks']}: give it a number from 1 to {SIDE_BY_SIDE}.")
        if not 0.1 <= options["scale"] <= 1:
            raise CommandError(f"--scale is {options['scale']}: give it a number from 0.1 to 1.")
        with ended_politely():
            found = harness.apart(options["kills"], options["db"], options["seed"], options["desks"], options["scale"])
        if found is None:
            raise CommandError("The crash test could not be run; the lines above say why.")
        self.stdout.write(json.dumps(found, indent=1) if options["json"] else _table(found))
        if any(found[name] for name in PROMISED):
            raise CommandError("The desk did not keep what it promises; the lines above say where.", returncode=1)
        if found["uncovered"]:
            raise CommandError("Every promise was kept, but there are boundaries nobody listed; see docs/crashtest.md.", returncode=1)


def _table(found: dict[str, object]) -> str:
    lines = [f"{found['kills']:>6}  kills at {found['boundaries']} boundaries"]
    lines += [f"{found[name]:>6}  {name}: {MEANS[name]}" for name in PROMISED]
    lines += [f"{found['worst_recovery_s']:>6}  s until everything was at rest again, at worst"]
    lines += [f"        {text}" for text in found["said"]]
    lines += [f"        not in the list of boundaries: {name} (in {', '.join(scenes)})" for name, scenes in found["uncovered"].items()]
    return "\n".join(lines)
