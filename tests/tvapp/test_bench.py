"""`manage.py bench` works from its arguments to its rows; how fast anything is, is asked by no test."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests import bench
from tests.bench.rows import alternate, percentile, row
from tvapp.management import from_tests
from tvapp.management.commands import bench as command

FIELDS = ["name", "figure", "ours", "yardstick", "ratio", "goal", "met"]


def run(*words: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("bench", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_it_explains_itself(capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("bench", "--help")
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_it_refuses_a_name_it_does_not_know_in_a_sentence():
    with pytest.raises(CommandError, match=r"no benchmark nonsense\. There are: webhook, "):
        run("nonsense")


@pytest.mark.parametrize("rows", ["999", "1000001"])
def test_it_refuses_a_history_it_cannot_make(rows):
    with pytest.raises(CommandError, match=f"--rows is {rows}"):
        run("pages", "--rows", rows)


def test_it_leaves_out_what_is_not_there_and_says_so(monkeypatch):
    monkeypatch.setattr(bench, "postgres_programs", lambda: None)
    said, aside = run("postgres", "ticks", "--json")
    assert json.loads(said) == []
    assert ["postgres is left out" in line or "ticks is left out" in line for line in aside.splitlines()] == [True, True]


def test_it_says_that_the_benchmarks_are_not_installed(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(from_tests, "import_module", missing)
    with pytest.raises(CommandError, match="not installed here"):
        run()


@pytest.mark.process
def test_it_gives_rows_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said, aside = run("memory", "--quick", "--json")
    rows = json.loads(said)
    assert [list(one) for one in rows] == [FIELDS]
    assert rows[0]["name"] == "memory" and rows[0]["ours"] > 0 and rows[0]["yardstick"] > 0
    assert "memory ..." in aside
    assert list(tmp_path.iterdir()) == []


def test_it_hands_none_of_the_users_settings_on(monkeypatch):
    from tests.bench import place

    for name in ("DATABASE_URL", "KITE_API_SECRET", "SECRET_KEY", "TVAPP_TEST"):
        monkeypatch.setenv(name, "the user's")
    assert "the user's" not in place.environment("/nowhere").values()


def test_it_shows_a_table_with_words_for_goals():
    rows = [row("webhook", "alerts a second", 750.4, 1000, "ratio >= 0.75"), row("memory", "MB", 90.0)]
    lines = command._table([vars(one) for one in rows]).splitlines()
    assert lines[0].split() == list(command.COLUMNS)
    assert lines[1].endswith("yes") and lines[2].split() == ["MB", "90.0"]


@pytest.mark.parametrize(
    ("ours", "yardstick", "goal", "met"),
    [(74, 100, "ratio >= 0.75", False), (75, 100, "ratio >= 0.75", True), (5, None, "ours <= 5", True), (6, 9, "ours <= 5", False), (1, None, None, None), (1, 0, "ratio <= 2", False)],
)
def test_it_judges_by_the_goal(ours, yardstick, goal, met):
    assert row("x", "y", ours, yardstick, goal).met is met


def test_it_takes_turns_so_that_drift_hits_both_alike():
    order = []
    alternate(lambda: order.append("A"), lambda: order.append("B"), 4)
    assert "".join(order) == "ABBAABBA"


@pytest.mark.parametrize(("percent", "value"), [(50, 51), (99, 100), (100, 100)])
def test_it_names_the_value_that_so_many_do_not_exceed(percent, value):
    assert percentile(list(range(1, 101)), percent) == value


@pytest.mark.parametrize("name", bench.NAMES)
def test_it_has_a_module_for_every_name(name):
    module = __import__(f"tests.bench.{name}", fromlist=["run"])
    assert callable(module.run) and module.__doc__
