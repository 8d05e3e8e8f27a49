"""The desk's own settings and its people's keys. No trading row lives here."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from simple_history.models import HistoricalRecords

from tvapp.lib import clock
from tvapp.owned import OwnedModel

KEEP_S = 1.0


def _number(default: int, low: int, high: int, unit: str, text: str) -> models.PositiveIntegerField:
    help_text = f"{text} Unit: {unit}; {low} to {high}; default {default}."
    return models.PositiveIntegerField(default=default, validators=[MinValueValidator(low), MaxValueValidator(high)], help_text=help_text)


class DeskSettings(models.Model):
    """One row: every value that is a setting and not an environment variable. Takes effect within a second, without a restart."""

    alert_age_auto_s = _number(60, 5, 3600, "seconds", "An automatic order older than this, counted from when the alert fired, is not sent.")
    alert_old_manual_min = _number(15, 1, 360, "minutes", "A waiting alert older than this is marked old in the queue.")
    alert_dead_manual_h = _number(6, 1, 72, "hours", "A waiting alert older than this is no longer sent, not even by hand.")
    future_skew_s = _number(30, 1, 300, "seconds", "An alert that claims to have fired further ahead than this is refused.")
    duplicate_body_s = _number(60, 10, 600, "seconds", "A body without id or times counts as a repeat when an equal one came this recently.")
    rejected_keep_days = _number(7, 1, 90, "days", "How long a refused alert body is kept to look at.")
    secret_grace_h = _number(24, 0, 168, "hours", "How long the old webhook secret still works after a new one was made.")
    lease_s = _number(20, 5, 120, "seconds", "How long one worker may hold an order while sending it.")
    max_starts = _number(3, 1, 10, "times", "An order whose work was started this often without an end is parked.")
    retry_window_s = _number(300, 10, 3600, "seconds", "How long an order that provably was not sent is tried again.")
    sync_live_s = _number(2, 1, 60, "seconds", "How often the broker's book is read while an order rests there; a real broker is asked every 5 s at most.")
    sync_resting_s = _number(15, 3, 300, "seconds", "How often a real broker's book is read while nothing but resting orders is there.")
    sync_idle_s = _number(25, 10, 3600, "seconds", "How often a real broker's books are read while nothing is there. Above 30 entries may meet positions that are too old.")
    kite_session_end_h = _number(6, 4, 9, "o'clock IST", "When a Zerodha session ends in the morning.")
    unmatched_4xx_rejects = models.BooleanField(
        default=False, help_text="On: a broker's refusal in words the desk does not know counts as refused. Off (safer): the order is looked up first.",
    )  # fmt: skip
    max_quote_age_s = _number(10, 1, 14400, "seconds", "A price older than this fills no paper order.")
    min_free_disk_mb = _number(200, 10, 100000, "MB", "With less free disk than this no order is sent.")
    market_buffer_pct = models.DecimalField(
        max_digits=6, decimal_places=2, default=Decimal("1"), validators=[MinValueValidator(0), MaxValueValidator(20)],
        help_text="A MARKET order is valued at the reference price plus this, because it may fill above it. Unit: percent; 0 to 20; default 1.",
    )  # fmt: skip
    mis_margin_pct = models.DecimalField(
        max_digits=6, decimal_places=2, default=Decimal("20"), validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Margin of an intraday (MIS) order where the broker does not say: this share of its value. Unit: percent; 1 to 100; default 20.",
    )  # fmt: skip
    paper_only = models.BooleanField(default=False, help_text="On: no order of a live account is sent, whatever else allows it. Exits too.")
    loss_watch_s = _number(30, 5, 600, "seconds", "How often the day's result is held against max_daily_loss without any alert.")
    refusals_trip = _number(5, 2, 100, "times", "So many refusals by the broker in a row stop the entries of the strategy.")
    unknowns_trip = _number(2, 1, 100, "times", "So many unknown outcomes within 10 minutes stop the entries of the account.")
    paper_orders_first = _number(20, 0, 1000, "orders", "So many paper orders must a strategy have had before it may be armed to trade live by itself.")
    release = models.CharField(max_length=60, blank=True, editable=False, help_text="Stamp of the code that prepared this desk last.")
    version = models.PositiveIntegerField(default=1, editable=False)
    history = HistoricalRecords(excluded_fields=["release"])
    _kept: "tuple[float, DeskSettings | None]" = (0.0, None)

    class Meta:
        verbose_name = verbose_name_plural = "desk settings"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="desk_settings_single_row")]

    def __str__(self) -> str:
        return "Desk settings"

    def save(self, *args, **kwargs):
        self.id = 1
        self.version += 1
        super().save(*args, **kwargs)
        type(self).forget()

    @classmethod
    def current(cls) -> "DeskSettings":
        """The one row, at most a second old (the defaults when nobody saved it yet). Read several times on the road of each order."""
        at, row = cls._kept
        if row is None or clock.monotonic() - at > KEEP_S:
            row = cls.objects.filter(id=1).first() or cls(id=1)
            cls._kept = (clock.monotonic(), row)
        return row

    @classmethod
    def forget(cls) -> None:
        """The next `current` reads the row again."""
        cls._kept = (0.0, None)


class ApiToken(OwnedModel):
    """A key for the API, kept as a hash; the key itself is shown once, when it is made."""

    name = models.CharField(max_length=80, default="API")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.owner})"


class Heartbeat(models.Model):
    """The last sign of life of a process group, written by its own work, not by its process table."""

    name = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField()
    process = models.CharField(max_length=120, help_text="host:pid:start of the process that wrote it.")

    def __str__(self) -> str:
        return self.name


