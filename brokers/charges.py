"""What an execution costs, estimated from dated rates. Values in, values out: no clock, no database.

Figures are rupees, Decimal, rounded to 4 decimals half-up; the rupee rounding of a contract note is not imitated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

ZERO = Decimal(0)
STEP = Decimal("0.0001")
SEGMENTS = ("CNC", "MIS", "FUT", "OPT")
DERIVATIVES = {"FUT": "FUT", "CE": "OPT", "PE": "OPT"}


class NoRate(LookupError):
    """No rates of this segment and exchange are known for that day, so nothing can be estimated."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The rates of one segment (CNC, MIS, FUT, OPT) at one exchange from `valid_from` to `valid_to`, both included; None: still valid.

    `*_pct` are percent of the turnover. Brokerage is `flat` for an order, or `pct` of its turnover up to `cap`. Stamp is paid by the buyer.
    `gst_pct` applies to brokerage, exchange fee and SEBI fee. `dp` is the depository's charge for one sale from the holdings.
    """

    segment: str
    exchange: str
    valid_from: date
    valid_to: date | None = None
    brokerage_flat: Decimal = ZERO
    brokerage_pct: Decimal = ZERO
    brokerage_cap: Decimal | None = None
    stt_buy_pct: Decimal = ZERO
    stt_sell_pct: Decimal = ZERO
    exchange_pct: Decimal = ZERO
    sebi_pct: Decimal = ZERO
    stamp_pct: Decimal = ZERO
    gst_pct: Decimal = ZERO
    dp: Decimal = ZERO

    def covers(self, segment: str, exchange: str, on: date) -> bool:
        return (self.segment, self.exchange) == (segment, exchange) and self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


@dataclass(frozen=True, slots=True)
class Charges:
    """What one execution costs, part by part. `dp` is 0 here: it is due once a day and symbol, see `with_dp`."""

    brokerage: Decimal = ZERO
    stt: Decimal = ZERO
    exchange: Decimal = ZERO
    sebi: Decimal = ZERO
    stamp: Decimal = ZERO
    gst: Decimal = ZERO
    dp: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return sum(self.parts().values(), ZERO)

    def parts(self) -> dict[str, Decimal]:
        """Each part by its name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __sub__(self, other: "Charges") -> "Charges":
        return Charges(**{name: value - getattr(other, name) for name, value in self.parts().items()})

    def with_dp(self, rate: Rate) -> "Charges":
        """The same with the depository's charge, for the first sale of the day that takes shares out of the holdings."""
        return Charges(**{**self.parts(), "dp": rounded(rate.dp)})


def rounded(value: Decimal) -> Decimal:
    """To 4 decimals, half-up."""
    return value.quantize(STEP, ROUND_HALF_UP)


def segment_of(kind: str, product: str) -> str:
    """CNC, MIS, FUT or OPT of an instrument's kind (EQ, FUT, CE, PE) and an order's product. Shares that are kept are delivery."""
    return DERIVATIVES.get(kind) or ("MIS" if product == "MIS" else "CNC")


def rate_of(schedule: Sequence[Rate], segment: str, exchange: str, on: date) -> Rate:
    """The rates valid on that day. Raises NoRate."""
    for rate in schedule:
        if rate.covers(segment, exchange, on):
            return rate
    raise NoRate(f"no charges of {segment} at {exchange} on {on}")


def estimate(
    segment: str, exchange: str, side: str, quantity: Decimal, price: Decimal, *,
    on: date, schedule: Sequence[Rate], multiplier: Decimal = Decimal(1), turnover_before: Decimal = ZERO,
) -> Charges:  # fmt: skip
    """What this execution adds to the charges of its order; `turnover_before` is what the order traded before it, in rupees.

    Worked out as the order's charges after it less those before it, so that the sum never depends on how an order was cut, and the brokerage's
    cap counts once an order. Raises NoRate.
    """
    rate = rate_of(schedule, segment, exchange, on)
    after = turnover_before + quantity * price * multiplier
    return _of_order(rate, side, after) - _of_order(rate, side, turnover_before)


def _of_order(rate: Rate, side: str, turnover: Decimal) -> Charges:
    """The charges of one order that traded so much."""
    if turnover <= 0:
        return Charges()
    brokerage, exchange, sebi = rounded(_brokerage(rate, turnover)), _share(turnover, rate.exchange_pct), _share(turnover, rate.sebi_pct)
    return Charges(
        brokerage=brokerage,
        stt=_share(turnover, rate.stt_buy_pct if side == "BUY" else rate.stt_sell_pct),
        exchange=exchange,
        sebi=sebi,
        stamp=_share(turnover, rate.stamp_pct) if side == "BUY" else ZERO,
        gst=_share(brokerage + exchange + sebi, rate.gst_pct),
    )


def _brokerage(rate: Rate, turnover: Decimal) -> Decimal:
    due = rate.brokerage_flat + turnover * rate.brokerage_pct / 100
    return due if rate.brokerage_cap is None else min(due, rate.brokerage_cap)


def _share(value: Decimal, percent: Decimal) -> Decimal:
    return rounded(value * percent / 100)
