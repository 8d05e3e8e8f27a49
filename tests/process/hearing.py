"""`python -m tests.process.hearing`: waits for a call on the queue `orders` of DATABASE_URL's server, without any other way to hear of it.

Prints `listening` once it does, then `heard` for each call that woke it, until it is ended. With an argument it is the one that calls.
"""

import os
import select
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")
    import django

    django.setup()
    from tvapp import wakeup

    if sys.argv[1:]:
        return wakeup.call_out("orders")
    wakeup.POLL = 0.2  # only how soon a lost connection is opened again
    ear = wakeup.ear("orders")
    while True:
        if ear.link() is None:
            wakeup.wait(None, 0.1)
            continue
        print("listening", flush=True)
        while (link := ear.link()) is not None:
            if select.select([link], [], [], 60)[0]:
                ear.drain()
                print("heard" if ear.link() is not None else "lost", flush=True)


if __name__ == "__main__":
    main()
