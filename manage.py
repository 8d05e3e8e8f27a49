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
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
