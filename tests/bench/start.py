"""How long a start takes: of the desk the second time, and of the web server against Django and DRF with the same URLs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import bare_django, place
from tests.bench.rows import Row, Size, alternate, median, row
from tests.process.desk import free_port

HEAVY = ("kiteconnect", "plotly.graph_objects", "ccxt", "twisted")
_LOADED = f"import sys, json, tvapp.wsgi; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"


def run(size: Size) -> list[Row]:
    home = place.home()
    routes = bare_django.write_routes(home)
    ours, bare = alternate(
        lambda: _web(place.serve_desk(home)),
        lambda: _web(place.serve_bare("tests.bench.bare_django:application", home, BARE_ROUTES=str(routes))),
        size.repeats,
    )
    seconds = [_whole(place.home()) for _ in range(size.repeats)]
    return [
        row("start", "s from nothing to the web server's first answer", median(ours), median(bare), "ratio <= 1.1"),
        row("start", f"modules loaded in the web process of {', '.join(HEAVY)}", len(_heavy(home)), goal="ours <= 0"),
        row("start", "s of a second bin/run to a green /health", median(seconds), goal="ours <= 5"),
    ]


def _web(server) -> float:
    with server as web:
        return web.seconds_to_answer


def _heavy(home: Path) -> list[str]:
    said = subprocess.run([sys.executable, "-c", _LOADED], cwd=place.ROOT, env=place.environment(home), capture_output=True, text=True, check=True)
    found = json.loads(said.stdout)
    if found:
        print(f"start: the web process imports {', '.join(found)}", file=sys.stderr)
    return found


def _whole(home: Path) -> float:
    """The home was prepared before and no process of it has beaten yet: green means that this start works."""
    port, log = free_port(), home / "run.log"
    with open(log, "ab") as out:
        started = time.perf_counter()
        env = place.environment(home, PORT=str(port))
        process = subprocess.Popen(_command(), cwd=place.ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            place.until(lambda: _green(port), process, log)
            return time.perf_counter() - started
        finally:
            place.end(process)


def _green(port: int) -> bool:
    try:
        status, body = place.get(port, "/health")
        return status == 200 and json.loads(body)["status"] == "ok"
    except (OSError, ValueError):
        return False


def _command() -> list[str]:
    """bin/run itself where it would install nothing (it belongs to this very Python and its packages are in place)."""
    own = Path(sys.executable) == place.ROOT / ".venv" / "bin" / "python"
    check = ["bash", "-c", ". bin/_env; venv_holds requirements.txt"]
    if own and subprocess.run(check, cwd=place.ROOT, env=dict(os.environ), capture_output=True).returncode == 0:
        return ["bin/run"]
    print("start: bin/run would change .venv, so the supervisor is started without it", file=sys.stderr)
    return [sys.executable, "-m", "tvapp.supervisor"]
