"""The settings pages' list of orders over a long history against a short one: what is asked is whether time grows with the past."""

from tests.bench.pages import SHORT, growth, histories
from tests.bench.rows import Row, Size

ORDERS = "/admin/trading/order/"
LISTS = {
    ORDERS: "first page",
    f"{ORDERS}?p=2": "second page",
    f"{ORDERS}?status__exact=COMPLETE": "state with most of them",
    f"{ORDERS}?status__exact=NEEDS_REVIEW": "state without any",
    f"{ORDERS}?mode__exact=AUTO": "one mode",
    f"{ORDERS}?q={{tag}}": "search for a tag",
    f"{ORDERS}?q=H7": "search for a symbol",
    f"{ORDERS}?q=zzz": "search without any",
    f"{ORDERS}{{oldest}}/change/": "one order",
}


def run(size: Size) -> list[Row]:
    with histories(size) as (_, readers):
        return [
            growth("admin", path, f"ms, orders in /admin/, {what}, {size.rows:,} against {SHORT:,}", readers, size, "ratio <= 1.5")
            for path, what in LISTS.items()
        ]
