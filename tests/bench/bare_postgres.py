"""The yardstick of `postgres`: the least that stores an alert and its order durably on PostgreSQL, behind the same web server.

The same SELECT and three INSERTs as on SQLite in one transaction, by psycopg, on one connection a thread that stays open. No lock: here
writers do not wait for each other.
"""

import json
import os
import threading
import time

import psycopg

from tests.bench.bare_wsgi import answering, digest

_local = threading.local()

TABLES = """
CREATE TABLE strategy (id bigserial PRIMARY KEY, name text, secret_digest text UNIQUE, mode text, account_id bigint);
CREATE TABLE alert (id bigserial PRIMARY KEY, strategy_id bigint REFERENCES strategy, received_at timestamptz, dedupe_key text UNIQUE, symbol text,
  body jsonb);
CREATE TABLE orders (id bigserial PRIMARY KEY, alert_id bigint REFERENCES alert, strategy_id bigint REFERENCES strategy, status text, symbol text,
  side text, quantity numeric, price numeric, tag text UNIQUE, created_at timestamptz);
CREATE INDEX orders_status ON orders (status, id);
CREATE TABLE event (id bigserial PRIMARY KEY, order_id bigint REFERENCES orders, at timestamptz, kind text, text text);
CREATE INDEX event_order ON event (order_id);
"""


def make(url: str, secret: str) -> None:
    with psycopg.connect(url) as link:
        link.execute(TABLES)
        link.execute("INSERT INTO strategy VALUES (1, 'demo-manual', %s, 'MANUAL', 1)", (digest(secret),))


def _link() -> psycopg.Connection:
    if not hasattr(_local, "link"):
        _local.link = psycopg.connect(os.environ["BARE_DB"])
    return _local.link


def store(alert: dict) -> tuple[int, int]:
    now, trade, link = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime()), alert["trade_details"], _link()
    with link.transaction():
        (strategy,) = link.execute("SELECT id FROM strategy WHERE secret_digest = %s", (digest(alert.pop("secret")),)).fetchone()
        key, symbol = alert["idempotency_key"], alert["symbol"]
        made = _insert("INSERT INTO alert VALUES (DEFAULT, %s, %s, %s, %s, %s)", strategy, now, key, symbol, json.dumps(alert))
        values = (made, strategy, symbol, trade["order_action"], trade["quantity"], trade["price"], key[-24:], now)
        order = _insert("INSERT INTO orders VALUES (DEFAULT, %s, %s, 'WAITING', %s, %s, %s, %s, %s, %s)", *values)
        _insert("INSERT INTO event VALUES (DEFAULT, %s, %s, 'CREATED', 'Waits for your decision.')", order, now)
    return made, order


def _insert(sql: str, *values: object) -> int:
    return _link().execute(f"{sql} RETURNING id", values).fetchone()[0]


application = answering(store)
