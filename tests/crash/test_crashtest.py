"""A short crash test: processes die at boundaries of the order path, and nothing is lost, doubled or left without an explanation."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.crash import mutants, races, run, start
from tests.crash.scenes import SCENES
from tvapp.management import from_tests
from tvapp.management.commands import crashtest as command

KILLS = {"sqlite": 24, "postgres": 10}


def started(*words: str) -> str:
    said = StringIO()
    call_command("crashtest", *words, stdout=said)
    return said.getvalue()


@pytest.mark.process
@pytest.mark.parametrize("database", KILLS)
def test_it_keeps_every_promise_while_processes_die(database, request):
    if database == "postgres":
        request.getfixturevalue("postgres")
    found = start.apart(KILLS[database], database, 1)
    assert found["kills"] >= KILLS[database] and found["boundaries"] > KILLS[database] / 2
    assert {name: found[name] for name in command.PROMISED} == dict.fromkeys(command.PROMISED, 0), found["said"]


@pytest.mark.process
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_it_keeps_every_promise_while_many_people_act_on_one_order(database, request):
    address = request.getfixturevalue("postgres").url() if database == "postgres" else ""
    outcome = races.run(15, 20, address)
    assert outcome.wrong == [] and outcome.verdict.clean, outcome


@pytest.mark.process
def test_it_catches_every_desk_that_is_built_wrong():
    assert mutants.missed() == []


@pytest.mark.parametrize(("option", "number"), [("--kills", "0"), ("--kills", "100001"), ("--kills", "many"), ("--desks", "0"), ("--desks", "17"), ("--scale", "0")])
def test_it_refuses_a_number_that_is_none(option, number):
    with pytest.raises(CommandError, match=option):
        started(option, number)


def test_it_says_that_it_is_not_installed(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(from_tests, "import_module", missing)
    with pytest.raises(CommandError, match="not installed here"):
        started()


@pytest.mark.parametrize(
    ("broken", "words"), [({"doubled": 1, "said": ["doubled: tag a1"]}, "1  doubled"), ({"uncovered": {"commit here": ["auto"]}}, "commit here (in auto)")]
)
def test_it_ends_with_an_error_when_a_promise_was_broken_or_a_boundary_is_not_listed(monkeypatch, broken, words):
    class Harness:
        @staticmethod
        def apart(kills, database, seed, desks, scale):
            figures = dict.fromkeys(command.PROMISED, 0) | {"uncovered": {}, "said": []}
            return {"kills": kills, "worst_recovery_s": 1.0, "boundaries": 1, **figures, **broken}

    monkeypatch.setattr(command, "load", lambda module, what: Harness)
    said = StringIO()
    with pytest.raises(CommandError, match=r"did not keep|nobody listed"):
        call_command("crashtest", "--kills", "1", stdout=said)
    assert words in said.getvalue()


def test_it_knows_a_scene_for_each_boundary():
    assert {scene for scenes in run.known().values() for scene in scenes} <= SCENES.keys()


def test_it_kills_most_where_a_death_hurts_most():
    plan, names = run.Plan(1), len(run.known())
    first = {plan.next()[0] for _ in range(names)}
    assert first == run.known().keys() and set(run.HEAVY) <= first
    again = [plan.next()[0] for _ in range(names + 2 * len(run.HEAVY))]
    assert {again.count(name) for name in run.HEAVY} == {3}
