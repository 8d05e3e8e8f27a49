"""Good-till-triggered orders."""

import pytest
from kiteconnect.exceptions import GeneralException, InputException

LEG = {"transaction_type": "SELL", "quantity": 5, "order_type": "LIMIT", "product": "CNC", "price": 1600}


def _single(kite, trigger=1590.0, last=1500.0, **leg):
    return kite.place_gtt("single", "INFY", "NSE", [trigger], last, [LEG | leg])["trigger_id"]


def _oco(kite):
    return kite.place_gtt("two-leg", "INFY", "NSE", [1400.0, 1600.0], 1500.0, [LEG | {"price": 1395}, LEG])["trigger_id"]


def test_it_stores_and_lists_a_trigger(kite):
    number = _single(kite)
    row = kite.get_gtt(number)
    assert (row["status"], row["type"], row["condition"]["trigger_values"], row["condition"]["instrument_token"]) == ("active", "single", [1590], 408065)
    assert [r["id"] for r in kite.get_gtts()] == [number] and row["expires_at"] == "2027-11-23 10:00:00"


@pytest.mark.parametrize(("trigger", "named", "price", "fires"), [(1590, 1500, 1590, True), (1590, 1500, 1589, False), (1450, 1500, 1449, True), (1450, 1400, 1500, True)])
def test_it_fires_away_from_the_price_the_client_named(bench, kite, trigger, named, price, fires):
    number = _single(kite, float(trigger), float(named))
    bench.price("NSE:INFY", price)
    assert kite.get_gtt(number)["status"] == ("triggered" if fires else "active")
    assert len(bench.accepted()) == int(fires)


def test_it_places_an_order_without_a_tag(bench, kite):
    number = _single(kite)
    bench.price("NSE:INFY", 1605)
    result = kite.get_gtt(number)["orders"][0]["result"]["order_result"]
    assert (result["status"], result["order_id"]) == ("success", kite.orders()[0]["order_id"])
    assert (kite.orders()[0]["tag"], kite.orders()[0]["status"]) == (None, "COMPLETE")


def test_it_fires_once(bench, kite):
    _single(kite)
    for price in (1605, 1500, 1605):
        bench.price("NSE:INFY", price)
    assert len(bench.accepted()) == 1


@pytest.mark.parametrize(("price", "leg"), [(1400, 0), (1600, 1)])
def test_it_fires_one_leg_of_two(bench, kite, price, leg):
    number = _oco(kite)
    bench.price("NSE:INFY", price)
    assert [bool(o["result"]) for o in kite.get_gtt(number)["orders"]] == [leg == 0, leg == 1]
    assert len(bench.accepted()) == 1


def test_it_says_why_the_order_of_a_fired_trigger_failed(bench, kite):
    number = _single(kite, quantity=6000)
    bench.price("NSE:INFY", 1605)
    row = kite.get_gtt(number)
    result = row["orders"][0]["result"]["order_result"]
    assert (row["status"], result["status"], result["order_id"]) == ("triggered", "failed", "") and "stock holding" in result["rejection_reason"]
    assert bench.accepted() == []


def test_it_modifies_and_deletes(bench, kite):
    number = _single(kite)
    kite.modify_gtt(number, "single", "INFY", "NSE", [1650.0], 1500.0, [LEG | {"price": 1655}])
    assert kite.get_gtt(number)["condition"]["trigger_values"] == [1650]
    kite.delete_gtt(number)
    bench.price("NSE:INFY", 1700)
    assert kite.get_gtt(number)["status"] == "deleted" and bench.accepted() == []
    with pytest.raises(InputException):
        kite.delete_gtt(number)


def test_it_is_disabled_too_near_to_the_price_and_expires(bench, kite):
    near, far = _single(kite, 1502.0), _single(kite, 1590.0)
    assert kite.get_gtt(near)["status"] == "disabled"
    bench.clock(at="2027-11-23T10:00:01+05:30")
    assert bench.kite().get_gtt(far)["status"] == "expired"


@pytest.mark.parametrize("leg", [{"product": "MIS"}, {"order_type": "MARKET"}, {"quantity": 0}, {"transaction_type": "HOLD"}])
def test_it_refuses_a_leg_it_cannot_place(kite, leg):
    with pytest.raises(InputException):
        _single(kite, **leg)
    assert kite.get_gtts() == []


def test_it_knows_no_other_trigger(kite):
    with pytest.raises(GeneralException, match="trigger_id"):
        kite.get_gtt(1)


def test_it_stores_250_and_no_more(bench, kite):
    for _ in range(250):
        _single(kite)
    with pytest.raises(InputException, match="250"):
        _single(kite)
