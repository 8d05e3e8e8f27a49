"""Which code this process runs, as one word, and whether it is the code the desk was prepared with.

After an update old workers may still run, on this machine or on another one. They would work by yesterday's rules on today's tables: such a worker
sends nothing. `manage.py prepare`, which every start runs first, notes the code's stamp; a worker compares its own with it.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

ROOMS = ("tvapp", "trading", "brokers", "risk", "analytics")
ROOT = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def stamp() -> str:
    """Version and fingerprint of the code, `0.1.0-5f0c1e…`; kept from the first call on, so that it stays that of the code that was loaded."""
    from django.conf import settings

    return f"{settings.VERSION}-{fingerprint(ROOT)}"


def fingerprint(root: Path) -> str:
    """16 hex digits over the path and text of every module of the rooms below `root`."""
    found = hashlib.sha256()
    for file in sorted(file for room in ROOMS for file in (root / room).rglob("*.py")):
        found.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def note() -> None:
    """From now on this code is the desk's; workers of another one stop sending within a second."""
    from tvapp.models import DeskSettings

    DeskSettings.objects.get_or_create(id=1)
    DeskSettings.objects.filter(id=1).update(release=stamp())
    DeskSettings.forget()


def other() -> str:
    """The stamp of the desk when it is not that of this process; empty when this process may send. A desk that was never prepared has none."""
    from tvapp.models import DeskSettings

    wanted = DeskSettings.current().release
    return wanted if wanted and wanted != stamp() else ""
