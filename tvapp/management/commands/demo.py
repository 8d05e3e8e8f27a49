"""`bin/demo`: one alert for the AUTO and one for the MANUAL demo strategy, posted as TradingView would, followed step by step.

With `--kite` the road leads through Zerodha's client to a simulated Kite, on a desk of its own (tvapp/kitedemo.py).
"""

import json
import secrets
import time
import urllib.error
import urllib.request
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from trading.domain.orderfsm import ENDED, State
from trading.models import Order, OrderEvent, Strategy
from trading.services import strategies
from tvapp import kitedemo, supervisor
from tvapp.lib import clock, money

PATIENCE_S = 30
EQUAL = 3
ACTOR = "bin/demo"


class Command(BaseCommand):
    help = "Posts a sample TradingView alert for demo-auto and demo-manual to the running desk and follows them. Exit status 1 without a fill."

    def add_arguments(self, parser):
        parser.add_argument("--symbol", default="NSE:INFY", help="what to buy (default %(default)s)")
        parser.add_argument("--quantity", default="", help="how many (default 1, the fourth time within a minute 2; with --kite 10)")
        parser.add_argument("--price", type=Decimal, default=Decimal(1500), help="the price the alert names (default %(default)s)")
        parser.add_argument("--kite", action="store_true", help="through Zerodha's client to a simulated Kite, on a temporary desk of its own")
        parser.add_argument("--once", action="store_true", help="with --kite: end after the fill instead of waiting for Ctrl-C")

    def handle(self, *args, **options):
        if options["kite"]:
            return self._kite(options)
        options["quantity"] = options["quantity"] or str(_next_quantity())
        self.root = f"http://{'127.0.0.1' if settings.HOST in ('0.0.0.0', '::') else settings.HOST}:{settings.PORT}"  # noqa: S104
        if supervisor.health(settings.HOST, settings.PORT) == "down":
            raise CommandError(f"No healthy desk answers at {self.root}: start bin/run in another terminal and wait for its address.")
        filled = self._auto(options)
        self._manual(options)
        base = settings.BASE_URL.rstrip("/")
        self.stdout.write(f"\nSee it in the browser: {base}/queue  {base}/orders  {base}/alerts")
        if not filled:
            raise CommandError(f"The automatic order was not filled within {PATIENCE_S} s; bin/doctor may say why.")

    def _kite(self, options) -> None:
        wish = kitedemo.Wish(options["symbol"], options["quantity"] or "10", options["price"], options["once"])
        try:
            kitedemo.show(wish, self._line)
        except KeyboardInterrupt:
            self._line("Stopped.")
        except (kitedemo.DemoFailed, OSError, ArithmeticError) as why:
            raise CommandError(str(why)) from why

    def _line(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _auto(self, options) -> bool:
        begun, order = self._send("demo-auto", options)
        order = self._follow(order, begun)
        if order.status == State.COMPLETE:
            self.stdout.write(self.style.SUCCESS(f"  filled {money.plain(order.filled_quantity)} at {money.plain(order.average_price)}, on paper"))
        return order.status == State.COMPLETE

    def _manual(self, options) -> None:
        begun, order = self._send("demo-manual", options)
        self._print_events(order, begun, after=0)
        self.stdout.write(f"  {order.get_status_display()}: execute or cancel it at {settings.BASE_URL.rstrip('/')}/orders/{order.pk}")

    def _send(self, name: str, options) -> tuple[float, Order]:
        strategy = Strategy.objects.standing().filter(name=name).order_by("id").first()
        if strategy is None:
            raise CommandError(f"There is no strategy {name}: manage.py prepare makes it.")
        body = _alert(strategy, strategies.issue_secret(strategy, ACTOR), options)
        self.stdout.write(f"\n{name} ({strategy.get_mode_display()})\n  POST {self.root}/webhook/tradingview")
        shown = {**body, "secret": "<hidden>"}
        self.stdout.write(f"  {json.dumps(shown)}")
        begun = time.monotonic()
        status, answer = _post(f"{self.root}/webhook/tradingview", body)
        self._say(begun, f"answered {status}: alert {answer.get('alert_id')}, order {answer.get('order_id')}")
        if not answer.get("order_id"):
            raise CommandError(f"The desk made no order of it: {json.dumps(answer)}")
        return begun, Order.objects.get(pk=answer["order_id"])

    def _follow(self, order: Order, begun: float) -> Order:
        last = 0
        while True:
            order.refresh_from_db()  # before its events: the last one printed then explains the state
            last = self._print_events(order, begun, after=last)
            if State(order.status) in ENDED or time.monotonic() - begun > PATIENCE_S:
                return order
            time.sleep(0.02)

    def _print_events(self, order: Order, begun: float, *, after: int) -> int:
        for event in OrderEvent.objects.filter(order=order, pk__gt=after).order_by("id"):
            step = f"{event.from_status} -> {event.to_status}" if event.from_status != event.to_status else event.kind
            at = event.at.astimezone(clock.IST)
            self._say(begun, f"{at:%H:%M:%S.%f}"[:-3] + f"  {step.removeprefix(' -> '):<22} {event.text}")
            after = event.pk
        return after

    def _say(self, begun: float, text: str) -> None:
        self.stdout.write(f"  {1000 * (time.monotonic() - begun):7.0f} ms  {text}")


def _next_quantity() -> int:
    """The same order for the fourth time within a minute looks like an alert that loops, and would stop everything but exits."""
    lately = clock.now() - timedelta(minutes=1)
    return 1 + Order.objects.filter(strategy__name="demo-auto", received_at__gte=lately).count() // EQUAL


def _alert(strategy: Strategy, secret: str, options) -> dict[str, object]:
    return {
        "secret": secret,
        "platform": "TRADINGVIEW",
        "strategy_name": strategy.name,
        "symbol": options["symbol"],
        "interval": "5",
        "idempotency_key": f"demo-{secrets.token_hex(6)}",
        "trade_details": {"order_action": "BUY", "quantity": options["quantity"], "price": str(options["price"]), "product": "CNC"},
    }


def _post(url: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310  our own http address
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        text = refused.read().decode("utf-8", "replace")
        raise CommandError(f"The desk answered {refused.code}: {text[:300]}") from refused
