from decimal import Decimal, InvalidOperation

from django.core.management.base import BaseCommand, CommandError

from brokers.models import BrokerAccount
from trading.models import OrderType, Product, Side, Strategy
from trading.services import whatif
from tvapp.lib.errors import AppError
from tvapp.lib.money import plain


def figure(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as exc:
        raise CommandError(f"{text} is no number.") from exc


class Command(BaseCommand):
    help = "Says what the risk check would say about an order, rule by rule. Writes nothing and approves nothing."

    def add_arguments(self, parser):
        parser.add_argument("side", choices=Side.values)
        parser.add_argument("quantity")
        parser.add_argument("symbol", help="EXCHANGE:SYMBOL, for example NSE:INFY.")
        parser.add_argument("--strategy", help="Name of the strategy it would come from.")
        parser.add_argument("--account", default="paper", help="Name of the account, when there is no strategy.")
        parser.add_argument("--type", default=OrderType.MARKET, choices=OrderType.values)
        parser.add_argument("--product", default=Product.MIS, choices=Product.values)
        parser.add_argument("--price", help="Limit price.")
        parser.add_argument("--trigger", help="Trigger price.")
        parser.add_argument("--ref", help="Price at the alert.")
        parser.add_argument("--exit", action="store_true", help="It may only close.")
        text = "Another limit, for example GLOBAL.max_order_value=5000."
        parser.add_argument("--set", action="append", default=[], metavar="SCOPE.NAME=VALUE", help=text)
        parser.add_argument("--all", action="store_true", help="Also the rules that pass or are not set.")

    def handle(self, *args, **options):
        try:
            said = whatif.one(**self._intent(options), limits=_override(options["set"]))
        except AppError as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(f"{said.sentence}.")
        self.stdout.write(f"{said.verdict}: {plain(said.final)} of {options['quantity']} would go. {whatif.MARK}")
        for finding in said.findings:
            if options["all"] or finding.verdict not in ("PASS", "SKIP", "EXEMPT"):
                facts = " ".join(f"{word} {value}" for word, value in (("limit", finding.limit), ("actual", finding.actual)) if value)
                self.stdout.write(f"  {finding.verdict:7}{finding.code:24}{finding.scope:22}{facts}")

    def _intent(self, options) -> dict[str, object]:
        strategy = Strategy.objects.standing().select_related("account").filter(name=options["strategy"]).first() if options["strategy"] else None
        if options["strategy"] and strategy is None:
            raise CommandError(f"There is no strategy called {options['strategy']}.")
        account = strategy.account if strategy else BrokerAccount.objects.filter(name=options["account"]).order_by("id").first()
        if account is None:
            raise CommandError(f"There is no account called {options['account']}.")
        named = (("price", "price"), ("trigger_price", "trigger"), ("ref_price", "ref"))
        prices = {name: figure(options[key]) if options[key] else None for name, key in named}
        return {
            "account": account, "strategy": strategy, "instrument": whatif.instrument(options["symbol"]), "side": options["side"],
            "quantity": figure(options["quantity"]), "order_type": options["type"], "product": options["product"], "reduce_only": options["exit"],
            **prices,
        }  # fmt: skip


def _override(words: list[str]) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        scope, dot, parameter = name.rpartition(".")
        if not equals or not dot:
            raise CommandError(f"{word}: write SCOPE.NAME=VALUE, for example GLOBAL.max_order_value=5000.")
        found.setdefault(scope, {})[parameter] = value or None
    return found
