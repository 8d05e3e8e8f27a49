"""Every command of the project has a --help, one run that succeeds and one that fails. A new command without them fails here."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from brokers.kitesim import instruments
from brokers.models import BrokerAccount
from risk.models import MarketSession, RiskLedger, TradingState
from tests import factories as make
from trading.management.commands import sweep
from trading.models import Alert, Order
from trading.services import halt, housekeeping
from tvapp.lib import clock
from tvapp.management.commands.docs import own_commands
from tvapp.models import DeskSettings, Heartbeat

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> str:
    said = StringIO()
    call_command(*words, stdout=said)
    return said.getvalue().strip()


@contextmanager
def broken_database():
    """Every statement fails, as when the disk or the server is gone."""

    def refuse(execute, sql, params, many, context):
        raise OperationalError("database is locked")

    with connection.execute_wrapper(refuse):
        yield


@contextmanager
def answering(settings, orders: dict[str, Order] | None = None):
    """A web server that says it is healthy and answers an alert with the order that is named for its strategy."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._say({"status": "ok"})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            order = orders[body["strategy_name"]]
            self._say({"alert_id": order.alert_id, "order_id": order.pk})

        def _say(self, body):
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.HOST, settings.PORT = "127.0.0.1", server.server_port
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def nobody_listens(settings):
    settings.HOST, settings.PORT = "127.0.0.1", 9  # discard: nothing answers there


# ---------------------------------------------------------------------------- all of them (bench: in test_bench.py)
TRIED = {
    "bench", "brokerstream", "crashtest", "demo", "docs", "doctor", "exportsettings", "importsettings", "kill", "kitesim", "loadcalendar",
    "loadinstruments", "prepare", "prune", "recoverorders", "replayalert", "riskcheck", "riskreplay", "rotate_keys", "squareoff", "sweep",
    "syncorders", "syncpositions",
}  # fmt: skip


def test_it_tries_every_command_there_is():
    assert set(own_commands()) == TRIED, "add one success and one failure for the new command here, and its name to TRIED"


@pytest.mark.parametrize("name", sorted(own_commands()))
def test_it_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command(name, "--help")
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert own_commands()[name].help.split(".")[0][:30] in said


@pytest.mark.parametrize("name", sorted(own_commands()))
def test_it_refuses_an_option_it_does_not_know(name, db):
    with pytest.raises(CommandError):
        call_command(name, *(["1"] if name == "replayalert" else ["status"] if name == "kill" else []), "--nonsense")


# ---------------------------------------------------------------------------- loadcalendar
def test_loadcalendar_says_what_it_entered(db):
    assert run("loadcalendar", "--year", "2026").endswith(" entries added, 0 brought up to date.")
    assert set(MarketSession.objects.dates("date", "year")) == {date(2026, 1, 1)}
    assert run("loadcalendar", "--year", "2026") == "Market calendar: 0 entries added, 0 brought up to date."


@pytest.mark.parametrize("words", [["--file", "/nowhere.csv"], ["--to", "soon"]])
def test_loadcalendar_refuses_in_one_line(db, words):
    with pytest.raises(CommandError) as refused:
        run("loadcalendar", *words)
    assert "\n" not in str(refused.value)


# ---------------------------------------------------------------------------- riskcheck, riskreplay
def test_riskcheck_says_what_the_gate_would_say(desk):
    said = run("riskcheck", "BUY", "120", "NSE:INFY", "--strategy", "auto", "--ref", "100", "--set", "GLOBAL.max_quantity_per_order=50")
    assert "max_quantity_per_order=50 (GLOBAL)" in said and "REJECT: 0 of 120 would go." in said
    assert "SKIP" in run("riskcheck", "BUY", "1", "NSE:INFY", "--ref", "100", "--all")


@pytest.mark.parametrize("words", [["BUY", "many", "NSE:INFY"], ["BUY", "1", "INFY"], ["BUY", "1", "NSE:INFY", "--strategy", "none"],
                                   ["BUY", "1", "NSE:INFY", "--account", "none"], ["BUY", "1", "NSE:INFY", "--set", "x"]])  # fmt: skip
