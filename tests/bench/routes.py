"""Every address that is read: `python -m tests.bench.routes` prints those of the home it is given, with ids of rows that are there, as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench import place


def of(home: Path) -> list[str]:
    env = place.environment(home, LOG_LEVEL="ERROR")
    done = subprocess.run([sys.executable, "-m", "tests.bench.routes"], cwd=place.ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise place.BenchmarkFailed(f"The routes could not be read: {done.stderr.strip()[-1000:]}")
    return json.loads(done.stdout)


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")
    django.setup()
    from django.contrib.auth.models import User

    from tests.security.routes import routes

    owner = User.objects.get()
    print(json.dumps(sorted({route.url(owner) for route in routes() if "logout" not in route.path})))  # the session is needed to the end


if __name__ == "__main__":
    main()
