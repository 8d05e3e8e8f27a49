"""Whatever is killed comes back, whatever is told to stop stops, and nothing outlives the supervisor.

Real processes, small ones: a `desk` of dummy children stands in for the web server and the clusters.
"""

import contextlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tvapp import family, home, supervisor

# A child that forks `forks` members (a member of a member for the last one), says who is there, and waits.
DUMMY = """
import os, sys, time, signal
from tvapp import lifeline
lifeline.arm()
name, forks, notes = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def note():
    with open(notes, "a") as out:
        out.write(f"{name} {os.getpid()} {os.getppid()}\\n")
def member(deeper):
    if os.fork() == 0:
        note()
        if deeper: member(deeper - 1)
        while True: time.sleep(60)
lifeline.wait_for_call(lambda: open(notes, "a").write(f"{name}-ready {os.getpid()} 0\\n"))
note()
if forks: member(forks - 1)
if "stubborn" in name: signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "crashing" in name: sys.exit(3)
while True: time.sleep(60)
"""
DESK = """
import sys
from tvapp.supervisor import Child, Supervisor
import tvapp.supervisor as s
s._set_up_logging()
s.STOP_PATIENCE = 0.5
keeper = Supervisor([Child(n, [sys.executable, "-c", {dummy!r}, n, f, {notes!r}], fragile=n.startswith("fragile"), spare="spare" in n) for n, f in {children!r}])
keeper.listen_to_signals()
keeper.run()
keeper.stop()
"""


