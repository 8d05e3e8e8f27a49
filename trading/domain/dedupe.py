"""When are two deliveries the same signal? TradingView gives no delivery id, so the key is made from what the signal says."""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal

from tvapp.lib.money import plain

from .signal import Signal, contract_data


def body_hash(raw: bytes) -> str:
    """SHA-256 of the body as received, 64 hex characters."""
    return hashlib.sha256(raw).hexdigest()


def dedupe_key(signal: Signal, body_hash: str, scope_mode: str) -> tuple[str, str]:
    """`(kind, key)`, key = kind + ":" + 64 hex characters, unique within the strategy.

    "k": the sender's own key. "s": the signal's facts and times; BAR makes two firings in one bar one, FIRE keeps
    them apart. "b": nothing but the body; the caller lets it count for 60 s only.
    """
    if signal.idempotency_key:
        # the symbol is part of it: group alerts reuse one key for many symbols
        return "k", _key("k", [signal.idempotency_key, signal.tv_exchange, signal.tv_symbol, signal.leg_no])
    if signal.fired_at or signal.bar_time:
        return "s", _key("s", _facts(signal) + _times(signal, scope_mode))
    return "b", _key("b", [body_hash, signal.leg_no])


def _facts(signal: Signal) -> list[object]:
    """`order_ref`, `action` and `target_position` tell the two fills of a reversal apart; the reference price is never part."""
    return [
        signal.tv_exchange,
        signal.tv_symbol,
        contract_data(signal.contract) if signal.contract else None,
        signal.action,
        signal.intent,
        signal.effect,
        signal.order_ref,
        signal.tag,
        _number(signal.quantity),
        _number(signal.target_position),
        signal.leg_no,
    ]


def _times(signal: Signal, scope_mode: str) -> list[object]:
    if scope_mode == "FIRE":
        return [_time(signal.bar_time), _time(signal.fired_at), _number(signal.limit_price), _number(signal.trigger_price)]
    return [_time(signal.bar_time or signal.fired_at)]


def _number(value: Decimal | None) -> str | None:
    return plain(value)


def _time(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat() if value else None


def _key(kind: str, parts: list[object]) -> str:
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()}"
