"""When each order passed which point of its road, read from the rows the desk wrote itself."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.bench import place

_SQL = """
SELECT a.received_at, o.created_at, t.started_at, p.placed_at,
  (SELECT max(e.at) FROM trading_orderevent e WHERE e.order_id = o.id AND e.to_status = 'COMPLETE')
FROM trading_order o
JOIN trading_alert a ON a.id = o.alert_id
JOIN trading_orderattempt t ON t.order_id = o.id AND t.kind = 'PLACE' AND t.no = 1
JOIN brokers_paperorder p ON p.ref = o.tag
WHERE o.id >= ? ORDER BY o.id
"""


@dataclass(frozen=True)
class Step:
    """One order's moments. `placed` is taken inside the broker call, before it stores anything: its first byte."""

    received: datetime
    created: datetime
    claimed: datetime
    placed: datetime
    filled: datetime | None

    @property
    def added(self) -> float:
        """Milliseconds from the alert's receipt to the broker call."""
        return _ms(self.received, self.placed)

    @property
    def ingest(self) -> float:
        return _ms(self.received, self.created)

    @property
    def claim(self) -> float:
        """From the order's row to the end of its claim: commit, answer, wake-up, gate."""
        return _ms(self.created, self.claimed)

    @property
    def hand_over(self) -> float:
        return _ms(self.claimed, self.placed)


def _ms(first: datetime, last: datetime) -> float:
    return 1000 * (last - first).total_seconds()


def steps(home: Path | str, first_order: int) -> list[Step]:
    """The sent orders from this id on."""
    return [Step(*(datetime.fromisoformat(at) if at else None for at in row)) for row in place.rows_of(home, _SQL, first_order)]