class Desk:
    """A supervisor in a process of its own, and what its children wrote about themselves."""

    def __init__(self, notes: Path, children: list[tuple[str, str]]):
        self.notes = notes
        code = DESK.format(dummy=DUMMY, notes=str(notes), children=children)
        self.log = notes.with_suffix(".log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen([sys.executable, "-c", code], cwd=home.ROOT, stderr=log)

    def seen(self, name: str) -> list[int]:
        """Every process that ever called itself `name`, oldest first."""
        lines = self.notes.read_text().split("\n")[:-1] if self.notes.exists() else []
        return [int(line.split()[1]) for line in lines if line.split()[0] == name]

    def wait_for(self, name: str, count: int) -> list[int]:
        until(lambda: len(self.seen(name)) >= count)
        return self.seen(name)

    def everyone(self) -> list[int]:
        return [int(line.split()[1]) for line in self.notes.read_text().splitlines()]


def until(true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def desk(tmp_path):
    started = []

    def start(*children: tuple[str, str]) -> Desk:
        started.append(Desk(tmp_path / f"notes{len(started)}", list(children)))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        for pid in one.everyone():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_it_starts_a_killed_child_again_within_two_seconds(desk):
    one = desk(("web", "0"), ("sweeper", "0"))
    first = one.wait_for("web", 1)[0]
    one.wait_for("sweeper", 1)
    os.kill(first, signal.SIGKILL)
    until(lambda: len(one.seen("web")) == 2, 2)
    assert len(one.seen("sweeper")) == 1


def test_it_starts_everything_again_when_all_are_killed(desk):
    one = desk(("web", "2"), ("fragile", "2"))
    victims = one.wait_for("web", 3) + one.wait_for("fragile", 3)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(one.seen("web")) == 6 and len(one.seen("fragile")) == 6, 2)


def test_it_kills_what_a_killed_leader_left_behind(desk):
    one = desk(("web", "2"))
    leader, *members = one.wait_for("web", 3)
    os.kill(leader, signal.SIGKILL)
    one.wait_for("web", 6)
    assert not any(family.alive(pid) for pid in members)


@pytest.mark.parametrize("victim", [1, 2])
def test_it_restarts_a_fragile_group_that_lost_one_member(desk, victim):
    one = desk(("fragile", "2"))
    group = one.wait_for("fragile", 3)
    os.kill(group[victim], signal.SIGKILL)
    until(lambda: len(one.seen("fragile")) == 6, 2)
    assert not any(family.alive(pid) for pid in group)


def test_it_leaves_the_members_of_a_sturdy_group_to_their_leader(desk):
    one = desk(("web", "1"), ("fragile", "1"))
    os.kill(one.wait_for("web", 2)[1], signal.SIGKILL)
    one.wait_for("fragile", 2)
    os.kill(one.seen("fragile")[1], signal.SIGKILL)
    one.wait_for("fragile", 4)
    assert len(one.seen("web")) == 2


def test_it_lets_a_spare_take_over_and_makes_a_new_one(desk):
    one = desk(("fragile-spare", "1"))
    spare = one.wait_for("fragile-spare-ready", 1)[0]
    leader = one.wait_for("fragile-spare", 2)[0]
    os.kill(leader, signal.SIGKILL)
    next_spare = one.wait_for("fragile-spare-ready", 2)[1]
    member = one.wait_for("fragile-spare", 4)[-1]
    assert family.alive(spare) and family.alive(next_spare)
    os.kill(member, signal.SIGKILL)
    one.wait_for("fragile-spare-ready", 3)
    assert (family.alive(spare), family.alive(next_spare)) == (False, True)


def test_it_replaces_a_spare_that_died_and_leaves_the_group_alone(desk):
    one = desk(("fragile-spare", "1"))
    group = one.wait_for("fragile-spare", 2)
    os.kill(one.wait_for("fragile-spare-ready", 1)[0], signal.SIGKILL)
    one.wait_for("fragile-spare-ready", 2)
    assert all(family.alive(pid) for pid in group)


def test_it_ends_cleanly_when_told_to(desk):
    one = desk(("web", "1"), ("stubborn", "2"), ("fragile-spare", "1"))
    one.wait_for("stubborn", 3), one.wait_for("web", 2), one.wait_for("fragile-spare-ready", 1)
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(5) == 0
    assert not any(family.alive(pid) for pid in one.everyone())


def test_it_takes_everyone_along_when_it_is_killed_itself(desk):
    one = desk(("web", "2"), ("stubborn", "0"), ("fragile", "2"))
    one.wait_for("stubborn", 1), one.wait_for("web", 3), one.wait_for("fragile", 3)
    one.process.kill()
    until(lambda: not any(family.alive(pid) for pid in one.everyone()), 2)


def test_it_slows_down_for_a_child_that_crashes_at_every_start(desk):
    one = desk(("crashing", "0"), ("web", "0"))
    one.wait_for("crashing", 4)
    assert "crashing ends again and again at its start" in one.log.read_text()


def test_it_pauses_longer_for_each_crash_and_never_over_its_limit():
    group = supervisor.Group(supervisor.Child("web", ["true"]), 0)
    pauses = []
    for _ in range(12):
        group._count(1, group._started + 1)
        pauses.append(group.pause())
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.0, supervisor.LONGEST_PAUSE)
    group._count(-9, group._started + 1)
    assert group.pause() == 0.0


