"""The control side, the instruments, and that the simulator stands alone."""

import ast
import gzip
import sys
import threading
from datetime import date, datetime
from pathlib import Path

import pytest
import requests

from brokers import kitesim
from brokers.kitesim import instruments
from brokers.kitesim.server import running
from brokers.kitesim.state import Simulator
from tests.brokers.kitesim.conftest import book, order


def test_it_tells_the_truth_about_every_order_it_accepted(bench, kite):
    placed = order(kite, tag="x1")
    kite.cancel_order("regular", placed)
    other = order(bench.kite("otherkey"), tag="x2")
    assert [row["order_id"] for row in bench.accepted()] == [placed, other]
    row = bench.accepted("x1")[0]
    assert (row["status"], row["api_key"], datetime.fromisoformat(row["received_at"]).isoformat()) == ("CANCELLED", "simkey", "2026-11-23T04:30:00+00:00")
    assert [row["tag"] for row in bench.get("orders?api_key=otherkey")] == ["x2"] and bench.accepted("x3") == []


def test_it_logs_what_happened_in_order(bench, kite):
    placed = order(kite, price=1500, tag="l1")
    events = [row["event"] for row in bench.get("log?tag=l1")]
    assert events == ["request", "accepted", "fill", "complete"]
    fill = bench.get("log?event=fill")[0]
    assert (fill["order_id"], fill["quantity"], fill["price"]) == (placed, 10, "1500")


def test_it_logs_refused_requests_too(bench, kite):
    bench.fault("place", "drop_before")
    with pytest.raises(requests.exceptions.ConnectionError):
        order(kite, tag="l2")
    row = bench.get("log?tag=l2")
    assert [(r["event"], r["mode"], r["status"]) for r in row] == [("request", "drop_before", 0)]


def test_it_changes_all_prices_or_none(bench, kite):
    assert bench.post("price", **{"NSE:INFY": 1600, "NSE:NOSUCH": 1})["http"] == 400
    for wrong in (0, -1, "x", "NaN", None, {"quantity": 1}, {"price": 1, "size": 2}):
        assert bench.post("price", **{"NSE:INFY": wrong})["http"] == 400
    assert kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"] == 1500


def test_it_moves_and_frees_its_clock(bench):
    assert bench.clock(at="2026-11-23T11:00:00")["now"] == "2026-11-23T11:00:00+05:30"
    assert bench.clock(advance_s=90)["now"] == "2026-11-23T11:01:30+05:30"
    answer = requests.get(f"{bench.url}/_sim/clock", timeout=5)
    assert answer.headers["Date"] == "Mon, 23 Nov 2026 05:31:30 GMT"
    said = datetime.fromisoformat(bench.clock(real=True)["now"])
    assert abs((datetime.now(said.tzinfo) - said).total_seconds()) < 5
    assert bench.clock(speed=2)["http"] == 400 and bench.clock(at="noon")["http"] == 400


def test_it_forgets_orders_faults_and_prices_at_a_reset_but_not_who_is_signed_in(bench, kite):
    order(kite, price=1500)
    bench.price("NSE:INFY", 1600)
    bench.fault("*", "429", times=0)
    bench.post("reset")
    assert (kite.orders(), bench.accepted(), bench.get("faults")["set"], kite.positions()["net"]) == ([], [], [], [])
    assert kite.ltp("NSE:INFY")["NSE:INFY"]["last_price"] == 1500
    bench.post("reset", sessions=True)
    with pytest.raises(Exception, match="Incorrect"):
        kite.orders()


def test_it_starts_and_resets_with_the_faults_it_was_given():
    given = [{"route": "place", "mode": "429", "times": 3}]
    sim = Simulator(faults=given)
    sim.faults.take("place")
    sim.reset()
    assert [row["times"] for row in sim.faults.rows()] == [3]


def test_it_acts_like_the_brokers_own_app(bench, kite):
    wanted = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 5, "product": "MIS", "order_type": "LIMIT", "price": 1490}
    placed = bench.post("outside", **wanted)["order_id"]
    assert (book(kite, placed)["tag"], book(kite, placed)["status"]) == (None, "OPEN")
    bench.post("outside", do="modify", order_id=placed, price=1480)
    assert book(kite, placed)["price"] == 1480
    bench.post("outside", do="cancel", order_id=placed)
    assert book(kite, placed)["status"] == "CANCELLED"
    assert bench.post("outside", do="cancel", order_id=placed)["http"] == 400
    assert bench.post("outside", do="frame", order_id=placed)["http"] == 400


@pytest.mark.parametrize(("path", "body"), [("accounts", {"colour": "red"}), ("accounts", {"holdings": {"NSE:NOSUCH": 1}}), ("accounts", {"cash": "much"}), ("nothing", {})])
def test_it_says_what_it_does_not_understand(bench, path, body):
    said = bench.post(path, **body)
    assert said["http"] in (400, 404) and said["error"]


