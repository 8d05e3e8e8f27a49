"""The data directory makes itself, once, whoever comes first."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tvapp import home


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TVAPP_HOME", str(tmp_path / "deep" / "desk"))
    return tmp_path / "deep" / "desk"


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_it_makes_the_directory_and_private_keys(place):
    assert home.ensure() == place
    keys = home.read_env()
    assert len(keys["SECRET_KEY"]) > 50
    assert len(keys["FIELD_KEYS"]) == 44
    assert (_mode(place / ".env"), _mode(place), _mode(place / "run")) == (0o600, 0o700, 0o700)


def test_it_keeps_the_keys_it_made(place):
    home.ensure()
    before = (place / ".env").read_text()
    home.ensure()
    assert (place / ".env").read_text() == before


def test_it_adds_only_what_a_persons_env_lacks(place):
    place.mkdir(parents=True)
    (place / ".env").write_text("# mine\nPORT=9001\nSECRET_KEY='own'")
    home.ensure()
    known = home.read_env()
    assert (known["PORT"], known["SECRET_KEY"]) == ("9001", "own")
    assert known["FIELD_KEYS"]
    assert _mode(place / ".env") == 0o600


def test_it_closes_an_env_that_others_could_read(place):
    home.ensure()
    (place / ".env").chmod(0o644)
    home.ensure()
    assert _mode(place / ".env") == 0o600


def test_it_gives_everyone_the_same_keys_when_many_start_at_once(place):
    script = "from tvapp import home; home.ensure(); print(home.read_env()['SECRET_KEY'] + home.read_env()['FIELD_KEYS'])"
    started = [subprocess.Popen([sys.executable, "-c", script], cwd=home.ROOT, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    answers = {process.communicate()[0] for process in started}
    assert len(answers) == 1
    assert len(answers.pop()) > 90


@pytest.mark.parametrize("spoil", [lambda p: p.write_text("x"), lambda p: os.symlink("/proc/nowhere/at/all", p)])
def test_it_says_in_one_line_that_a_home_cannot_be_used(place, spoil):
    place.parent.mkdir(parents=True)
    spoil(place)
    with pytest.raises(home.HomeProblem) as problem:
        home.ensure()
    assert str(place) in str(problem.value)
    assert "TVAPP_HOME" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_it_reads_the_environment_before_the_file(place, monkeypatch):
    home.ensure()
    with (place / ".env").open("a") as env:
        env.write("PORT=9001\n")
    assert home.setting("PORT", "8000") == "9001"
    monkeypatch.setenv("PORT", "9002")
    assert home.setting("PORT", "8000") == "9002"


def test_it_lies_beside_manage_py_by_default(monkeypatch):
    monkeypatch.delenv("TVAPP_HOME", raising=False)
    assert home.path() == home.ROOT / "var"
    assert (home.ROOT / "manage.py").exists()


def test_it_lets_nobody_else_read_what_is_made_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TVAPP_HOME", str(tmp_path / "open"))
    (tmp_path / "open").mkdir(mode=0o755)
    home.ensure()
    made = tmp_path / "open" / "data"
    made.write_text("x")
    assert made.stat().st_mode & 0o077 == 0