class TestLoop:
    """The same loop inside this process, stopped by a timer that does what a signal does."""

    def _run(self, children, seconds: float = 0.6) -> supervisor.Supervisor:
        keeper = supervisor.Supervisor(children)
        threading.Timer(seconds, keeper._told_to_stop).start()
        keeper.run()
        keeper.stop()
        return keeper

    def test_it_starts_the_others_when_one_cannot_be_started(self, tmp_path):
        mark = tmp_path / "mark"
        self._run([supervisor.Child("web", ["/no/such/program"]), supervisor.Child("sweeper", ["touch", str(mark)])])
        assert mark.exists()

    def test_it_starts_again_what_ended_by_itself(self, tmp_path):
        count = tmp_path / "count"
        self._run([supervisor.Child("sweeper", ["sh", "-c", f"echo x >> {count}"], fragile=True, nice=5)])
        assert count.read_text().count("x") >= 2

    def test_it_gives_each_child_its_environment_and_files(self, tmp_path):
        seen = tmp_path / "seen"
        with (tmp_path / "given").open("w") as given:
            script = f"echo $Q_CLUSTER_NAME > {seen}; echo here > /dev/fd/{given.fileno()}; sleep 60"
            self._run([supervisor.Child("batch", ["sh", "-c", script], {"Q_CLUSTER_NAME": "batch"}, fds=(given.fileno(),))])
        assert (seen.read_text(), (tmp_path / "given").read_text()) == ("batch\n", "here\n")

    @pytest.mark.parametrize(("script", "answer"), [("exit 0", True), ("exit 3", False)])
    def test_it_waits_for_the_preparation(self, script, answer):
        assert supervisor.Supervisor([]).run_once(supervisor.Child("prepare", ["sh", "-c", script])) is answer

    def test_it_prepares_again_when_the_preparation_was_killed(self, tmp_path):
        script = f"if test -e {tmp_path}/again; then exit 0; fi; touch {tmp_path}/again; kill -9 $$"
        assert supervisor.Supervisor([]).run_once(supervisor.Child("prepare", ["sh", "-c", script]))


