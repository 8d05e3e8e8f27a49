#!/usr/bin/env python3
"""Django's commands, tied to the supervisor when it started them."""

import os
import sys

from tvapp import lifeline


def main() -> None:
    lifeline.arm()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit("Django is not installed for this Python: start with bin/run, or use .venv/bin/python manage.py.")
    lifeline.wait_for_call(_import_everything)
    execute_from_command_line(sys.argv)


def _import_everything() -> None:
    """What a cluster imports, so that a spare starts to work within a moment of its call."""
    import django
    from django.core.management import load_command_class
    from django.utils.module_loading import autodiscover_modules

    django.setup()
    load_command_class("django_q", "qcluster")
    autodiscover_modules("tasks")


if __name__ == "__main__":
    main()
