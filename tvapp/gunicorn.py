"""How gunicorn serves the desk. One process with threads on SQLite: two writers on one file ruin its slowest answers."""

import gc
from pathlib import Path

from tvapp import home, lifeline

lifeline.arm()


def _default_workers() -> str:
    return "2" if home.setting("DATABASE_URL").startswith("postgres") else "1"


bind = f"{home.setting('HOST', '127.0.0.1')}:{home.setting('PORT', '8000')}"  # the supervisor passes its own socket instead
worker_class = "gthread"
workers = int(home.setting("WEB_WORKERS", _default_workers()))
threads = int(home.setting("WEB_THREADS", "16"))
timeout = 30
graceful_timeout = 6
keepalive = 30
backlog = 1024
preload_app = True  # a killed worker is forked again in milliseconds instead of importing everything anew
control_socket_disable = True
errorlog = "-"
loglevel = "warning"
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108  a heartbeat file on a slow disk can block a worker


def pre_fork(server: object, worker: object) -> None:
    """No database connection may be shared between processes; what was imported is not walked by the worker's garbage collector."""
    from django.db import connections

    connections.close_all()
    gc.collect()
    gc.freeze()
