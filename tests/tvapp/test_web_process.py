"""How the web process is set up before Django is."""

import os
import runpy
import subprocess
import sys

import pytest

from tvapp import home


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TVAPP_HOME", str(tmp_path))
    for name in ("DATABASE_URL", "WEB_WORKERS", "WEB_THREADS", "HOST", "PORT", "TVAPP_DB_WAIT"):
        monkeypatch.delenv(name, raising=False)
    return home.ensure()


def _gunicorn() -> dict[str, object]:
    return runpy.run_module("tvapp.gunicorn")


def test_it_serves_sqlite_with_one_process_of_many_threads():
    config = _gunicorn()
    assert (config["workers"], config["threads"], config["worker_class"]) == (1, 16, "gthread")
    assert config["bind"] == "127.0.0.1:8000"


def test_it_serves_postgresql_with_two_processes(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://desk@localhost/desk")
    assert _gunicorn()["workers"] == 2


def test_it_takes_the_figures_a_person_sets(monkeypatch, place):
    with (place / ".env").open("a") as env:
        env.write("WEB_THREADS=4\n")
    monkeypatch.setenv("WEB_WORKERS", "3")
    config = _gunicorn()
    assert (config["workers"], config["threads"]) == (3, 4)


def test_it_stops_within_the_supervisors_patience():
    from tvapp import supervisor

    assert _gunicorn()["graceful_timeout"] < supervisor.STOP_PATIENCE


@pytest.mark.parametrize(("given", "used"), [(None, "2"), ("5", "5")])
def test_it_gives_up_on_a_locked_database_before_tradingview_does(monkeypatch, given, used):
    monkeypatch.setenv("TVAPP_DB_WAIT", given or "")
    assert callable(runpy.run_module("tvapp.wsgi")["application"])
    assert os.environ["TVAPP_DB_WAIT"] == used


def test_it_never_loads_a_brokers_client_or_an_event_loop(place):
    """Every page, every address, and what each broker can do; the client's import alone would cost 25 MB and start a reactor."""
    code = """
import sys
from tvapp.wsgi import application
from django.urls import get_resolver
get_resolver().url_patterns
from brokers import registry
[registry.caps_for(name) for name in registry.ADAPTERS]
print(sorted({"kiteconnect", "twisted", "autobahn"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ}, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.strip() == "[]"