def test_riskcheck_refuses_in_one_line(desk, words):
    with pytest.raises(CommandError) as refused:
        run("riskcheck", *words)
    assert "\n" not in str(refused.value)


def test_riskreplay_says_which_orders_would_differ(desk, tmp_path):
    desk.filled("auto")
    (tmp_path / "limits.json").write_text('{"GLOBAL": {"max_quantity_per_order": "4"}}')
    period = ["--from", "2020-01-01", "--to", "2100-01-01"]
    said = run("riskreplay", *period, "--limits", str(tmp_path / "limits.json"))
    assert "ALLOW 10 -> REJECT QTY_MAX 0" in said and "1 of 1 decisions would differ: QTY_MAX 1." in said
    assert run("riskreplay", *period).startswith("0 of 1 decisions would differ.")


def test_riskreplay_refuses_in_one_line(db, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "odd.json").write_text('{"MOON": {}}')
    for words in (["--from", "soon", "--to", "2026-01-01"], *(["--from", "2026-01-01", "--to", "2026-01-01", "--limits", str(tmp_path / n)] for n in ("bad.json", "odd.json", "none.json"))):
        with pytest.raises(CommandError) as refused:
            run("riskreplay", *words)
        assert "\n" not in str(refused.value)


# ---------------------------------------------------------------------------- exportsettings, importsettings
def test_settings_go_out_and_come_back(desk, tmp_path):
    file = tmp_path / "settings.json"
    assert "All settings are in" in run("exportsettings", str(file)) and json.loads(run("exportsettings"))["version"] == 1
    desk.auto.description = "changed"
    desk.auto.save()
    assert run("importsettings", str(file)).endswith("Nothing was written; add --apply to do it.")
    assert run("importsettings", str(file), "--apply").endswith("1 row made or changed. No strategy is armed any more.")
    assert run("importsettings", str(file)) == "Everything is as the file says; nothing to change."


def test_settings_refuse_in_one_line(db, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "other.json").write_text("{}")
    words = [("importsettings", str(tmp_path / name)) for name in ("none.json", "bad.json", "other.json")] + [("exportsettings", "/nowhere/at/all")]
    for command in words:
        with pytest.raises(CommandError) as refused:
            run(*command)
        assert "\n" not in str(refused.value)


# ---------------------------------------------------------------------------- kill
def test_kill_stops_trading_and_says_what_it_did(desk):
    order = desk.order("auto")
    assert run("kill", "on", "--reason", "storm") == "Trading is stopped (GLOBAL): 1 put on hold."
    order.refresh_from_db()
    assert (order.status, TradingState.objects.get(scope="GLOBAL").reason) == ("HELD", "storm")


@pytest.mark.parametrize(("scope", "name"), [("account", "paper"), ("strategy", "auto")])
def test_kill_says_what_is_stopped_and_releases_it(desk, scope, name):
    run("kill", "on", f"--{scope}", name, "--reason", "storm")
    said = run("kill", "status")
    assert said.startswith(f"{scope.capitalize()} {name}: stopped since") and said.endswith("by command line: storm")
    assert run("kill", "off", f"--{scope}", name, "--reason", "over").startswith(f"Trading may go on ({scope.upper()}:")
    assert run("kill", "status") == "Trading is active."


@pytest.mark.parametrize("words", [["off"], ["on", "--account", "nobody"], ["on", "--strategy", "nothing"]])
def test_kill_refuses_in_one_line(desk, words):
    with pytest.raises(CommandError) as refused:
        run("kill", *words)
    assert "\n" not in str(refused.value)
    assert halt.status() == []


# ---------------------------------------------------------------------------- replayalert
def test_replayalert_makes_the_order_a_disabled_strategy_missed(desk):
    key = desk.secret(desk.auto)
    desk.auto.enabled = False
    desk.auto.save()
    alert = desk.send("auto", secret=key).alert_id
    assert "would make 1" in run("replayalert", str(alert), "--dry-run")
    assert not Order.objects.exists()
    assert run("replayalert", str(alert)) == f"alert {alert}: orders {Order.objects.get().pk}"
    assert Order.objects.get().status == "WAITING"