def test_it_survives_a_body_that_is_not_json(bench):
    answer = requests.post(f"{bench.url}/_sim/faults", data=b"\xff{", timeout=5)
    assert answer.status_code == 400
    assert requests.post(f"{bench.url}/_sim/price", json=[1], timeout=5).status_code == 400


def test_it_accepts_orders_from_many_at_once(bench):
    clients = [bench.kite() for _ in range(4)]

    def work(number: int):
        for n in range(10):
            order(clients[number], price=1500, tag=f"c{number}x{n}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    rows = bench.accepted()
    assert len(rows) == len({row["order_id"] for row in rows}) == len({row["tag"] for row in rows}) == 40
    assert clients[0].positions()["net"][0]["quantity"] == 400


def test_it_listens_on_this_machine_only(bench):
    assert bench.server.server_address[0] == "127.0.0.1"


# ---------------------------------------------------------------------------- instruments
def test_it_gives_instruments_without_a_session_and_packed(bench):
    answer = requests.get(f"{bench.url}/instruments/NSE", stream=True, timeout=5)
    text = gzip.decompress(answer.raw.read()).decode()
    assert (answer.headers["Content-Type"], text.splitlines()[0]) == ("text/csv", ",".join(instruments.HEADER))
    plain = requests.get(f"{bench.url}/instruments/NSE", headers={"Accept-Encoding": "identity"}, timeout=5)
    assert plain.text == text


def test_it_lists_what_a_desk_trades(kite):
    rows = kite.instruments()
    assert len({row["instrument_token"] for row in rows}) == len(rows) >= 40
    assert {row["exchange"] for row in rows} == {"NSE", "BSE", "NFO", "BFO", "MCX", "CDS"}
    assert all(row["expiry"] >= date(2026, 11, 23) for row in rows if row["expiry"])
    assert {(r["name"], r["instrument_type"]) for r in rows if r["exchange"] == "NFO"} == {(n, t) for n in ("NIFTY", "BANKNIFTY") for t in ("FUT", "CE", "PE")}
    infy = next(row for row in rows if row["tradingsymbol"] == "INFY" and row["exchange"] == "NSE")
    assert (infy["instrument_token"], infy["tick_size"], infy["lot_size"]) == (408065, 0.05, 1)


@pytest.mark.parametrize(
    ("today", "week", "month"),
    [("2026-11-21", "2026-12-01", "2026-11-24"), ("2026-11-24", "2026-12-01", "2026-11-24"), ("2026-11-25", "2026-12-01", "2026-12-29"), ("2026-12-30", "2027-01-05", "2027-01-26")],
)
def test_it_computes_expiries_from_the_date(today, week, month):
    day = date.fromisoformat(today)
    assert (instruments.weekly(day, 1).isoformat(), instruments.monthly(day, 1).isoformat()) == (week, month)


def test_it_names_contracts_as_kite_does():
    assert instruments.contract("NIFTY", date(2026, 12, 1), 1, "24500CE") == "NIFTY26D0124500CE"
    assert instruments.contract("NIFTY", date(2026, 12, 29), 1, "24500CE") == "NIFTY26DEC24500CE"
    assert instruments.contract("NIFTY", date(2026, 3, 3), 1, "24500PE") == "NIFTY2630324500PE"


def test_it_reads_its_own_dump_back(tmp_path):
    rows = instruments.standard(date(2026, 11, 23))
    file = tmp_path / "instruments.csv"
    file.write_text(instruments.csv_text(rows))
    assert instruments.load(file) == rows


@pytest.mark.parametrize("text", ["a,b\n1,2\n", ",".join(instruments.HEADER) + "\nx" + "," * 11 + "\n"])
def test_it_says_what_is_wrong_with_a_dump(tmp_path, text):
    file = tmp_path / "instruments.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=str(file)):
        instruments.load(file)


def test_it_trades_what_a_file_lists(tmp_path):
    row = instruments.Instrument(1025, 4, "ODD", "ODD", 100, None, 0, instruments.D("0.05"), 1, "EQ", "NSE", "NSE")
    with running(sim=Simulator([row])) as server:
        text = requests.get(f"{server.url}/instruments", timeout=5).text
    assert len(text.splitlines()) == 2 and ",ODD," in text


# ---------------------------------------------------------------------------- alone
FILES = sorted(Path(kitesim.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_imports_the_standard_library_and_tvapp_lib_only(file):
    tree = ast.walk(ast.parse(file.read_text()))
    names = {n for node in tree for n in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else [])}
    foreign = {n for n in names if not n.startswith(("tvapp.lib", "brokers.kitesim")) and n.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == set()
