"""Makes, renames and archives strategies, and issues their webhook secrets. Pages, API and admin all come here."""

import json
import secrets
from collections.abc import Collection, Mapping
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from risk.models import RiskSettings, Scope
from trading.models import Level, OrderType, Sizing, Strategy
from trading.services import disarming, sysevents
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import DeskSettings
from tvapp.people.auth import digest

SECRET_BYTES = 32
WEIGHTY = (
    "account", "mode", "symbol", "default_exchange", "default_product", "product_from_signal", "sizing", "sizing_value", "capital", "use_target",
    "max_slippage_pct", "default_order_type", "dry_run", "after_hours", "hours_from", "hours_to", "max_age_s",
)  # fmt: skip


def create(*, owner, actor: str, **fields) -> Strategy:
    """A new strategy of `owner`; `fields` are model fields, already validated. Raises AppError NAME_TAKEN, ACCOUNT_NOT_YOURS."""
    strategy = Strategy(owner=owner, **fields)
    return _save(strategy, f"Made by {actor}.")


def update(strategy: Strategy, changes: Mapping[str, object], *, actor: str) -> Strategy:
    """Writes validated `changes` to a standing strategy. Raises AppError as `create` does, and STRATEGY_ARCHIVED."""
    _must_stand(strategy)
    changed = [name for name, value in changes.items() if getattr(strategy, name) != value]
    for name, value in changes.items():
        setattr(strategy, name, value)
    with transaction.atomic():  # what was changed never counts under the arm that was given before it
        saved = _save(strategy, f"Changed by {actor}.", [*changes, "updated_at"])
        after_change(saved, changed, actor=actor)
    return saved


def after_change(strategy: Strategy, changed: Collection[str], *, actor: str) -> None:
    """What decides where and when its orders go and how large they are is other than when it was armed: it is armed anew, or stays disarmed."""
    if weighty := [name for name in changed if name in WEIGHTY]:
        disarming.disarm(strategy, f"{actor} changed {', '.join(name.replace('_', ' ') for name in weighty)}", actor=actor)


def check_name(owner, name: str, *, but: int | None = None) -> None:
    """Raises NAME_TAKEN when another standing strategy of `owner` (not the one with id `but`) has this name."""
    if Strategy.objects.standing().filter(owner=owner, name=name).exclude(pk=but).exists():
        raise _taken(name)


def check_account(strategy: Strategy) -> None:
    """Orders never go to somebody else's account."""
    if strategy.account.owner_id != strategy.owner_id:
        raise AppError("ACCOUNT_NOT_YOURS", "The account belongs to somebody else. Choose one of the strategy's owner.", extra={"field": "account"})


def _save(strategy: Strategy, reason: str, only: list[str] | None = None) -> Strategy:
    """`only` these columns: another person's secret, limits or delete of the same moment stay as they are."""
    check_name(strategy.owner, strategy.name, but=strategy.pk)
    check_account(strategy)
    strategy._change_reason = reason
    try:
        with transaction.atomic():
            strategy.save(update_fields=only)
    except IntegrityError as exc:
        check_name(strategy.owner, strategy.name, but=strategy.pk)  # two at once: the loser hears why
        raise exc
    return strategy


def _taken(name: str) -> AppError:
    return AppError("NAME_TAKEN", f"There is already a strategy called {name}. Choose another name.", extra={"field": "name"})


def _must_stand(strategy: Strategy) -> None:
    if strategy.archived_at is not None:
        raise AppError("STRATEGY_ARCHIVED", f"{strategy.name} was deleted. Make a new strategy instead.", status=409)


