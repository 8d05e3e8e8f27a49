"""How pages write money, quantities, ages, times and states. Templates never format by hand; what is not known is a dash."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from brokers.models import Quote, QuoteSource
from trading.domain.orderfsm import WORDS, State
from trading.models import Order
from tvapp.lib import clock
from tvapp.lib.money import grouped, plain
from tvapp.models import DeskSettings

register = template.Library()

MINUS = "\u2212"
NONE = "–"
PAISE = Decimal("0.01")
LAKH = Decimal(100_000)
CRORE = Decimal(10_000_000)
PRICE_OLD_S = 60
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

STATE_LOOK: dict[State, tuple[str, str]] = {
    State.WAITING: ("", "clock"),
    State.HELD: ("chip-warn", "pause"),
    State.QUEUED: ("chip-info", "play"),
    State.SENDING: ("chip-info", "send"),
    State.UNKNOWN: ("chip-review", "ask"),
    State.NEEDS_REVIEW: ("chip-review", "ask"),
    State.SENT: ("chip-info", "send"),
    State.OPEN: ("chip-info", "bank"),
    State.PARTIAL: ("chip-info", "half"),
    State.COMPLETE: ("chip-ok", "check"),
    State.REJECTED: ("chip-reject", "x"),
    State.REJECTED_RISK: ("chip-reject", "ban"),
    State.STALE: ("", "clock"),
    State.CANCELLED: ("", "dash"),
    State.EXPIRED: ("", "clock"),
    State.FAILED: ("chip-reject", "x"),
}
_WHY = {State.NEEDS_REVIEW: "Why it needs review", State.UNKNOWN: "Why its outcome is unknown", State.FAILED: "Why it was not accepted"}
_SAID = (("(GLOBAL)", "(desk-wide)"), ("trading is HALTED", "trading is stopped"), ("trading is REDUCING", "trading is limited"))
_SCOPE = re.compile(r"(^|[.:] )?\b(ACCOUNT|STRATEGY)[ :](?=\S)")
DIALECT_WORDS = {"sigma_flat": "Standard JSON", "sigma_v6": "SigmaTrader JSON", "algodatta": "AlgoDatta JSON"}
TYPE_WORDS = {"MARKET": "Market", "LIMIT": "limit", "SL": "stop-limit", "SL_M": "stop-market"}


# --------------------------------------------------------------------------- numbers
def _decimal(value: object) -> Decimal | None:
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _number(value: Decimal, places: int | None) -> str:
    """Grouped, rounded half up to `places`; None keeps every decimal that is there. A minus is U+2212."""
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = (plain(abs(value)) or "0") if places is None else format(abs(value), "f")
    whole, _, rest = text.partition(".")
    sign = MINUS if value < 0 else ""
    return sign + grouped(whole) + (f".{rest}" if rest else "")


def _rupees(value: Decimal, places: int) -> str:
    text = _number(value, places)
    return f"{MINUS}₹{text[1:]}" if text.startswith(MINUS) else f"₹{text}"


@register.filter
def money(value: object, places: int = 2) -> str:
    """₹1,23,456.00; `money:0` leaves the paise out."""
    number = _decimal(value)
    return NONE if number is None else _rupees(number, places)


@register.filter
def signed_money(value: object) -> str:
    """+₹2,318.40, −₹304.00, ₹0.00: profit and loss always carries its sign."""
    number = _decimal(value)
    if number is None:
        return NONE
    rounded = number.quantize(PAISE, ROUND_HALF_UP)
    return f"+{_rupees(rounded, 2)}" if rounded > 0 else _rupees(abs(rounded) if rounded == 0 else rounded, 2)


@register.filter
def signed(value: object) -> str:
    """+0.42, −1.20, 0.00: a change with two decimals."""
    number = _decimal(value)
    if number is None:
        return NONE
    rounded = number.quantize(PAISE, ROUND_HALF_UP)
    return f"{'+' if rounded > 0 else MINUS if rounded < 0 else ''}{abs(rounded)}"


@register.filter
def lakh(value: object) -> str:
    """₹3.96 L and ₹1.25 Cr, for limits and exposure only; below a lakh the rupees themselves."""
    number = _decimal(value)
    if number is None:
        return NONE
    for size, word in ((CRORE, "Cr"), (LAKH, "L")):
        if abs(number) >= size:
            return f"{_rupees(number / size, 2)} {word}"
    return _rupees(number, 0)


def _places(instrument: object) -> int:
    """Decimals of the instrument's tick, two at least."""
    tick = _decimal(getattr(instrument, "tick", None))
    return 2 if tick is None else max(2, len((plain(tick) or "").partition(".")[2]))


