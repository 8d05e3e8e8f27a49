"""The yardstick of the webhook: the least that stores an alert and its order durably, behind the same web server.

One SELECT (the strategy of the secret) and three INSERTs (alert, order, its first event) in one BEGIN IMMEDIATE … COMMIT, WAL and
synchronous=FULL like the desk. A lock lets one thread write at a time: without it SQLite's own waiting would spoil the tail.
"""

import hashlib
import json
import os
import sqlite3
import threading
import time

_local, _writer = threading.local(), threading.Lock()

TABLES = """
PRAGMA journal_mode=WAL;
CREATE TABLE strategy (id INTEGER PRIMARY KEY, name TEXT, secret_digest TEXT UNIQUE, mode TEXT, account_id INTEGER);
CREATE TABLE alert (id INTEGER PRIMARY KEY, strategy_id INTEGER REFERENCES strategy, received_at TEXT, dedupe_key TEXT UNIQUE, symbol TEXT, body TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, alert_id INTEGER REFERENCES alert, strategy_id INTEGER REFERENCES strategy, status TEXT,
  symbol TEXT, side TEXT, quantity TEXT, price TEXT, tag TEXT UNIQUE, created_at TEXT);
CREATE INDEX orders_status ON orders (status, id);
CREATE TABLE event (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders, at TEXT, kind TEXT, text TEXT);
CREATE INDEX event_order ON event (order_id);
"""


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def make(path: str, secret: str) -> None:
    db = sqlite3.connect(path)
    db.executescript(TABLES)
    db.execute("INSERT INTO strategy VALUES (1, 'demo-manual', ?, 'MANUAL', 1)", (digest(secret),))
    db.commit()
    db.close()


def _db() -> sqlite3.Connection:
    if not hasattr(_local, "db"):
        _local.db = sqlite3.connect(os.environ["BARE_DB"], isolation_level=None, timeout=2)
        _local.db.executescript("PRAGMA synchronous=FULL; PRAGMA cache_size=-16000; PRAGMA foreign_keys=ON;")
    return _local.db


def store(alert: dict) -> tuple[int, int]:
    db, now, trade = _db(), time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), alert["trade_details"]
    with _writer:
        db.execute("BEGIN IMMEDIATE")
        (strategy,) = db.execute("SELECT id FROM strategy WHERE secret_digest = ?", (digest(alert.pop("secret")),)).fetchone()
        key, symbol = alert["idempotency_key"], alert["symbol"]
        made = db.execute("INSERT INTO alert VALUES (NULL, ?, ?, ?, ?, ?)", (strategy, now, key, symbol, json.dumps(alert))).lastrowid
        values = (made, strategy, symbol, trade["order_action"], str(trade["quantity"]), str(trade["price"]), key[-24:], now)
        order = db.execute("INSERT INTO orders VALUES (NULL, ?, ?, 'WAITING', ?, ?, ?, ?, ?, ?)", values).lastrowid
        db.execute("INSERT INTO event VALUES (NULL, ?, ?, 'CREATED', 'Waits for your decision.')", (order, now))
        db.execute("COMMIT")
    return made, order


def answering(store):
    """The WSGI function that answers an alert once `store` has it on disk."""

    def application(environ, start_response):
        if environ["REQUEST_METHOD"] != "POST":
            start_response("200 OK", [("Content-Length", "0")])
            return [b""]
        alert, order = store(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
        body = json.dumps({"alert_id": alert, "order_id": order, "status": "accepted", "duplicate": False}).encode()
        start_response("201 Created", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application


application = answering(store)
