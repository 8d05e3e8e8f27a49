"""What an order blocks and what it costs: margins by plain percentages, charges by the schedule of April 2026. Rupees, Decimal."""

from collections.abc import Iterable, Mapping
from decimal import Decimal as D

from brokers.kitesim.instruments import Instrument

ZERO, CRORE = D(0), D(10_000_000)
OPTION_SOLD, FUTURE, INTRADAY, MTF = D("0.12"), D("0.15"), D("0.20"), D("0.25")
MOST_BROKERAGE, BROKERAGE, GST = D(20), D("0.0003"), D("0.18")
# (tax on the buyer, tax on the seller, exchange NSE, exchange BSE, stamp on the buyer), each a share of the turnover
RATES = {
    "delivery": ("0.001", "0.001", "0.0000307", "0.0000375", "0.00015"),
    "intraday": ("0", "0.00025", "0.0000307", "0.0000375", "0.00003"),
    "future": ("0", "0.0005", "0.0000183", "0", "0.00002"),
    "option": ("0", "0.0015", "0.0003553", "0.000325", "0.00003"),
    "commodity": ("0", "0.0001", "0.000026", "0.000026", "0.00002"),
    "currency": ("0", "0", "0.0000035", "0.0000045", "0.000001"),
}


def kind_of(item: Instrument, product: str) -> str:
    """The row of RATES an order of this instrument and product falls under."""
    if item.exchange in ("MCX", "NCO"):
        return "commodity"
    if item.exchange in ("CDS", "BCD"):
        return "currency"
    if item.is_option:
        return "option"
    if item.kind == "FUT":
        return "future"
    return "delivery" if product in ("CNC", "MTF") else "intraday"


def margin(item: Instrument, product: str, side: str, quantity: int, price: D) -> D:
    """What opening this blocks."""
    value = price * quantity * item.multiplier
    if item.is_option:
        return value if side == "BUY" else item.strike * quantity * item.multiplier * OPTION_SOLD
    if item.kind == "FUT":
        return value * FUTURE
    return value * {"MIS": INTRADAY, "CO": INTRADAY, "MTF": MTF}.get(product, D(1))


def charges(item: Instrument, product: str, side: str, quantity: int, price: D) -> dict[str, object]:
    """Kite's block of charges for one executed order."""
    kind, turnover = kind_of(item, product), price * quantity * item.multiplier
    tax_buyer, tax_seller, nse, bse, stamp = (D(rate) for rate in RATES[kind])
    tax = turnover * (tax_buyer if side == "BUY" else tax_seller)
    exchange = turnover * (bse if item.exchange in ("BSE", "BFO") else nse)
    sebi, duty = turnover * 10 / CRORE, turnover * stamp if side == "BUY" else ZERO
    brokerage = ZERO if kind == "delivery" else MOST_BROKERAGE if kind == "option" else min(MOST_BROKERAGE, turnover * BROKERAGE)
    gst = (brokerage + exchange + sebi) * GST
    return {
        "transaction_tax": tax,
        "transaction_tax_type": "ctt" if kind == "commodity" else "stt",
        "exchange_turnover_charge": exchange,
        "sebi_turnover_charge": sebi,
        "brokerage": brokerage,
        "stamp_duty": duty,
        "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
        "total": tax + exchange + sebi + brokerage + duty + gst,
    }


def margin_row(item: Instrument, product: str, side: str, quantity: int, price: D) -> dict[str, object]:
    """One row of /margins/orders."""
    total = margin(item, product, side, quantity, price)
    bought_option = item.is_option and side == "BUY"
    derivative = item.kind in ("FUT", "CE", "PE") and not bought_option
    parts = dict.fromkeys(("span", "exposure", "option_premium", "additional", "bo", "cash", "var"), ZERO)
    parts["option_premium" if bought_option else "span" if derivative else "var"] = total
    return {
        "type": "commodity" if item.exchange in ("MCX", "NCO") else "equity",
        "tradingsymbol": item.tradingsymbol,
        "exchange": item.exchange,
        **parts,
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": 1,
        "charges": charges(item, product, side, quantity, price),
        "total": total,
    }


def basket(rows: list[dict[str, object]]) -> dict[str, object]:
    """/margins/basket: the sums before and after netting, which are the same here, and the rows."""
    names = ("span", "exposure", "option_premium", "additional", "bo", "cash", "var", "total")
    whole = {"type": "", "tradingsymbol": "", "exchange": "", **{name: _sum(rows, name) for name in names}}
    whole |= {"pnl": {"realised": 0, "unrealised": 0}, "leverage": 0, "charges": sum_charges(row["charges"] for row in rows)}
    return {"initial": whole, "final": whole, "orders": rows, "charges": whole["charges"]}


def _sum(rows: Iterable[Mapping[str, object]], name: str) -> D:
    return sum((D(str(row[name])) for row in rows), ZERO)


def sum_charges(blocks: Iterable[Mapping[str, object]]) -> dict[str, object]:
    many = list(blocks)
    names = ("transaction_tax", "exchange_turnover_charge", "sebi_turnover_charge", "brokerage", "stamp_duty", "total")
    gst = _sum((block["gst"] for block in many), "total")
    return {"transaction_tax_type": "", **{name: _sum(many, name) for name in names}, "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst}}