def test_replayalert_refuses_what_it_cannot_replay(desk):
    order = desk.order("manual")
    for pk in (order.alert_id, 999):
        with pytest.raises(CommandError):
            run("replayalert", str(pk))
    assert Order.objects.count() == 1


# ---------------------------------------------------------------------------- recoverorders
def test_recoverorders_settles_an_order_whose_worker_died(desk):
    assert run("recoverorders").startswith("Nothing to recover")
    order = desk.order("auto")
    Order.objects.filter(pk=order.pk).update(status="SENDING", lease_until=clock.now() - timedelta(seconds=1))
    assert run("recoverorders") == "1 queued again"
    order.refresh_from_db()
    assert order.status == "QUEUED"


def test_recoverorders_fails_without_a_database(db):
    with broken_database(), pytest.raises(OperationalError):
        run("recoverorders")


# ---------------------------------------------------------------------------- brokerstream
def test_brokerstream_says_who_is_logged_in(db):
    assert run("brokerstream") == "No account is logged in: there is nothing to listen to."
    account = make.BrokerAccountFactory(broker="zerodha", environment="SIM", state="READY", name="kite")
    make.BrokerSessionFactory(account=account, state="ACTIVE", expires_at=clock.now() + timedelta(hours=1))
    assert run("brokerstream") == "Logged in: kite."


def test_brokerstream_fails_without_a_database(db):
    with broken_database(), pytest.raises(OperationalError):
        run("brokerstream")


# ---------------------------------------------------------------------------- syncorders, syncpositions
@pytest.mark.parametrize("name", ["syncorders", "syncpositions"])
def test_sync_has_nothing_to_read_without_a_connected_account(desk, name):
    assert run(name) == ""


@pytest.mark.parametrize("name", ["syncorders", "syncpositions"])
def test_sync_fails_for_an_account_there_is_not_or_that_is_not_logged_in(desk, name):
    with pytest.raises(CommandError, match="nobody"):
        run(name, "--account", "nobody")
    BrokerAccount.objects.create(owner=desk.owner, name="kite", broker="zerodha", environment="SIM", state="DISCONNECTED")
    with pytest.raises(CommandError, match="kite"):
        run(name, "--account", "kite")


# ---------------------------------------------------------------------------- sweep
def test_sweep_rings_again_for_an_order_nobody_took(desk):
    order = desk.order("auto")
    Order.objects.filter(pk=order.pk).update(rung_at=clock.now() - timedelta(minutes=1))
    assert "rung=1" in run("sweep")


def test_sweep_fails_without_a_database_but_its_loop_goes_on(db, caplog):
    with broken_database():
        with pytest.raises(OperationalError):
            run("sweep")
        sweep._pass()
    assert "tried again" in caplog.text


@pytest.mark.process
@pytest.mark.parametrize(("name", "file"), [("sweep", "sweeper.beat"), ("brokerstream", "stream.beat")])
def test_a_loop_ends_cleanly_when_told(tmp_path, name, file):
    env = {**os.environ, "TVAPP_HOME": str(tmp_path / "home"), "TVAPP_TIME_SCALE": "0.2"}
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], env=env, check=True, timeout=120)
    process = subprocess.Popen([*manage, name, "--loop"], env=env, stderr=subprocess.PIPE)
    beat, end = tmp_path / "home" / "run" / file, time.monotonic() + 30
    while not beat.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert (process.wait(10), process.stderr.read()) == (0, b"")
    assert beat.exists()


# ---------------------------------------------------------------------------- prune
def _alert(desk, outcome: str, days: float) -> Alert:
    at = clock.now() - timedelta(days=days)
    return Alert.objects.create(owner=desk.owner, received_at=at, correlation_id="c", body="{}", body_hash="h", outcome=outcome)