@register.filter
def price(value: object, instrument: object = None) -> str:
    """1,418.60 at the instrument's tick. Decimals beyond the tick are shown, never rounded away."""
    number = _decimal(value)
    if number is None:
        return NONE
    own = len((plain(number) or "").partition(".")[2])
    return _number(number, max(_places(instrument), own))


@register.filter
def average(value: object, instrument: object = None) -> str:
    """An average price, rounded to the instrument's decimals."""
    number = _decimal(value)
    return NONE if number is None else _number(number, _places(instrument))


@register.filter
def qty(value: object) -> str:
    """A quantity, exact: 1,250 or 0.00005."""
    number = _decimal(value)
    return NONE if number is None else _number(number, None)


@register.filter
def amount(value: object, unit: str) -> str:
    """A figure of a limit: rupees without paise, percent with two places at most, else a count."""
    number = _decimal(value)
    if unit == "INR" or number is None:
        return money(number, 0)
    return f"{plain(round(number, 2))} %" if unit == "pct" else qty(number)


@register.filter
def exact(value: object) -> str:
    """The value as a program writes it, for form fields: 1418.6."""
    number = _decimal(value)
    return "" if number is None else plain(number) or ""


@register.filter
def typed_price(value: object, instrument: object = None) -> str:
    """A price for a form field: at the tick and without grouping, 1012.40."""
    return price(value, instrument).replace(",", "").replace(NONE, "")


@register.filter
def sign_class(value: object) -> str:
    """pos, neg or nothing, for a figure that carries its sign."""
    number = _decimal(value) or Decimal(0)
    return "pos" if number > 0 else "neg" if number < 0 else ""


# ----------------------------------------------------------------------------- times
def seconds_since(at: datetime | None, now: datetime | None = None) -> int:
    """Whole seconds since `at`, never below 0."""
    return 0 if at is None else max(0, int(((now or clock.now()) - at).total_seconds()))


def clock_face(seconds: int) -> str:
    """m:ss, from one hour on h:mm."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}"


def in_words(seconds: int) -> str:
    """The same span without doubt: 14 min 17 s, 2 h 5 min, 3 d 4 h."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@register.filter
def age(value: datetime | int | None) -> str:
    """0:17, 14:17, from one hour 2:05. Takes a moment or a number of seconds."""
    if value is None:
        return NONE
    return clock_face(value if isinstance(value, int) else seconds_since(value))


@register.simple_tag
def age_of(at: datetime | None, css: str = "age") -> SafeString:
    """The age of a moment; a script counts it on, the words stand in its title."""
    if at is None:
        return format_html('<span class="{}">{}</span>', css, NONE)
    gone = seconds_since(at)
    return format_html('<span class="{}" data-since="{}" title="{}">{}</span>', css, int(at.timestamp()), in_words(gone), clock_face(gone))


@register.simple_tag
def price_age(of: Quote | datetime | None) -> SafeString | str:
    """How old a price is: `0:04 ago`; from a minute on, or from what the desk allows, `no price since 14:03:12`. Takes a Quote or its moment."""
    at = of.at if isinstance(of, Quote) else of
    if at is None:
        return "no price yet"
    if is_old_price(at):
        return format_html("no price since {}", ist(at))
    return format_html("{} ago{}", age_of(at), made_up(of))


def is_old_price(at: datetime) -> bool:
    return seconds_since(at) > max(PRICE_OLD_S, DeskSettings.current().max_quote_age_s)


def made_up(of: Quote | datetime) -> str:
    """That a price comes from no market."""
    return {QuoteSource.WALK: ", random walk", QuoteSource.FILE: ", from a file"}.get(of.source, "") if isinstance(of, Quote) else ""


