"""The data directory: $TVAPP_HOME, or `var` beside manage.py. It holds the database, `.env` with the keys, and `run/` (sockets, beats).

Standard library only: the supervisor, which never imports Django, uses it too.
"""

import base64
import fcntl
import hashlib
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class HomeProblem(SystemExit):
    """The data directory cannot be used. Left alone it ends the program with this one line and status 1."""


def path() -> Path:
    """Where the data directory is, whether it is there yet or not. Symbolic links are kept as the person wrote them."""
    return Path(os.path.abspath(os.environ.get("TVAPP_HOME") or ROOT / "var"))


def run_dir() -> Path:
    """Sockets, beat files and the lock of the running desk."""
    return path() / "run"


def machine() -> str:
    """Eight hex digits that tell this data directory from those of the other machines of the same desk."""
    return hashlib.sha256(f"{socket.gethostname()}:{path()}".encode()).hexdigest()[:8]


def ensure() -> Path:
    """Makes the data directory, `run/` and `.env` (mode 0600, with fresh keys where they are missing) and returns the directory.

    Safe with many processes at once, and cheap when everything is there. Raises HomeProblem with one line for the person.
    """
    home = path()
    os.umask(0o077)  # the database and all else in it are for this user alone, also in a directory that others may enter
    try:
        if not _complete(home):
            _complete_under_lock(home)
    except OSError as problem:
        raise HomeProblem(_advice(home, problem.strerror or str(problem))) from problem
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise HomeProblem(_advice(home, "it cannot be written"))
    return home


def read_env(file: Path | None = None) -> dict[str, str]:
    """The `NAME=value` lines of `.env` (of the data directory when no file is named); an absent file is an empty one."""
    try:
        text = (file or path() / ".env").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in text.splitlines() if "=" in line and line.strip()[0] != "#")
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def setting(name: str, default: str = "") -> str:
    """A variable as settings.py will see it: the environment first, then `.env`."""
    return os.environ.get(name) or read_env().get(name) or default


def _complete(home: Path) -> bool:
    env = home / ".env"
    try:
        private = env.stat().st_mode & 0o077 == 0
    except FileNotFoundError:
        return False
    return private and (home / "run").is_dir() and not _missing(read_env(env))


def _complete_under_lock(home: Path) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(home):
        (home / "run").mkdir(mode=0o700, exist_ok=True)
        env = home / ".env"
        kept = env.read_text(encoding="utf-8") if env.exists() else ""
        if kept and not kept.endswith("\n"):
            kept += "\n"
        added = "".join(f"{name}={_fresh(name)}\n" for name in _missing(read_env(env)))
        if added:
            _write_private(env, kept + added)
        else:
            env.chmod(0o600)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    handle = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _missing(known: dict[str, str]) -> list[str]:
    return [name for name in ("SECRET_KEY", "FIELD_KEYS") if not known.get(name)]


def _fresh(name: str) -> str:
    """Random; FIELD_KEYS takes 32 bytes in URL-safe base64, the form a Fernet key has."""
    if name == "FIELD_KEYS":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(50)


def _write_private(file: Path, text: str) -> None:
    """All or nothing: keys that were lost half-way would make every encrypted field unreadable."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)


def _advice(home: Path, reason: str) -> str:
    return f"The data directory {home} cannot be used ({reason}): give this user access to it, or set TVAPP_HOME to another directory."
