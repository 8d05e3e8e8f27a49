import json
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from trading.domain.signal import Bracket, ContractRef, Signal, from_data, to_data
from trading.domain.types import (
    Action,
    BracketKind,
    ContractKind,
    DomainError,
    Effect,
    Intent,
    OrderType,
    Product,
    QuantityUnit,
    Validity,
)

D = Decimal
AT = datetime(2026, 11, 20, 4, 15, 1, 250000, tzinfo=UTC)
FULL = Signal(
    dialect="sigma_flat",
    schema="1.0",
    strategy_ref="ORB",
    tv_exchange="NSE",
    tv_symbol="NIFTY261229C26000",
    contract=ContractRef("NIFTY", ContractKind.CE, date(2026, 12, 29), "2026-12", 1, D("26000.5")),
    timeframe="15",
    action=Action.BUY,
    intent=Intent.TARGET,
    effect=Effect.ENTRY,
    quantity=D("65.50"),
    quantity_unit=QuantityUnit.LOTS,
    target_position=D(-65),
    prev_position=D(0),
    order_type=OrderType.SL_M,
    limit_price=D("1.1"),
    trigger_price=D("1E+2"),
    trail=Bracket(BracketKind.POINTS, D(2)),
    product=Product.NRML,
    validity=Validity.IOC, validity_minutes=5, iceberg_legs=2,
    stop_loss=Bracket(BracketKind.PCT, D("1.5")),
    take_profit=Bracket(BracketKind.PRICE, D(120)),
    ref_price=D("0.00000001"),
    max_slippage_pct=D("0.3"),
    max_age_s=60,
    bar_time=AT,
    fired_at=AT,
    received_at=AT,
    order_ref="L1",
    comment="go",
    tag="A",
    idempotency_key="k",
    leg_no=1,
    leg_count=2,
    alert_group="g",
    extras={"a": ["1", {"b": None}]},
)


def test_it_survives_storage_with_every_field_set():
    assert all(getattr(FULL, f.name) is not None for f in fields(Signal))
    assert from_data(json.loads(json.dumps(to_data(FULL)))) == FULL


def test_it_writes_numbers_as_plain_text_and_times_in_utc():
    data = to_data(Signal(trigger_price=D("1E+2"), bar_time=AT.astimezone(timezone(timedelta(hours=5, minutes=30)))))
    assert data == {"trigger_price": "100", "bar_time": "2026-11-20T04:15:01.250000Z", "extras": {}}


def test_it_leaves_out_what_is_absent_and_ignores_what_it_does_not_know():
    assert to_data(Signal()) == {"extras": {}}
    assert from_data({"action": "BUY", "later_field": 1, "quantity": None}) == Signal(action=Action.BUY)


def test_it_reads_a_contract_that_names_only_what_it_knows():
    assert from_data({"contract": {"root": "NIFTY", "kind": "FUT", "nth": 1}}).contract == ContractRef("NIFTY", ContractKind.FUT, nth=1)


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        FULL.action = Action.SELL


def test_it_names_a_refusal_of_the_core_by_its_code():
    error = DomainError("TIMEFRAME")
    assert error.code == str(error) == "TIMEFRAME"