class TestHealth:
    """What the desk says about itself, asked as a load balancer would."""

    @pytest.fixture
    def answering(self):
        servers = []

        def serve(status: int, body: str) -> int:
            class Answer(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(body.encode())

                def log_message(self, *args):
                    pass

            servers.append(http.server.HTTPServer(("127.0.0.1", 0), Answer))
            threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
            return servers[-1].server_port

        yield serve
        for server in servers:
            server.shutdown()
            server.server_close()

    @pytest.mark.parametrize(
        ("status", "body", "word"),
        [
            (200, '{"status": "ok"}', "ok"),
            (200, '{"status": "degraded"}', "degraded"),
            (503, '{"status": "down"}', "down"),
            (200, "<html>", "down"),
            (301, "", "ok"),
        ],
    )
    def test_it_understands_the_answer(self, answering, status, body, word):
        assert supervisor.health("127.0.0.1", answering(status, body)) == word

    def test_it_takes_silence_for_down(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert supervisor.health("127.0.0.1", port) == "down"

    def test_it_prints_the_address_once_the_desk_answers(self, answering, capsys, monkeypatch, tmp_path):
        monkeypatch.setenv("TVAPP_HOME", str(tmp_path))
        port = answering(200, '{"status": "degraded"}')
        supervisor.announce("127.0.0.1", port)
        assert f"http://127.0.0.1:{port}" in capsys.readouterr().out

    def test_it_tells_a_container_how_the_desk_is(self, answering, capsys, monkeypatch, tmp_path):
        monkeypatch.setenv("TVAPP_HOME", str(tmp_path))
        monkeypatch.setenv("PORT", str(answering(503, "")))
        assert supervisor.main(["--health"]) == 1
        assert capsys.readouterr().out == "down\n"


class TestBeat:
    """A group that runs and does nothing is found by its silence."""

    @pytest.fixture
    def beat(self, tmp_path):
        return tmp_path / "orders.beat"

    @pytest.fixture
    def group(self, beat, request):
        read, write = os.pipe()
        group = supervisor.Group(supervisor.Child("orders", ["sleep", "60"], beat=beat, beat_owed=request.param), read)
        group.start()
        yield group
        group.bury(0)
        os.close(read), os.close(write)

    def _after(self, group, seconds: float) -> str:
        return group.trouble(group._started + seconds)

    @pytest.mark.parametrize("group", [True], indirect=True)
    def test_it_misses_a_beat_that_never_came(self, group):
        assert self._after(group, 19) == ""
        assert "not worked for 21 s" in self._after(group, 21)

    @pytest.mark.parametrize("group", [True], indirect=True)
    def test_it_counts_from_the_last_beat(self, group, beat):
        beat.touch()
        assert self._after(group, 15) == ""
        assert self._after(group, 34) == ""
        assert self._after(group, 36) != ""

    @pytest.mark.parametrize("group", [True], indirect=True)
    def test_it_is_not_fooled_by_a_clock_that_was_set(self, group, beat):
        beat.touch()
        self._after(group, 1)
        os.utime(beat, (4e9, 4e9))
        assert self._after(group, 15) == ""
        assert self._after(group, 36) != ""

    @pytest.mark.parametrize("group", [False], indirect=True)
    def test_it_asks_no_beat_of_a_group_that_never_gave_one(self, group):
        assert self._after(group, 3600) == ""

    @pytest.mark.parametrize("group", [True], indirect=True)
    def test_it_waits_less_long_in_tests(self, group, beat, monkeypatch):
        monkeypatch.setenv("TVAPP_TEST", "1")
        monkeypatch.setenv("TVAPP_TIME_SCALE", "0.2")
        beat.touch()
        self._after(group, 1)
        assert self._after(group, 4) == ""
        assert self._after(group, 6) != ""


class TestFamily:
    """Who belongs to a group, by /proc and by ps alike."""

    @pytest.fixture
    def group(self, tmp_path):
        process = subprocess.Popen([sys.executable, "-c", DUMMY, "x", "2", str(tmp_path / "n")], cwd=home.ROOT, start_new_session=True)
        until(lambda: (tmp_path / "n").exists() and (tmp_path / "n").read_text().count("\n") == 3)
        yield process.pid, {int(line.split()[1]) for line in (tmp_path / "n").read_text().splitlines()} - {process.pid}
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @pytest.mark.parametrize("find", [family.members_by_proc, family.members_by_ps])
    def test_it_finds_children_and_grandchildren(self, group, find):
        leader, members = group
        assert find(leader) == members

    @pytest.mark.parametrize("find", [family.members_by_proc, family.members_by_ps])
    def test_it_tells_a_killed_member_once(self, group, find):
        leader, members = group
        known = family.Family(leader, find)
        known.look()
        victim = max(members)
        os.kill(victim, signal.SIGKILL)
        until(lambda: not family.alive(victim))
        assert (known.fallen(), known.fallen()) == ([victim], [])
        known.close()

    def test_it_misses_a_member_that_was_killed_before_anybody_looked(self, group):
        leader, members = group
        known, victim = family.Family(leader, lambda _: set()), max(members)
        os.kill(victim, signal.SIGKILL)
        until(lambda: not family.alive(victim))
        known.meet(victim)
        assert (known.fallen(), known.fallen()) == ([victim], [])

    def test_it_meets_a_member_that_tells_of_its_birth(self, group):
        leader, members = group
        known, born = family.Family(leader, lambda _: set()), max(members)
        known.meet(born)
        known.meet(born)
        assert (known.pids(), known.fallen()) == ([born], [])
        known.close()

    def test_it_does_not_count_a_helper_program(self):
        code = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        process.stdout.readline()
        met = [family.Family(process.pid, find) for find in (family.members_by_proc, family.members_by_ps)]
        for one in met:
            one.look()
        assert [one.pids() for one in met] == [[], []]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def test_it_forgets_a_member_that_left_by_itself(self):
        code = "import os, time\nif os.fork() == 0: time.sleep(0.3); os._exit(0)\nprint(flush=True); time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        process.stdout.readline()
        known = family.Family(process.pid, family.members_by_proc)
        known.look()
        (child,) = known.pids()
        until(lambda: not family.alive(child))
        assert known.fallen() == []
        process.kill()
        process.communicate()


class TestStart:
    """The port and the data directory are had before anything is started."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TVAPP_HOME", str(tmp_path))
        monkeypatch.setattr(supervisor, "TAKEOVER", 0)
        return home.ensure()

    def test_it_says_what_to_do_about_a_busy_port(self, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as other:
            monkeypatch.setenv("PORT", str(other.getsockname()[1]))
            with pytest.raises(supervisor.CannotStart, match=r"Port \d+ on 127.0.0.1 is busy.*PORT=\d+ bin/run"):
                supervisor.take_over()

    def test_it_leaves_a_data_directory_to_the_desk_that_has_it(self, monkeypatch):
        monkeypatch.setenv("PORT", "0")
        first, held = supervisor.take_over()
        with pytest.raises(supervisor.CannotStart, match=f"process {os.getpid()}"):
            supervisor.take_over()
        os.close(held)
        first.close()
        second, held = supervisor.take_over()
        os.close(held)
        second.close()

    @pytest.mark.parametrize(("name", "value", "words"), [("PORT", "http", "a number"), ("HOST", "203.0.113.7", "HOST=127.0.0.1")])
    def test_it_says_what_is_wrong_with_an_address(self, monkeypatch, name, value, words):
        monkeypatch.setenv("PORT", "0")
        monkeypatch.setenv(name, value)
        with pytest.raises(supervisor.CannotStart, match=words):
            supervisor.take_over()

    def test_it_only_looks_when_asked_to_check(self, monkeypatch, place):
        monkeypatch.setenv("PORT", "0")
        assert supervisor.main(["--check"]) == 0

    def test_it_says_that_small_ports_need_rights(self):
        advice = supervisor._port_advice("127.0.0.1", 80, PermissionError(13, "Permission denied"))
        assert "above 1023" in advice

    def test_it_consists_of_web_orders_sweeper_stream_and_batch(self):
        with socket.socket() as listener:
            children = {child.name: child for child in supervisor.desk(listener)}
            assert children["web"].fds == (listener.fileno(),)
        assert list(children) == ["web", "orders", "sweeper", "stream", "batch"]
        assert (children["orders"].fragile, children["orders"].beat_owed) == (True, True)
        assert [name for name, child in children.items() if child.spare] == ["orders"]

    def test_it_takes_the_part_of_a_machine_that_only_serves_or_only_works(self, monkeypatch):
        monkeypatch.setenv("PORT", "0")
        monkeypatch.setenv("DATABASE_URL", "postgres://desk")
        parts = {}
        for name in ("web", "workers"):
            monkeypatch.setenv("TVAPP_ROLE", name)
            listener, held = supervisor.take_over()
            parts[name] = [child.name for child in supervisor.desk(listener)]
            os.close(held)
            if listener:
                listener.close()
        assert parts == {"web": ["web"], "workers": ["orders", "sweeper", "stream", "batch"]}

    @pytest.mark.parametrize(("name", "database", "words"), [("both", "postgres://desk", "all, web or workers"), ("web", "", "DATABASE_URL=postgres")])
    def test_it_says_what_is_wrong_with_a_role(self, monkeypatch, name, database, words):
        monkeypatch.setenv("TVAPP_ROLE", name)
        monkeypatch.setenv("DATABASE_URL", database)
        with pytest.raises(supervisor.CannotStart, match=words):
            supervisor.take_over()

    def test_it_tells_a_container_of_workers_by_their_beats(self, monkeypatch, capsys):
        monkeypatch.setenv("TVAPP_ROLE", "workers")
        monkeypatch.setenv("DATABASE_URL", "postgres://desk")
        assert supervisor.main(["--health"]) == 1
        for child in supervisor.workers():
            if child.beat:
                child.beat.touch()
        assert supervisor.main(["--health"]) == 0
        os.utime(child.beat or home.run_dir() / "orders.beat", (1, 1))
        assert supervisor.main(["--health"]) == 1
        assert capsys.readouterr().out.split() == ["down", "ok", "down"]

    def test_it_takes_the_port_from_the_env_file(self, place, monkeypatch):
        monkeypatch.delenv("PORT", raising=False)
        with (place / ".env").open("a") as env:
            env.write("PORT=9321\n")
        assert supervisor.address() == ("127.0.0.1", 9321)
