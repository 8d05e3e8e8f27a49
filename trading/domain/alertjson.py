"""The strict reader of alert bodies: bytes in, a plain dict out, or one refusal that says what to change.

Stricter than the standard reader where its tolerance would cost money: two values for one key, NaN, numbers
that overflow, nesting that exhausts the stack. Numbers are Decimal from their own text, never a float.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from tvapp.lib.errors import AppError

MAX_BYTES = 16 * 1024
MAX_DEPTH = 8
MAX_KEYS_PER_OBJECT = 64
MAX_KEYS = 400
MAX_DIGITS = 20
MAX_EXPONENT = 12
MAX_DECIMALS = 32  # leading zeros are not digits, so they need an end of their own

PLACEHOLDERS = frozenset(
    ["ticker", "exchange", "interval", "open", "high", "low", "close", "volume", "time", "timenow", "syminfo.currency"]
    + [f"plot_{n}" for n in range(20)]
)
STRATEGY_PLACEHOLDERS = frozenset(
    "strategy." + name
    for name in (
        "order.action", "order.contracts", "order.price", "order.id", "order.comment", "order.alert_message",
        "position_size", "market_position", "market_position_size", "prev_market_position", "prev_market_position_size",
    )
)  # fmt: skip
# names that circulate in sample messages and that TradingView leaves as they are
LOOKALIKES: Mapping[str, str] = {
    "timestamp": "{{timenow}}",
    "bar": "{{time}}",
    "bar_time": "{{time}}",
    "symbol": "{{ticker}}",
    "price": "{{close}}",
    "timeframe": "{{interval}}",
    "side": "{{strategy.order.action}}",
    "action": "{{strategy.order.action}}",
    "qty": "{{strategy.order.contracts}}",
    "quantity": "{{strategy.order.contracts}}",
    "order_id": "{{strategy.order.id}}",
    "strategy_id": "the id itself, as plain text",
    "strategy_name": "the name itself, as plain text",
    "strategy": "the name itself, as plain text",
}

HIDDEN = "hidden"
_SECRET_NAMES = frozenset({"secret", "apikey", "passphrase", "token", "password", "webhooksecret"})

# a string (also one that never ends) or a bracket; it cannot fail after a quote, so the scan is linear
_TOKEN = re.compile(r'"[^"\\]*(?:\\.?[^"\\]*)*"?|[\[\]{}]', re.S)
_BAD_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_PLACEHOLDER = re.compile(r"\{\{([^{}]{0,80})\}\}")
_PLOT = re.compile(r'plot\("[^"]+"\)')
_NOTHING = "A placeholder resolved to nothing. Check it on the chart, and put it inside quotes."


def refuse(code: str, message: str, *, field: str = "", hint: str = "", status: int = 400) -> AppError:
    """A refusal whose `extra` names the field (dotted path, may be empty) and how to put it right."""
    return AppError(code, message, status=status, extra={"field": field, "hint": hint})


def parse_body(raw: bytes) -> dict[str, object]:
    """The body as a dict: objects as dict, lists as list, numbers as Decimal, text checked.

    Raises AppError 413 TOO_LARGE, else 400: NOT_UTF8, TOO_DEEP, NOT_JSON, NOT_AN_OBJECT, DUPLICATE_KEY,
    TOO_MANY_KEYS, BAD_NUMBER, BAD_TEXT; never another exception. Placeholders are `check_placeholders`'s,
    so that a sender can be authenticated first.
    """
    if len(raw) > MAX_BYTES:
        raise refuse("TOO_LARGE", f"The alert has {len(raw)} bytes; {MAX_BYTES} are allowed.", status=413)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refuse("NOT_UTF8", "The alert is not UTF-8 text.", hint="Send the message as UTF-8.") from None
    _check_depth(text)
    body = _Reader(text).read()
    if not isinstance(body, dict):
        raise refuse("NOT_AN_OBJECT", "The alert must be one JSON object.", hint="Start it with { and end it with }.")
    for path, value in _texts(body):
        if _BAD_TEXT.search(value):
            hint = "Remove invisible characters from the message."
            raise refuse("BAD_TEXT", f"{path or 'A key'} holds control characters.", field=path, hint=hint)
    return body


def _check_depth(text: str) -> None:
    """Before the real parser, which would recurse: 10,000 brackets must be a plain refusal."""
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise refuse("TOO_DEEP", f"The alert is nested more than {MAX_DEPTH} levels deep.", hint="Use a flatter message.")
        elif mark in "]}":
            depth = max(depth - 1, 0)


class _Reader:
    """One pass of the standard parser with our own hooks."""

    def __init__(self, text: str):
        self.text = text
        self.keys = 0

    def read(self) -> object:
        try:
            # strict=False: a comment may hold a real line break; other control characters are refused later
            return json.loads(
                self.text,
                object_pairs_hook=self._object,
                parse_float=self._number,
                parse_int=self._number,
                parse_constant=self._constant,
                strict=False,
            )
        except json.JSONDecodeError as error:
            raise refuse("NOT_JSON", "The alert is not valid JSON.", hint=_syntax_hint(self.text, error)) from None

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        self.keys += len(pairs)
        if len(pairs) > MAX_KEYS_PER_OBJECT or self.keys > MAX_KEYS:
            message = f"The alert has too many keys; {MAX_KEYS_PER_OBJECT} in one object and {MAX_KEYS} in all are allowed."
            raise refuse("TOO_MANY_KEYS", message)
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise refuse("DUPLICATE_KEY", f"The key {_shown(key)} is there twice.", field=_shown(key), hint="Keep one of the two.")
            found[key] = value
        return found

    def _number(self, literal: str) -> Decimal:
        value = bounded_decimal(literal)
        if value is None:
            message = f"The number {_shown(literal)} is too long or too large."
            raise refuse("BAD_NUMBER", message, field=self._field_of(literal), hint=_BOUNDS)
        return value

    def _constant(self, literal: str) -> Decimal:
        raise refuse("BAD_NUMBER", f"{literal} is not a number to trade on.", field=self._field_of(literal), hint=_NOTHING)

    def _field_of(self, literal: str) -> str:
        """The key in front of a literal; the parser itself does not say where it stood."""
        found = re.search(r'"([^"\\]{1,64})"\s*:\s*' + re.escape(literal[:40]), self.text)
        return _shown(found[1]) if found else ""


_BOUNDS = f"At most {MAX_DIGITS} digits and an exponent between -{MAX_EXPONENT} and {MAX_EXPONENT}."


def bounded_decimal(literal: str) -> Decimal | None:
    """The exact value of a well-formed decimal literal, or None when it has too many digits or too large an exponent."""
    mantissa, _, exponent = literal.lower().partition("e")
    digits = mantissa.lstrip("+-").replace(".", "").lstrip("0")
    decimals = len(mantissa.partition(".")[2])
    if len(digits) > MAX_DIGITS or decimals > MAX_DECIMALS or len(exponent) > 4:
        return None
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        return None
    return Decimal(literal) or Decimal(0)  # no negative zero, no zero with an exponent


def _shown(text: str) -> str:
    """Text of the sender, short and printable, for a sentence."""
    return _BAD_TEXT.sub("?", text[:40])


_KEY = r'"([^"\\]{1,64})"\s*:\s*'
_SYNTAX_HINTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(_KEY + r"(?=[,}\]]|\Z)"), "The value of {0} is empty. " + _NOTHING),
    (re.compile(_KEY + r"(?:na|nan|none|undefined)\b", re.I), "The value of {0} is not a number. " + _NOTHING),
    (re.compile(_KEY + r"(?!true\b|false\b|null\b)(?:\{\{|[A-Za-z_])"), "The value of {0} is not in quotes. Put placeholders in quotes."),
    (re.compile(r",\s*[}\]]"), "There is a comma before a closing bracket. Remove it."),
    (re.compile("[\u201c\u201d]"), 'The message has curly quotes. Use straight ones: ".'),
    (re.compile(r"[{,]\s*'"), 'The message has single quotes. Use double ones: ".'),
)


def _syntax_hint(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "The alert message is empty."
    if not text.lstrip().startswith(("{", "[")):
        return "The message must be a JSON object that starts with {."
    for pattern, sentence in _SYNTAX_HINTS:
        found = pattern.search(text)
        if found:
            return sentence.format(*(_shown(group) for group in found.groups()))
    return f"The first problem is in line {error.lineno}, column {error.colno}."


def _texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every key and every text value with its dotted path; the depth is bounded by the reader."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}.{index}".lstrip("."))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from _texts(item, f"{path}.{_shown(key)}".lstrip("."))


def check_placeholders(body: Mapping[str, object]) -> None:
    """Refuses a body in which TradingView left a `{{placeholder}}` standing (400 UNREPLACED_PLACEHOLDER, `extra.known` lists the real ones)."""
    for path, text in _texts(dict(body)):
        if "{{" in text or "}}" in text:
            message = f"{path or 'A key'} still holds a placeholder: {_shown(text)}"
            error = refuse("UNREPLACED_PLACEHOLDER", message, field=path, hint=_placeholder_hint(text))
            error.extra["known"] = sorted(f"{{{{{name}}}}}" for name in PLACEHOLDERS | STRATEGY_PLACEHOLDERS)
            raise error


def _placeholder_hint(text: str) -> str:
    names = _PLACEHOLDER.findall(text)
    if not names:
        return "Two curly brackets stand alone. Placeholders look like {{close}}."
    unknown = [name for name in names if not _known(name)]
    if unknown:
        return _unknown_hint(unknown[0])
    if names[0].startswith("strategy."):
        return f"{{{{{names[0]}}}}} is replaced only in order-fill alerts of a strategy. In an indicator alert write the value itself."
    return f"TradingView replaces {{{{{names[0]}}}}} when the alert fires. This message was sent without that, perhaps by hand."


def _known(name: str) -> bool:
    return name in PLACEHOLDERS or name in STRATEGY_PLACEHOLDERS or bool(_PLOT.fullmatch(name))


def _unknown_hint(name: str) -> str:
    plain = name.strip().lower()
    shown = f"{{{{{_shown(name)}}}}}"
    if _known(plain):
        return f"Write {{{{{plain}}}}}: placeholders have no spaces and no capitals."
    if plain in LOOKALIKES:
        return f"{shown} is not a TradingView placeholder. Use {LOOKALIKES[plain]}."
    near = difflib.get_close_matches(plain, sorted(PLACEHOLDERS | STRATEGY_PLACEHOLDERS), n=1)
    return f"{shown} is not a TradingView placeholder." + (f" Did you mean {{{{{near[0]}}}}}?" if near else "")


def find_secret(body: Mapping[str, object]) -> str | None:
    """The secret the sender gave: `secret`, else `meta.secret`, else `apikey`. The first one present counts; what is not text is None."""
    meta = body.get("meta")
    places = (body.get("secret"), meta.get("secret") if isinstance(meta, Mapping) else None, body.get("apikey"))
    given = next((value for value in places if value is not None), None)
    return given if isinstance(given, str) else None


def redact(body: Mapping[str, object]) -> dict[str, object]:
    """A copy fit for storage: the value of every key that names a secret, at any level and in any spelling, is "hidden"."""
    return {key: HIDDEN if _names_secret(key) else _redacted(value) for key, value in body.items()}


def _redacted(value: object) -> object:
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    return value


def _names_secret(key: str) -> bool:
    return re.sub(r"[\s_-]", "", key).lower() in _SECRET_NAMES


def to_json(value: object) -> str:
    """JSON text of what `parse_body` gives; a Decimal is written with exactly its own digits."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k), ensure_ascii=False)}: {to_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_json(item) for item in value) + "]"
    if value is None or isinstance(value, str | int):
        return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"no JSON for {type(value).__name__}")
