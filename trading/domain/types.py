"""Words of the domain. Every value equals its name, so a plain string from the database compares equal."""

from enum import StrEnum


class DomainError(ValueError):
    """A refusal inside the pure core; `code` is stable and is also the text of the error."""

    def __init__(self, code: str):
        super().__init__(code)
        self.code = code


class Action(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    EXIT = "EXIT"
    CANCEL = "CANCEL"


class OrderSide(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class Intent(StrEnum):
    """How a quantity is meant: change by it, reach it, or close what is open."""

    DELTA = "DELTA"
    TARGET = "TARGET"
    FLAT = "FLAT"


class Effect(StrEnum):
    """What the sender says the order does to the position."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"
    REVERSE = "REVERSE"
    UNKNOWN = "UNKNOWN"


class QuantityUnit(StrEnum):
    UNITS = "UNITS"
    LOTS = "LOTS"
    QUOTE = "QUOTE"
    PCT_EQUITY = "PCT_EQUITY"
    PCT_POSITION = "PCT_POSITION"
    RISK_AMOUNT = "RISK_AMOUNT"
    RISK_PCT = "RISK_PCT"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL_M"
    TRAILING = "TRAILING"


class Product(StrEnum):
    CNC = "CNC"
    MIS = "MIS"
    NRML = "NRML"
    MTF = "MTF"


class Validity(StrEnum):
    DAY = "DAY"
    IOC = "IOC"
    TTL = "TTL"


class BracketKind(StrEnum):
    """PRICE is an absolute price, PCT a percentage of the fill price, POINTS a distance from it."""

    PRICE = "PRICE"
    PCT = "PCT"
    POINTS = "POINTS"


class ContractKind(StrEnum):
    EQ = "EQ"
    FUT = "FUT"
    CE = "CE"
    PE = "PE"


class SizingMethod(StrEnum):
    """FROM_SIGNAL takes the alert's quantity; the others always use the strategy's own number."""

    FROM_SIGNAL = "FROM_SIGNAL"
    FIXED_QTY = "FIXED_QTY"
    LOTS = "LOTS"
    CAPITAL = "CAPITAL"
    PCT_CAPITAL = "PCT_CAPITAL"
    RISK = "RISK"
