"""The coverage limits are kept by a script that must itself be right."""

import json

import pytest

from tests import coverage_gate


def _report(tmp_path, files: dict[str, tuple[int, int]]) -> str:
    report = {"files": {name: {"summary": {"covered_lines": ran, "num_statements": all_}} for name, (ran, all_) in files.items()}}
    (tmp_path / "coverage.json").write_text(json.dumps(report))
    return str(tmp_path / "coverage.json")


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({"trading/a.py": (85, 100)}, 0),
        ({"trading/a.py": (84, 100)}, 1),
        ({"risk/engine.py": (94, 100), "trading/a.py": (900, 900)}, 1),
        ({"risk/engine.py": (95, 100), "risk/admin.py": (80, 100)}, 0),
        ({"risk/engine.py": (100, 100), "brokers/a.py": (0, 100)}, 1),
    ],
)
def test_it_fails_below_the_limits(tmp_path, files, status, capsys):
    assert coverage_gate.main(_report(tmp_path, files)) == status
    assert ("below the" in capsys.readouterr().out) is bool(status)


def test_it_names_the_least_covered_files(tmp_path, capsys):
    coverage_gate.main(_report(tmp_path, {"trading/good.py": (99, 100), "trading/bad.py": (1, 100)}))
    assert "trading/bad.py 1 %, trading/good.py 99 %" in capsys.readouterr().out


def test_it_counts_nothing_to_run_as_all():
    assert coverage_gate.share([]) == 100.0
