"""A desk with a long past: `python -m tests.bench.history COUNT` fills the home it is given up to COUNT orders and says how to sign in.

Two real alerts are the mould; SQL multiplies them. The history is spread over time, states, strategies and 20 symbols; what is
open is the same however long it is: 20 orders wait, 3 are on hold.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench import place

WAITING, HELD, SYMBOLS, A_DAY = 20, 3, 20, 400
# Seventeen letters, like a real tag of a paper order.
_TAG = "'tbbbbbbbbbbb' || " + " || ".join(f"char(97 + i / {26**n} % 26)" for n in (4, 3, 2, 1, 0))
_ENDS = """CASE WHEN i % 20 < 14 THEN 'COMPLETE' WHEN i % 20 < 16 THEN 'CANCELLED' WHEN i % 20 = 16 THEN 'REJECTED_RISK'
 WHEN i % 20 = 17 THEN 'STALE' WHEN i % 20 = 18 THEN 'FAILED' ELSE 'REJECTED' END"""


def fill(home: Path, count: int) -> dict[str, str]:
    """Fills that home in a process of its own. Returns `cookie` (a signed-in session), `token` (API), ids and days of the history."""
    command = [sys.executable, "-m", "tests.bench.history", str(count)]
    done = subprocess.run(command, cwd=place.ROOT, env=place.environment(home, LOG_LEVEL="ERROR"), capture_output=True, text=True)
    if done.returncode:
        raise place.BenchmarkFailed(f"A history of {count} orders could not be made: {done.stderr.strip()[-1000:]}")
    return json.loads(done.stdout)


def _mould() -> tuple[dict[str, int], int]:
    """One waiting order of each demo strategy, by name; and the first id of the symbols' instruments."""
    from brokers.models import Instrument
    from tests.bench.load import alert
    from trading.models import Order
    from trading.services import ingest
    from tvapp.lib import ids

    names = [f"H{n}" for n in range(SYMBOLS)]
    made = Instrument.objects.bulk_create(Instrument(exchange="NSE", tradingsymbol=name, name=name) for name in names)
    for name in ("demo-manual", "demo-auto"):
        ingest.receive(alert(name), token=None, source="127.0.0.1", correlation_id=ids.correlation_id())
    Order.objects.filter(strategy__name="demo-auto").update(status="COMPLETE")
    return dict(Order.objects.values_list("strategy__name", "id")), made[0].pk


def _spread(number: str, count: int) -> str:
    """When the i-th of them came in: A_DAY a day, the last one a minute ago."""
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (60 + ({count} - {number}) * {86400 // A_DAY}) || ' seconds')"


def _multiply(model, mould: int, count: int, columns: dict[str, str], where: str) -> None:
    """Copies the row `mould` for i = 1 … count where `where` holds; `columns` replace values by SQL over i."""
    from django.db import connection

    names = [field.column for field in model._meta.concrete_fields]
    values = ", ".join(columns.get(name, f't."{name}"') for name in names)
    into, table = ", ".join(f'"{name}"' for name in names), model._meta.db_table
    series = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    with connection.cursor() as cursor:
        cursor.execute(f'{series} INSERT INTO "{table}" ({into}) SELECT {values} FROM n, "{table}" t WHERE t.id = {mould} AND {where}')


def _widen() -> None:
    """What sends dozens of equal alerts a minute is not about the rate rules."""
    from risk.models import RiskSettings
    from tests.process.desk import RAILS

    RiskSettings.objects.filter(scope="GLOBAL").update(**dict.fromkeys(RAILS, 1_000_000_000_000))


def _past(count: int) -> None:
    from django.db import connection, transaction

    from trading.models import Alert, Order

    moulds, instrument = _mould()
    alerts = dict(Order.objects.values_list("id", "alert_id"))
    shared = {"correlation_id": "printf('%016x', i)", **dict.fromkeys(("created_at", "updated_at", "received_at", "ended_at"), _spread("i", count))}
    symbol = f"'H' || (i % {SYMBOLS})"
    of_alert = {"id": f"{max(alerts.values())} + i", "symbol": f"'NSE:' || {symbol}", "body_hash": "printf('%064x', i)"}
    of_order = {"id": f"{max(alerts)} + i", "alert_id": of_alert["id"], "signal_id": "NULL", "status": _ENDS, "tradingsymbol": symbol}
    of_order |= {"instrument_id": f"{instrument} + i % {SYMBOLS}", "tag": _TAG, "broker_order_id": "'B' || i"}
    with transaction.atomic():
        for turn, mould in enumerate(moulds.values()):
            _multiply(Alert, alerts[mould], count, shared | of_alert, f"i % 2 = {turn}")
            _multiply(Order, mould, count, shared | of_order, f"i % 2 = {turn}")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _present() -> None:
    from tests.bench.load import alert
    from trading.models import Order
    from trading.services import ingest
    from tvapp.lib import ids

    for _ in range(WAITING + HELD):
        ingest.receive(alert("demo-manual"), token=None, source="127.0.0.1", correlation_id=ids.correlation_id())
    held = Order.objects.order_by("-id").values_list("id", flat=True)[:HELD]
    Order.objects.filter(pk__in=list(held)).update(status="HELD", status_reason="BENCH")


def _sign_in() -> dict[str, str]:
    from django.contrib.auth.models import User
    from django.test import Client

    from trading.models import Order, Strategy
    from tvapp.lib import clock
    from tvapp.people.auth import new_token

    user, client = User.objects.get(), Client()
    client.force_login(user)
    order = Order.objects.filter(tag__startswith="tbbbbbbbb").order_by("id").first()
    facts = {"cookie": client.cookies["sessionid"].value, "token": new_token(user, "bench"), "tag": order.tag}
    facts |= {"strategy": str(Strategy.objects.get(name="demo-auto").pk), "account": str(order.account_id), "oldest": str(order.pk)}
    return facts | {"first_day": clock.trading_day(order.created_at).isoformat(), "today": clock.trading_day(clock.now()).isoformat()}


def main(count: int) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tvapp.settings")
    django.setup()
    _widen()
    _past(count)
    _present()
    print(json.dumps(_sign_in()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