@transaction.atomic
def issue_secret(strategy: Strategy, actor: str, *, keep_old: bool = True) -> str:
    """Makes a new webhook secret and returns it; only its hash is kept, so it cannot be shown again.

    The one before stays valid for DeskSettings.secret_grace_h hours, or not at all with `keep_old=False` (it leaked).
    """
    row = Strategy.objects.select_for_update(no_key=True).get(pk=strategy.pk)
    _must_stand(row)
    key, now = secrets.token_urlsafe(SECRET_BYTES), clock.now()
    hours = DeskSettings.current().secret_grace_h if keep_old and row.secret_digest else 0
    row.old_secret_digest = row.secret_digest if hours else None
    row.old_secret_until = now + timedelta(hours=hours) if hours else None
    row.secret_digest, row.secret_made_at = digest(key), now
    _write(row, f"New webhook secret by {actor}.")
    for name in ("secret_digest", "secret_made_at", "old_secret_digest", "old_secret_until"):
        setattr(strategy, name, getattr(row, name))
    until = f" The one before works for {hours} more hours." if hours else " No other secret works any more."
    sysevents.record("security", "SECRET_ISSUED", f"{actor} made a new webhook secret for {row.name}.{until}", owner=row.owner, data=_fact(row))
    return key


@transaction.atomic
def archive(strategy: Strategy, actor: str) -> None:
    """Deletes as a trader means it: its alerts are refused from now on and its name is free; its history stays."""
    row = Strategy.objects.select_for_update(no_key=True).get(pk=strategy.pk)
    if row.archived_at is not None:
        return
    row.archived_at, row.enabled = clock.now(), False
    row.secret_digest = row.old_secret_digest = row.old_secret_until = row.secret_made_at = None
    _write(row, f"Deleted by {actor}.")
    strategy.refresh_from_db()
    text = f"{actor} deleted {row.name}. Its secret no longer works; its orders and alerts stay."
    sysevents.record("security", "STRATEGY_ARCHIVED", text, level=Level.WARNING, owner=row.owner, data=_fact(row))


def _write(row: Strategy, reason: str) -> None:
    row._change_reason = reason
    row.save()


def _fact(row: Strategy) -> dict[str, object]:
    return {"strategy_id": row.pk}


@transaction.atomic
def limits_of(strategy: Strategy, actor: str) -> RiskSettings:
    """The strategy's own limits row; made empty (it adds nothing yet) when there is none."""
    row = Strategy.objects.select_for_update(of=("self",), no_key=True).select_related("limits").get(pk=strategy.pk)
    _must_stand(row)
    if row.limits is None:
        row.limits = RiskSettings.objects.create(owner=row.owner, scope=Scope.STRATEGY)
        _write(row, f"Own limits by {actor}.")
        strategy.limits = row.limits
    return row.limits


# ---------------------------------------------------------------------------- what to paste into TradingView
def webhook_url(token: str = "") -> str:
    """Where TradingView posts: with the secret in the body, or, with `token`, in the path for bodies that cannot carry it."""
    return settings.BASE_URL.rstrip("/") + (f"/webhook/tv/{token}" if token else "/webhook/tradingview")


def alert_message(strategy: Strategy, key: str = "<secret>") -> str:
    """The alert message of a TradingView strategy alert, every placeholder in quotes so that an empty one stays valid JSON."""
    order = {"order_action": "{{strategy.order.action}}"}
    if strategy.sizing == Sizing.FROM_SIGNAL:
        order["quantity"] = "{{strategy.order.contracts}}"
    order |= {
        "price": "{{strategy.order.price}}",
        "order_type": strategy.default_order_type if strategy.default_order_type in (OrderType.MARKET, OrderType.LIMIT) else OrderType.MARKET,
        "product": strategy.default_product,
        "comment": "{{strategy.order.comment}}",
    }
    once = "{{ticker}}-{{timenow}}-{{strategy.order.id}}-{{strategy.market_position}}-{{strategy.market_position_size}}"
    body = {
        "secret": key,
        "platform": "TRADINGVIEW",
        "strategy_name": strategy.name,
        "symbol": "{{exchange}}:{{ticker}}",
        "interval": "{{interval}}",
        "bar_time": "{{time}}",
        "timestamp": "{{timenow}}",
        "order_id": "{{strategy.order.id}}",
        "idempotency_key": once,
        "position_size": "{{strategy.position_size}}",
        "prev_market_position": "{{strategy.prev_market_position}}",
        "prev_market_position_size": "{{strategy.prev_market_position_size}}",
        "trade_details": order,
    }
    return json.dumps(body, indent=1)