def test_prune_deletes_refused_alerts_past_their_time_and_no_others(desk):
    DeskSettings(rejected_keep_days=3).save()
    kept = [_alert(desk, "REJECTED", 2.9), _alert(desk, "ACCEPTED", 900), _alert(desk, "IGNORED", 900)]
    _alert(desk, "REJECTED", 3.1)
    assert run("prune") == "1 refused alerts."
    assert set(Alert.objects.all()) == set(kept)


def test_prune_deletes_old_beats_tasks_sessions_and_locks(db, monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    now, task = clock.now(), apps.get_model("django_q", "Task")
    for days in (0.5, 2, 2, 2):
        Heartbeat.objects.create(name=f"beat {Heartbeat.objects.count()}", at=now - timedelta(days=days), process="p")
    for days in (29, 31):
        at = now - timedelta(days=days)
        task.objects.create(id=str(days), name="t", func="f", started=at, stopped=at, success=True)
        Session.objects.create(session_key=str(days), session_data="", expire_date=now + timedelta(days=30 - days))
        apps.get_model("django_q", "OrmQ").objects.create(key="orders@lost", payload="", lock=at + timedelta(days=29.5))
    RiskLedger.objects.create(scope="INGEST:abc")
    RiskLedger.objects.create(scope="GLOBAL")
    assert run("prune") == "3 beats, 1 task rows, 1 beats of lost machines, 1 sessions, 1 ingest locks."
    assert [row.scope for row in RiskLedger.objects.all()] == ["GLOBAL"]
    assert run("prune") == "Nothing to prune."


def test_rotate_keys_brings_a_value_under_the_first_key(desk, settings):
    type(desk.account).objects.filter(pk=desk.account.pk).update(credentials="geheim")
    settings.FIELD_KEYS = ["another-key-" + "k" * 32, *settings.FIELD_KEYS]
    assert run("rotate_keys") == "All 1 values are under the first key, 1 of them written anew."


def test_rotate_keys_fails_when_no_key_opens_a_value(desk, settings):
    type(desk.account).objects.filter(pk=desk.account.pk).update(credentials="geheim")
    settings.FIELD_KEYS = ["another-key-" + "k" * 32]
    with pytest.raises(CommandError, match="opened by no key"):
        run("rotate_keys", "--check")


def test_prune_fails_without_a_database(db):
    with broken_database(), pytest.raises(OperationalError):
        run("prune")


# ---------------------------------------------------------------------------- docs
@pytest.fixture
def papers(settings, tmp_path):
    (tmp_path / "docs").mkdir()
    settings.BASE_DIR = tmp_path
    page = tmp_path / "docs" / "page.md"
    page.write_text("Before\n<!-- made by manage.py docs: order-states -->\nyesterday\n<!-- end -->\nAfter\n")
    return page


def test_docs_writes_what_is_between_its_marks_and_nothing_else(papers):
    assert run("docs") == "Written: docs/page.md."
    text = papers.read_text()
    assert text.startswith("Before\n") and text.endswith("\nAfter\n") and "| WAITING |" in text and "yesterday" not in text
    assert run("docs", "--check") == "All generated parts are up to date."


def test_docs_names_what_is_out_of_date_and_leaves_it(papers):
    before = papers.read_text()
    with pytest.raises(CommandError, match=r"docs/page\.md"):
        run("docs", "--check")
    assert papers.read_text() == before


def test_docs_refuses_a_mark_it_cannot_fill(papers):
    papers.write_text("<!-- made by manage.py docs: weather -->\n<!-- end -->\n")
    with pytest.raises(CommandError, match="weather"):
        run("docs")


# ---------------------------------------------------------------------------- doctor
def test_doctor_finds_a_running_desk_well(db, settings):
    for name in ("orders", "sweeper"):
        Heartbeat.objects.create(name=name, at=clock.now(), process="p")
    with answering(settings):
        said = run("doctor")
    assert "WRONG" not in said


def test_doctor_says_what_is_wrong_and_fails(db, nobody_listens):
    said = StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", stdout=said)
    assert "start it with bin/run" in said.getvalue()


# ---------------------------------------------------------------------------- demo
def test_demo_follows_an_alert_to_its_fill(desk, settings):
    for strategy, name in ((desk.auto, "demo-auto"), (desk.manual, "demo-manual")):
        strategy.name = name
        strategy.save()
    orders = {"demo-auto": desk.filled("demo-auto"), "demo-manual": desk.order("demo-manual")}
    with answering(settings, orders):
        said = run("demo", "--quantity", "1")
    assert "filled 10 at" in said
    assert f"/orders/{orders['demo-manual'].pk}" in said


def test_demo_says_that_no_desk_runs(db, nobody_listens):
    with pytest.raises(CommandError, match="bin/run"):
        run("demo")


# ---------------------------------------------------------------------------- kitesim
@pytest.mark.process
def test_kitesim_answers_until_it_is_told_to_end(tmp_path):
    faults = tmp_path / "faults.json"
    faults.write_text('[{"route": "instruments", "mode": "429"}]')
    words = [sys.executable, str(ROOT / "manage.py"), "kitesim", "--port", "0", "--faults", str(faults)]
    env = {**os.environ, "TVAPP_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = process.stdout.readline().split()
    try:
        with pytest.raises(urllib.error.HTTPError, match="429"):
            urllib.request.urlopen(f"{said[-1]}/instruments", timeout=5)
        with urllib.request.urlopen(f"{said[-1]}/instruments", timeout=5) as answer:
            assert answer.read().startswith(b"instrument_token,")
    finally:
        process.send_signal(signal.SIGTERM)
    assert (process.wait(10), process.stderr.read()) == (0, "")


@pytest.mark.parametrize("faults", ["{", '[{"mode": "unheard of"}]', "7"])
def test_kitesim_refuses_faults_it_cannot_read(tmp_path, faults):
    (tmp_path / "faults.json").write_text(faults)
    with pytest.raises(CommandError, match="cannot start"):
        run("kitesim", "--port", "0", "--faults", str(tmp_path / "faults.json"))


def test_kitesim_refuses_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CommandError, match="in use"):
        run("kitesim", "--port", str(taken.getsockname()[1]))


def test_kitesim_refuses_instruments_it_cannot_read(tmp_path):
    with pytest.raises(CommandError, match="nowhere"):
        run("kitesim", "--instruments", str(tmp_path / "nowhere.csv"))


# ---------------------------------------------------------------------------- loadinstruments
def test_loadinstruments_loads_a_file_and_says_what_it_did(db, tmp_path):
    rows = instruments.standard(clock.trading_day(clock.now()))
    (tmp_path / "list.csv").write_text(instruments.csv_text(rows))
    words = ["loadinstruments", "--file", str(tmp_path / "list.csv")]
    assert run(*words) == f"{len(rows)} instruments in the list: {len(rows)} new, 0 changed, 0 switched off."
    assert run(*words, "--exchange", "mcx") == "3 instruments in the list: 0 new, 0 changed, 0 switched off."
    (tmp_path / "list.csv").write_text(instruments.csv_text(rows[:2]))
    with pytest.raises(CommandError, match="--force"):
        run(*words)
    assert "0 switched off" not in run(*words, "--force")


@pytest.mark.parametrize(("words", "said"), [([], "no Zerodha account"), (["--account", "nobody"], "no account called nobody"), (["--file", "/nowhere"], "No such file")])
def test_loadinstruments_refuses_in_one_line(db, words, said):
    with pytest.raises(CommandError, match=said) as refused:
        run("loadinstruments", *words)
    assert "\n" not in str(refused.value)


# ---------------------------------------------------------------------------- prepare
@pytest.fixture
def place(db, settings, tmp_path):
    (tmp_path / "run").mkdir()
    settings.HOME, settings.STATIC_ROOT = tmp_path, tmp_path / "static"


def test_prepare_says_who_the_first_admin_is(place):
    assert run("prepare").startswith("First admin: admin / ")


def test_prepare_refuses_a_setting_that_would_hurt(place, settings):
    settings.FIELD_KEYS = [settings.SECRET_KEY]
    with pytest.raises(CommandError, match="FIELD_KEYS"):
        run("prepare")