@register.filter
def span_ms(value: timedelta | None) -> str:
    """A measured gap: 6 ms, 1,090 ms, 42.1 s, 120 s, 12 min."""
    if value is None:
        return NONE
    ms = round(value / timedelta(milliseconds=1))
    if abs(ms) < 10_000:
        return f"{_number(Decimal(ms), 0)} ms"
    if abs(ms) < 100_000:
        return f"{_number(Decimal(ms) / 1000, 1)} s"
    return f"{round(ms / 1000)} s" if abs(ms) < 600_000 else in_words(abs(ms) // 1000)


def _time_tag(at: datetime, shown: str, milliseconds: bool = False) -> SafeString:
    utc = at.astimezone(UTC)
    iso = utc.isoformat(timespec="milliseconds" if milliseconds else "seconds").replace("+00:00", "Z")
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', iso, iso.replace("T", " ").rstrip("Z"), shown)


def _day(day: date) -> str:
    year = "" if day.year == clock.trading_day(clock.now()).year else f" {day.year}"
    return f"{day.day} {_MONTHS[day.month - 1]}{year}"


def _face(at: datetime) -> str:
    """11:42:18 for a moment of today, 19 Nov 11:42 for another day. In IST."""
    local = at.astimezone(clock.IST)
    if clock.trading_day(at) == clock.trading_day(clock.now()):
        return f"{local:%H:%M:%S}"
    return f"{_day(local.date())} {local:%H:%M}"


def at_ist(at: datetime) -> str:
    """The same as plain text, for a sentence."""
    return _face(at)


@register.simple_tag
def ist(at: datetime | None) -> SafeString | str:
    """A moment in IST, with the day when it is not today and UTC in the title."""
    return NONE if at is None else _time_tag(at, _face(at))


@register.simple_tag
def ist_ms(at: datetime | None) -> SafeString | str:
    """The time of day in IST with milliseconds, for an order's story."""
    return NONE if at is None else _time_tag(at, f"{at.astimezone(clock.IST):%H:%M:%S.%f}"[:-3], milliseconds=True)


@register.filter
def day(value: date | datetime | None) -> str:
    """20 Nov, with the year when it is not this one."""
    if value is None:
        return NONE
    return _day(clock.trading_day(value) if isinstance(value, datetime) else value)


# ---------------------------------------------------------------------------- states
@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """One drawing of the sprite; it never speaks for itself, a word stands beside it."""
    return format_html('<svg class="i{}" aria-hidden="true"><use href="#i-{}"/></svg>', f" {css}" if css else "", name)


def chip(css: str, icon_name: str, word: str, base: str = "chip") -> SafeString:
    return format_html('<span class="{}{}">{}{}</span>', base, f" {css}" if css else "", icon(icon_name), word)


@register.filter
def state_word(status: str) -> str:
    """Partly filled, Rejected by risk: the word a trader reads."""
    return WORDS[State(status)]


@register.filter
def why_word(status: str) -> str:
    """The heading over the reason of a state."""
    return _WHY.get(State(status)) or f"Why it is {WORDS[State(status)].lower()}"


@register.filter
def worded(text: object) -> str:
    """A sentence of the risk check for a page: `(GLOBAL)` is the whole desk there, `ACCOUNT zerodha` an account. The record keeps its own words."""
    said = str(text or "")
    for record, page in _SAID:
        said = said.replace(record, page)
    return _SCOPE.sub(_scope_word, said)


@register.filter
def as_reason(text: object) -> str:
    """Why something is stopped, as a sentence; a setting's name keeps its small letters. Empty stays empty."""
    said = worded(text).rstrip(".")
    return f"{said if '_' in said.partition(' ')[0] else said[:1].upper() + said[1:]}." if said else ""


def _scope_word(found: re.Match[str]) -> str:
    word = found[2].capitalize() if found[1] is not None else found[2].lower()
    return f"{found[1] or ''}{word} "


@register.filter
def state_icon(status: str) -> str:
    return STATE_LOOK[State(status)][1]


@register.simple_tag
def state_chip(status: str, base: str = "chip") -> SafeString:
    css, icon_name = STATE_LOOK[State(status)]
    return chip(css, icon_name, WORDS[State(status)], base)


@register.simple_tag
def side_badge(side: str) -> SafeString:
    return format_html('<span class="side side-{}">{}</span>', side.lower(), side)


@register.filter
def stale_price(order: Order) -> datetime | None:
    """Since when a trailing stop has had no price it may follow; None while there is a fresh one."""
    quote = getattr(order.instrument, "quote", None) if order.instrument_id else None
    usable = quote is not None and quote.serves(order.account)
    fresh = usable and abs(clock.now() - quote.at) <= clock.seconds(DeskSettings.current().max_quote_age_s)
    return None if fresh else quote.at if usable else order.created_at


@register.filter
def type_word(order_type: str) -> str:
    return TYPE_WORDS.get(order_type, order_type)


@register.filter
def as_json(value: object) -> str:
    """Data as readable JSON text; the template escapes it like any other text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


# ------------------------------------------------------------------------------ URLs
@register.simple_tag(takes_context=True)
def with_query(context: template.Context, **changes: object) -> str:
    """The query string of this page with some values changed; empty ones are left out."""
    query = context["request"].GET.copy()
    for name, value in changes.items():
        query[name] = "" if value is None else str(value)
    for name in [n for n in query if not query[n]]:
        del query[name]
    return f"?{query.urlencode()}" if query else "?"


@register.filter
def dialect_word(name: object) -> str:
    """The alert format as a person calls it; a format without a word keeps its name."""
    return DIALECT_WORDS.get(str(name), str(name or ""))
