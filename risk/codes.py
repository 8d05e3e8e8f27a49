"""Every reason a person can meet on an order: what it says, what it does, what to do about it. The documentation table is made from here."""

from enum import StrEnum

from risk.examples import EXAMPLES

MISSING = "missing"
UNREADABLE = "unreadable"


class Group(StrEnum):
    """Who says it: the gate, the routing of an alert, the road to the broker, or the desk when it stops by itself."""

    RISK = "RISK"
    ROUTE = "ROUTE"
    ROAD = "ROAD"
    STOP = "STOP"


RISK, ROUTE, ROAD, STOP = Group
REJECTS, CUTS, HOLDS, WAITS, ENDS = "rejects", "cuts or rejects", "holds", "waits for a person", "nothing is sent"
ONLY_EXITS, ALL_STOPPED = "only exits leave until the release", "nothing leaves until the release"
BLANKS = {name: f"*{name}*" for name in ("rule", "scope", "limit", "actual")}


class Code(StrEnum):
    """`CATEGORY_CONDITION`, then group, what it is about, effect, sentence, what to do, measured, missing.

    `sentence` and `measured` are templates over a finding's rule, scope, limit and actual. `measured` is left out of a clamp,
    which shows both quantities already; `missing` is said when the datum itself is not there.
    """

    def __new__(
        cls, name: str, group: Group = RISK, about: str = "", effect: str = "",
        sentence: str = "", todo: str = "", measured: str = "", missing: str = "",
    ) -> "Code":
        code = str.__new__(cls, name)
        code._value_ = name
        code.group, code.about, code.effect, code.sentence = group, about, effect, sentence
        code.todo, code.measured, code.missing = todo, measured, missing
        code.example = EXAMPLES.get(name, "")
        return code

    group: Group
    about: str
    effect: str
    sentence: str
    todo: str
    measured: str
    missing: str
    example: str  # with the numbers a person would see, for the help page

    STATE_HALTED = (
        "STATE_HALTED", RISK, "Trading state", HOLDS, "trading is {actual} ({scope})",
        "Find out why it was stopped, then release it on the risk page. The order does not go out by itself: it waits for you, or is stale.",
        "", "the trading state is not known",
    )
    STATE_REDUCING = (
        "STATE_REDUCING", RISK, "Exits only", REJECTS, "trading is {actual} ({scope}), only exits pass",
        "Wait until the state is released or the next trading day begins. Closing orders still pass.",
        "", "the trading state is not known",
    )
    ACCOUNT_RECOVERING = (
        "ACCOUNT_RECOVERING", RISK, "Account recovering", HOLDS, "{scope} is still comparing its orders with the broker",
        "Nothing, normally: the order goes on when the comparison is done. If it takes minutes, look at the brokers page.",
    )
    ACCOUNT_DISCONNECTED = (
        "ACCOUNT_DISCONNECTED", RISK, "Account disconnected", HOLDS, "{scope} is not connected to its broker",
        "Log in to the broker on the brokers page; the order then goes on.",
        "", "it is not known whether {scope} is connected",
    )
    ACCOUNT_DISABLED = (
        "ACCOUNT_DISABLED", RISK, "Account switch", REJECTS, "{scope} is switched off",
        "Switch the account on, then send the order again.",
        "", "it is not known whether {scope} is switched on",
    )
    STRATEGY_DISABLED = (
        "STRATEGY_DISABLED", RISK, "Strategy switch", REJECTS, "{scope} is switched off",
        "Switch the strategy on, then execute the waiting order. Exits pass without it.",
        "", "it is not known whether {scope} is switched on",
    )
    LIVE_NOT_ALLOWED = (
        "LIVE_NOT_ALLOWED", RISK, "Live permission", REJECTS, "live orders are not allowed: {actual}",
        "If real orders are wanted here: set TVAPP_ALLOW_LIVE=1 in the environment and restart, or take the desk off paper only in its settings.",
        "", "it is not known whether this installation allows live orders",
    )
    LIVE_NOT_ARMED = (
        "LIVE_NOT_ARMED", RISK, "Live arming", REJECTS, "{scope} is not armed for live orders",
        "Arm the strategy on its page; an arm ends with the session.",
        "", "it is not known whether {scope} is armed",
    )
    REFUSAL_OPEN = (
        "REFUSAL_OPEN", RISK, "Refused before", "waits for a person; exits pass", "the broker refused an order of this strategy before ({actual})",
        "Put right what the broker named (funds, shares, a permission), then acknowledge it: the notice at the top of every page has the button.",
    )
    INSTRUMENT_UNKNOWN = (
        "INSTRUMENT_UNKNOWN", RISK, "Instrument known", REJECTS, "{limit} is not in the instrument list",
        "Load the instruments, or map the symbol to the right one. On paper a plain share may go on with a provisional tick and lot.",
        "{actual}",
    )
    INSTRUMENT_AMBIGUOUS = (
        "INSTRUMENT_AMBIGUOUS", RISK, "Instrument unique", REJECTS, "{limit} fits more than one instrument",
        "Map the symbol to the one you mean.",
    )
    INSTRUMENT_EXPIRED = (
        "INSTRUMENT_EXPIRED", RISK, "Instrument expired", REJECTS, "{limit} has expired",
        "Let the alert name the current contract, or map the symbol.",
        "{actual}",
    )
    INSTRUMENT_NOT_TRADABLE = (
        "INSTRUMENT_NOT_TRADABLE", RISK, "Instrument tradable", REJECTS, "{limit} cannot be traded itself",
        "An index has no order book: map the symbol to its future or option.",
    )
    INSTRUMENT_STALE = (
        "INSTRUMENT_STALE", RISK, "Instrument list", HOLDS, "the instrument list with {limit} is older than the last trading day",
        "Load the instruments; the order then goes on.",
    )
    INSTRUMENT_META_MISSING = (
        "INSTRUMENT_META_MISSING", RISK, "Instrument data", HOLDS, "{limit} has {actual}",
        "Load the instruments; the order then goes on. On paper tick 0.05 and lot 1 are used instead.",
        "", "there is no instrument to take tick and lot from",
    )
    ORDER_INVALID = (
        "ORDER_INVALID", RISK, "Order well-formed", REJECTS, "{actual}",
        "Correct the order or the alert's text.",
    )
    PRICE_OFF_TICK = (
        "PRICE_OFF_TICK", RISK, "Price on tick", REJECTS, "{actual} is not a multiple of the tick {limit}",
        "Use a price on the tick. Others are moved to it on your side; this one cannot be, because it is below one tick.",
    )
    PRICE_UNAVAILABLE = (
        "PRICE_UNAVAILABLE", RISK, "Reference price", REJECTS, "there is no fresh price to value the order with",
        "Let the alert carry its price, or connect an account with quotes: an automatic order then waits for its price while it is young.",
        "{actual}",
    )
    SESSION_CLOSED = (
        "SESSION_CLOSED", RISK, "Market session", "rejects, holds or warns", "{actual}",
        "Send it in the session. session_policy says what becomes of orders on a closed market; an off-hours policy sends them as AMO or GTT.",
        "{rule}={limit} ({scope})",
    )
    SESSION_CALENDAR_MISSING = (
        "SESSION_CALENDAR_MISSING", RISK, "Market calendar", "rejects; warns on paper",
        "the calendar of {limit} does not say whether it trades today",
        "Load or complete the calendar of the exchange; without it a live order counts as sent on a closed market.",
    )
    SESSION_NO_TRADE_WINDOW = (
        "SESSION_NO_TRADE_WINDOW", RISK, "Hours without entries", "rejects or holds; exits pass",
        "it is {actual}, nothing is opened from {limit} ({scope})",
        "Wait for the end of the window, or change no_trade_windows. A window with DEFER holds orders to its end.",
    )
    SESSION_ENTRY_CUTOFF = (
        "SESSION_ENTRY_CUTOFF", RISK, "Last time for entries", REJECTS, "it is {actual}, nothing is opened with this product after {limit} ({scope})",
        "Send it in the next session, or change entry_cutoff. Exits pass.",
    )
    SYMBOL_DENIED = (
        "SYMBOL_DENIED", RISK, "Deny list", REJECTS, "{actual} is on {rule} ({scope})",
        "Take it off the list if it may be traded after all. Exits pass.",
    )
    SYMBOL_NOT_ALLOWED = (
        "SYMBOL_NOT_ALLOWED", RISK, "Allow list", REJECTS, "{actual} is not on {rule} ({scope})",
        "Put it on the list if it may be traded. Where no list says anything, a live account takes only the symbol its strategy names. Exits pass.",
    )
    SIGNAL_TOO_OLD = (
        "SIGNAL_TOO_OLD", RISK, "Alert age", "rejects; warns in manual mode", "the alert is {actual} old, the limit is {limit} ({scope})",
        "Check the price before sending anything by hand. If alerts are regularly late, look at the latency page.",
    )
    SIGNAL_IN_FUTURE = (
        "SIGNAL_IN_FUTURE", RISK, "Alert time", REJECTS, "the alert's time lies {actual} ahead of the clock, {limit} are tolerated",
        "Check this machine's clock and the time the alert sends.",
    )
    SIGNAL_OUT_OF_ORDER = (
        "SIGNAL_OUT_OF_ORDER", RISK, "Alert's place", "holds; warns in manual mode", "the alert of {actual} comes after one of {limit} was acted on",
        "Compare the position with the chart before you execute it: a newer alert of this strategy and symbol went out already.",
        "", "it is not known which alert of this strategy and symbol was acted on last",
    )
    PRICE_OUT_OF_COLLAR = (
        "PRICE_OUT_OF_COLLAR", RISK, "Price collar", "rejects; may warn without a quote", "{rule}={limit} ({scope})",
        "Check the price and the symbol. Without quotes collar_without_quote decides; WARN lets such orders pass unchecked.",
        "the price is {actual} % off the market price", "there is no market price to hold the price against",
    )
    EXIT_NOTHING_OPEN = (
        "EXIT_NOTHING_OPEN", RISK, "Something to close", REJECTS, "nothing is open that this order could close",
        "Nothing to do if the position is closed already; otherwise look at the open orders that are closing it.",
    )
    EXIT_REDUCED = (
        "EXIT_REDUCED", RISK, "Reduce only", "cuts", "only {limit} can still be closed",
        "Nothing: an order that may only close is never larger than what is open.",
    )
    SHORT_NOT_ALLOWED = (
        "SHORT_NOT_ALLOWED", RISK, "Short selling", CUTS, "short selling is disabled ({scope})",
        "Sell no more than is held, or set allow_short_selling in every limit row that speaks about it.",
        "{actual} would be short",
    )
    SHORT_PRODUCT = (
        "SHORT_PRODUCT", RISK, "Short with this product", CUTS, "{limit} cannot go short",
        "Sell no more than is held and sellable today, or use MIS or NRML.",
        "{actual} would be short",
    )
    POSITION_UNKNOWN = (
        "POSITION_UNKNOWN", RISK, "Position known", REJECTS, "the position in this symbol is not known",
        "Wait for the next reading of the account, or start it on the brokers page.",
    )
    POSITION_STALE = (
        "POSITION_STALE", RISK, "Position fresh", "rejects; warns for exits", "the position was last read {actual} ago, the limit is {limit}",
        "Wait for the next reading of the account, or start it on the brokers page.",
        "", "it is not known when the position was last read",
    )
    ORDER_UNRESOLVED = (
        "ORDER_UNRESOLVED", RISK, "Unresolved orders", REJECTS, "{actual} earlier order(s) of this symbol still have an unknown outcome",
        "Resolve the order under Needs review; until then only exits pass.",
        "", "the orders of this symbol are not known",
    )
    POSITION_DRIFT = (
        "POSITION_DRIFT", RISK, "Position agrees", "rejects; exits pass within the broker's quantity",
        "the broker's position is {limit}, the one here {actual}",
        "Find the order that is missing on one side; entries go on when both agree again.",
    )
    COUNT_OPEN_POSITIONS = (
        "COUNT_OPEN_POSITIONS", RISK, "Open positions", REJECTS, "{rule}={limit} ({scope})",
        "Close a position, or raise the limit. Adding to a symbol that is open is free.",
        "this would be number {actual}", "it is not known how many positions are open ({scope})",
    )
    COUNT_OPEN_ORDERS = (
        "COUNT_OPEN_ORDERS", RISK, "Open orders", REJECTS, "{rule}={limit} ({scope})",
        "Cancel orders that rest, or raise the limit. Orders with an unknown outcome count until they are resolved.",
        "this would be number {actual}", "it is not known how many orders are open ({scope})",
    )
    RATE_MINUTE = (
        "RATE_MINUTE", RISK, "Orders a minute", "rejects, then only exits pass", "{rule}={limit} ({scope})",
        "Look for an alert that loops, then release the stop on the risk page.",
        "this would be order {actual} within 60 s", "it is not known how many orders went out in the last minute ({scope})",
    )
    RATE_DAY = (
        "RATE_DAY", RISK, "Orders a day", "rejects, then only exits pass", "{rule}={limit} ({scope})",
        "Wait for the next trading day, or raise the limit and release the stop on the risk page.",
        "this would be order {actual} of the day", "it is not known how many orders went out today ({scope})",
    )
    RATE_SYMBOL_DAY = (
        "RATE_SYMBOL_DAY", RISK, "Entries into one symbol", REJECTS, "{rule}={limit} ({scope})",
        "Wait for the next trading day, or raise the limit. Exits pass.",
        "this would be entry {actual} of the day in this symbol", "it is not known how often this symbol was entered today ({scope})",
    )
    RATE_MIN_BARS = (
        "RATE_MIN_BARS", RISK, "Bars between entries", REJECTS, "{rule}={limit} ({scope})",
        "Wait for the next signal, or lower the limit. It needs the strategy's timeframe.",
        "{actual} have passed since the last entry", "it is not known how many bars ago the last entry was ({scope})",
    )
    RATE_COOLDOWN = (
        "RATE_COOLDOWN", RISK, "Pause after a trade", REJECTS, "{rule} asks for {limit} ({scope})",
        "Wait until the time has passed, or shorten it. Exits pass.",
        "{actual} have passed", "it is not known when the last trade ended ({scope})",
    )
    RATE_LOSS_STREAK = (
        "RATE_LOSS_STREAK", RISK, "Losses in a row", REJECTS, "{rule}={limit} ({scope})",
        "Wait for the next trading day, or raise the limit. Exits pass.",
        "losing trades in a row: {actual}", "the last trades of {scope} are not known",
    )
    RATE_REPEATED = (
        "RATE_REPEATED", RISK, "Same order again", "rejects, then only exits pass", "{rule}={limit} ({scope})",
        "Look for an alert that fires on every tick, then release the stop on the risk page.",
        "this would be the same order {actual} times within 60 s", "it is not known which orders went out in the last minute ({scope})",
    )
    LOSS_DAILY = (
        "LOSS_DAILY", RISK, "Loss of the day", "rejects, then only exits pass; warns before", "{rule}={limit} ({scope})",
        "No entry passes until the next trading day, even if the result recovers. Exits pass.",
        "the day stands at a loss of {actual}", "the day's result is not known ({scope})",
    )
    LOSS_DATA_STALE = (
        "LOSS_DATA_STALE", RISK, "Data for the day's loss", REJECTS,
        "positions without a fresh price: {actual}, so the day's loss cannot be held against {limit} ({scope})",
        "Wait for the next reading of the account; if it does not come, look at the brokers page. Exits pass.",
        "", "the day's result is not known, so it cannot be held against {rule}={limit} ({scope})",
    )
    LOSS_DRAWDOWN = (
        "LOSS_DRAWDOWN", RISK, "Fall from the best equity", CUTS, "equity is {actual} % below its best, {rule}={limit} ({scope})",
        "From half of the limit on an entry may have half its size: rows set to CLAMP cut it, others refuse it. From all of it on only exits pass.",
        "", "it is not known how far equity is below its best ({scope})",
    )
    QTY_LOT = (
        "QTY_LOT", RISK, "Lot", CUTS, "the lot is {limit}",
        "Order a multiple of the lot.",
        "quantity {actual} is not a multiple of it",
    )
    QTY_MIN = (
        "QTY_MIN", RISK, "Smallest order", CUTS, "the smallest order is {limit}",
        "Order more, or leave it: the quantity is never rounded up.",
        "this one has {actual}",
    )
    QTY_MAX = (
        "QTY_MAX", RISK, "Quantity", CUTS, "{rule}={limit} ({scope})",
        "Order less, raise the limit, or set the row to CLAMP so that orders are cut instead.",
        "order quantity {actual}",
    )
    LOTS_ORDER = (
        "LOTS_ORDER", RISK, "Lots of an order", CUTS, "{rule}={limit} ({scope})",
        "Order fewer lots, raise the limit, or set the row to CLAMP so that orders are cut instead.",
        "the order has {actual} lots",
    )
    LOTS_DAY = (
        "LOTS_DAY", RISK, "Lots of the day", CUTS, "{rule}={limit} ({scope})",
        "Wait for the next trading day, or raise the limit. Exits pass.",
        "the day would have {actual} lots", "it is not known how many lots were opened today ({scope})",
    )
    VALUE_MAX = (
        "VALUE_MAX", RISK, "Order value", CUTS, "{rule}={limit} ({scope})",
        "Order less, raise the limit, or set the row to CLAMP so that orders are cut instead.",
        "order value {actual}",
    )
    EXPOSURE_SYMBOL = (
        "EXPOSURE_SYMBOL", RISK, "Exposure in the symbol", CUTS, "{rule}={limit} ({scope})",
        "Order less, close or cancel some of it, or raise the limit. Orders that rest count as if they were filled.",
        "the exposure in this symbol would be {actual}", "the exposure in this symbol is not known ({scope})",
    )
    EXPOSURE_GROSS = (
        "EXPOSURE_GROSS", RISK, "Exposure of all symbols", "cuts or rejects; warns before", "{rule}={limit} ({scope})",
        "Order less, close or cancel something, or raise the limit. Bought and sold count alike.",
        "the exposure of all symbols would be {actual}", "the exposure of all symbols is not known ({scope})",
    )
    MARGIN_INSUFFICIENT = (
        "MARGIN_INSUFFICIENT", RISK, "Funds", CUTS, "usable funds are {limit} ({rule}, {scope})",
        "Order less, bring in funds, or close something first.",
        "the order needs {actual}",
    )
    MARGIN_UNKNOWN = (
        "MARGIN_UNKNOWN", RISK, "Funds known", "rejects; warns on paper", "{actual}",
        "Wait for the next reading of the account; if it does not come, look at the brokers page. Exits pass.",
        "", "what this order needs is not known",
    )
    QTY_FREEZE = (
        "QTY_FREEZE", RISK, "Freeze quantity", "rejects; an exit waits for a person", "ten slices of this contract hold {limit}",
        "Order less, or send the rest as an order of its own. Up to ten times the freeze quantity is sliced by itself.",
        "order quantity {actual}",
    )

    SYMBOL_OTHER = (
        "SYMBOL_OTHER", ROUTE, "Strategy's symbol", WAITS, "this strategy trades another symbol",
        "Check which strategy the alert names, or add the symbol to the strategy.",
    )
    OUTSIDE_HOURS = (
        "OUTSIDE_HOURS", ROUTE, "Strategy's hours", WAITS, "the alert came outside the strategy's hours",
        "Change the hours of the strategy, or execute the order by hand if it is still wanted.",
    )
    QUANTITY_UNKNOWN = (
        "QUANTITY_UNKNOWN", ROUTE, "Quantity given", WAITS, "neither the alert nor the strategy says how much",
        "Put a quantity into the alert or a sizing into the strategy, or type one into the waiting order.",
    )
    ACTION_TARGET_MISMATCH = (
        "ACTION_TARGET_MISMATCH", ROUTE, "Action and target", WAITS, "the alert's action contradicts its target position",
        "Compare the position here with the one on TradingView, then correct and execute or cancel the order.",
    )
    SENDER_POSITION_DRIFT = (
        "SENDER_POSITION_DRIFT", ROUTE, "Sender's position", "warns or waits for a person", "the sender's position is not the one here",
        "Find the missing or manual trade; the strategy's setting decides whether such an order waits.",
    )
    DELAYED_DATA = (
        "DELAYED_DATA", ROUTE, "Delayed data", WAITS, "the alert was made from delayed prices",
        "Subscribe to real-time data of this exchange at TradingView, or check the price and execute by hand.",
    )
    STRATEGY_UNKNOWN = (
        "STRATEGY_UNKNOWN", ROUTE, "Strategy known", WAITS, "no strategy has the name in the alert",
        "Correct strategy_name in the alert, or create the strategy.",
    )
    NO_ACTION = (
        "NO_ACTION", ROUTE, "Something to do", ENDS, "the position is already where the alert wants it",
        "Nothing.",
    )

    PLATFORM_IGNORED = (
        "PLATFORM_IGNORED", ROUTE, "Platform", ENDS, "the alert is meant for another platform",
        "Put TRADINGVIEW into `platform`, or leave the field out.",
    )
    BRACKET_UNSUPPORTED = (
        "BRACKET_UNSUPPORTED", ROUTE, "Stop and target", WAITS, "the stop or target it came with cannot be placed",
        "Correct its price or product, or cancel it and place everything by hand: it never goes without.",
    )
    BROKER_CANNOT = (
        "BROKER_CANNOT", ROUTE, "Known to the broker", WAITS, "the account's broker does not take an order like this",
        "Change the product, the validity or the iceberg of the order, or send it to another account.",
    )
    ACTION_UNKNOWN = (
        "ACTION_UNKNOWN", ROUTE, "Side given", WAITS, "the alert does not say whether to buy or to sell",
        "Put the side into the alert.",
    )
    CANCEL_DONE = (
        "CANCEL_DONE", ROUTE, "Cancel by alert", ENDS, "the alert cancelled the strategy's orders on this symbol",
        "Nothing.",
    )
    REPLAYED = (
        "REPLAYED", ROUTE, "Taken up again", WAITS, "the alert was taken up again by hand",
        "Check the price, then execute or cancel the order.",
    )

    DRY_RUN = (
        "DRY_RUN", ROUTE, "Dry run", ENDS, "a dry run: what would have happened is kept with the alert, no order was made",
        "Nothing. To make orders, take dry_run out of the alert and switch the strategy's dry run off.",
    )

    POISON = (
        "POISON", ROAD, "Worker stopped repeatedly", HOLDS, "the work on this order broke off more than three times",
        "Look at the events of the order; requeue it (the whole gate runs again) or cancel it.",
    )
    RETRY_EXHAUSTED = (
        "RETRY_EXHAUSTED", ROAD, "Broker unreachable", HOLDS, "the broker could not be reached for too long; nothing was sent",
        "Check the connection, then requeue the order (the whole gate runs again) or cancel it.",
    )
    DAILY_ORDER_CAP = (
        "DAILY_ORDER_CAP", ROAD, "Orders of the day spent", HOLDS, "the broker takes no more orders of this account today; nothing was sent",
        "Tomorrow the order waits for your decision. What must be closed today has to be closed in the broker's own app.",
    )
    DISK_LOW = (
        "DISK_LOW", ROAD, "Disk full", HOLDS, "so little disk is free that an outcome might not be recorded",
        "Make room on the disk; the order goes on by itself.",
    )
    OUTCOME_UNKNOWN = (
        "OUTCOME_UNKNOWN", ROAD, "Outcome unknown", "looked up by its tag", "the broker may or may not have taken the order",
        "Wait: it is looked up by its tag and never sent again by itself.",
    )
    ABSENT_AFTER_SETTLE = (
        "ABSENT_AFTER_SETTLE", ROAD, "Not found at the broker", "needs review", "the broker does not show the order, which proves nothing",
        "Look into the broker's order book, then decide; the tag stays watched.",
    )
    TAG_TWICE = (
        "TAG_TWICE", ROAD, "Two orders, one tag", "needs review, and the account stops", "the broker shows more than one order with this tag",
        "Check the broker's order book at once; release the account when you know what is live.",
    )
    TAG_FOREIGN = (
        "TAG_FOREIGN", ROAD, "Tag on another order", "needs review", "the broker shows this tag on an order for something else",
        "Check the broker's order book at once.",
    )
    FOUND_AT_BROKER = (
        "FOUND_AT_BROKER", ROAD, "At the broker already", HOLDS, "the broker has an order with the tag of one that was not sent",
        "Look at both orders; cancel the one you do not want.",
    )
    MARKED_NOT_SENT = (
        "MARKED_NOT_SENT", ROAD, "Marked as not sent", ENDS, "a person said that the broker never took it, and its order book agrees",
        "Nothing; its tag stays watched.",
    )
    BROKER_REJECTED = (
        "BROKER_REJECTED", ROAD, "Refused later", "refused by the broker", "the broker took the order and refused it afterwards",
        "Read the broker's words on the order page.",
    )
    SESSION_ENDED = (
        "SESSION_ENDED", ROAD, "Session ended", "ends unfilled", "the order ended with its trading session",
        "Send it again in the next session if it is still wanted.",
    )
    CANCELLED_HERE = (
        "CANCELLED_HERE", ROAD, "Cancelled before it left", ENDS, "the order was cancelled before it was sent",
        "Nothing.",
    )
    HOLD_ENDED = (
        "HOLD_ENDED", ROAD, "Hold ended", WAITS, "what held the order back has ended",
        "Check the price, then execute or cancel it.",
    )
    AMO_FALLBACK = (
        "AMO_FALLBACK", ROAD, "After-market order", "sent again, once", "the market is closed, so the order goes out as an after-market order (AMO)",
        "Nothing; it is placed with the next session. The strategy's after-hours setting decides this.",
    )
    GTT_FALLBACK = (
        "GTT_FALLBACK", ROAD, "Trigger instead", "sent again, once", "the market is closed, so the order is placed as a trigger (GTT) at its price",
        "Nothing; the broker sends it when the price is reached. The strategy's after-hours setting decides this.",
    )
    EXITS_IN_THE_WAY = (
        "EXITS_IN_THE_WAY", ROAD, "Stop and target stand", WAITS, "the stop and target of what the order closes could not be cancelled in time",
        "Look at them in the broker's app; cancel them there if need be, then execute the order.",
    )
    EXITS_CROSSED = (
        "EXITS_CROSSED", ROAD, "Stop and target both filled", "an alarm", "both filled before one could be cancelled, so the position turned around",
        "Close what stands the wrong way round: the order page and the positions page have the button.",
    )
    UNPROTECTED = (
        "UNPROTECTED", ROAD, "Without its stop", "an alarm", "what is held has no stop or target at the broker any more",
        "Place them by hand, or close the position.",
    )
    TRAIL_ENDED = (
        "TRAIL_ENDED", ROAD, "Trailing ended", "a notice", "the broker takes no more changes of this order, so the stop stays where it is",
        "Move it by hand, or let it stand.",
    )
    TRIGGER_TOO_NEAR = (
        "TRIGGER_TOO_NEAR", ROAD, "Trigger too near", WAITS, "the trigger is so close to the last price that the broker would switch it off",
        "Move the price away, or send it as a plain order.",
    )
    GTT_NOT_POSSIBLE = (
        "GTT_NOT_POSSIBLE", ROAD, "Trigger possible", WAITS, "the broker cannot keep this order as a trigger (GTT)",
        "Make it a limit order for CNC or NRML, or untick GTT.",
    )
    GTT_STANDS = (
        "GTT_STANDS", ROAD, "Old trigger stands", WAITS, "the broker does not delete the trigger this one is to replace",
        "Delete the old trigger in the broker's app, then execute this order.",
    )
    GTT_TRIGGERED = (
        "GTT_TRIGGERED", ROAD, "Trigger fired", ENDS, "the order of the trigger was already followed as one placed outside the desk",
        "Follow that order.",
    )
    GTT_UNNAMED = (
        "GTT_UNNAMED", ROAD, "Order of a trigger unknown", "needs review", "the trigger fired and the broker does not name the order that came of it",
        "Look into the broker's order book; attach the order, or say that none was placed.",
    )
    GTT_GONE = (
        "GTT_GONE", ROAD, "Trigger gone", "needs review", "the broker no longer shows the trigger, and it may have fired unseen",
        "Look into the broker's app; attach the order it placed, or say that none was placed.",
    )
    GTT_LEG_FAILED = (
        "GTT_LEG_FAILED", ROAD, "Order of a trigger refused", "refused by the broker", "the trigger fired, and its order was refused",
        "Read the broker's words on the order page, then look at the position.",
    )
    GTT_DELETED = (
        "GTT_DELETED", ROAD, "Trigger deleted", "ends unfilled", "the trigger was deleted",
        "Nothing, when it was meant to go; otherwise send it again.",
    )
    GTT_EXPIRED = (
        "GTT_EXPIRED", ROAD, "Trigger expired", "ends unfilled", "the trigger's year, or its contract, was over",
        "Send it again if it is still wanted.",
    )
    GTT_CANCELLED = (
        "GTT_CANCELLED", ROAD, "Trigger cancelled", "ends unfilled", "the broker cancelled the trigger, as after splits and delistings",
        "Check prices and quantity after the corporate action, then send it again.",
    )
    GTT_REJECTED = (
        "GTT_REJECTED", ROAD, "Trigger refused", "refused by the broker", "the broker refused the trigger",
        "Read the broker's words on the order page.",
    )
    GTT_DISABLED = (
        "GTT_DISABLED", ROAD, "Trigger switched off", "an alarm", "the broker switched the trigger off, so it guards nothing",
        "Delete it and place a new one, or guard the position by hand.",
    )
    MARKET_CLOSED = (
        "MARKET_CLOSED", ROAD, "Market closed", "refused by the broker", "the broker refused the order because the market is closed",
        "Send it again in the session, or give the strategy an off-hours policy.",
    )

    REFUSAL_STREAK = (
        "REFUSAL_STREAK", STOP, "Refusals in a row", ONLY_EXITS, "the broker refused several orders of the strategy in a row",
        "Read the broker's words on the last ones and put it right, then release the strategy. Counting begins anew.",
    )
    UNKNOWN_STREAK = (
        "UNKNOWN_STREAK", STOP, "Unknown outcomes", ONLY_EXITS, "the outcome of several orders of the account within 10 minutes is not known",
        "Wait until they are settled and check the connection, then release the account. Counting begins anew.",
    )
    DRIFT_SPREAD = (
        "DRIFT_SPREAD", STOP, "Positions differ", ONLY_EXITS, "the positions of the account in more than 3 symbols are not what the desk booked",
        "Settle the differences on the positions page, then release the account. It stops again only when a new difference comes.",
    )
    CLOCK_OFF = (
        "CLOCK_OFF", STOP, "Clock off", ONLY_EXITS, "this machine's clock and the broker's are more than 2 s apart",
        "Set the machine's clock by the network, then release the account.",
    )
    OVERFILLED = (
        "OVERFILLED", STOP, "More filled than ordered", ALL_STOPPED, "the broker filled more of an order than was ordered",
        "Compare order and trades in the broker's app, put the position right there, then release the account.",
    )
    CROSSED_ZERO = (
        "CROSSED_ZERO", STOP, "Position turned around", ALL_STOPPED, "an order that was to close a position only turned it around",
        "Look at the position and close what is too much, then release the account. After stop and target both filled, exits still leave.",
    )
    IP_NOT_ALLOWED = (
        "IP_NOT_ALLOWED", STOP, "Address refused", ALL_STOPPED, "the broker does not take orders from this machine's address",
        "Enter the address in the broker's developer console, then release the account.",
    )
    TLS_CERT = (
        "TLS_CERT", STOP, "Certificate refused", ALL_STOPPED, "the certificate of the broker could not be verified",
        "Check the machine's clock, its certificates and the network between, then release the account.",
    )


def table() -> str:
    """All codes as one Markdown table, in the order of the checks."""
    head = ["| code | from | about | effect | says | what to do |", "|---|---|---|---|---|---|"]
    return "\n".join(head + [_line(code) for code in Code]) + "\n"


def _line(code: Code) -> str:
    says = ", ".join(part.format(**BLANKS) for part in (code.sentence, code.measured) if part)
    cells = (f"`{code.value}`", code.group.value, code.about, code.effect, says, code.todo)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
