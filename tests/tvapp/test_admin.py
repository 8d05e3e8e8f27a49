"""The settings pages: everybody finds what is theirs, a viewer changes nothing, and what the desk writes itself is only looked at."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from brokers.models import BrokerAccount, ChargeSchedule, FreezeLimit, Instrument, Quote
from risk.models import Decision, LiveArm, MarketHours, MarketSession, RiskSettings, TradingState, Trip
from tests import factories as make
from tests.trading.desk import make_desk
from tests.tvapp.people import browser, person, strategy_of
from trading.models import Alert, Order, Strategy, SystemEvent
from trading.services import ingest, strategies
from tvapp.admin_base import CappedPaginator
from tvapp.lib import clock
from tvapp.lib.errors import AppError
from tvapp.models import ApiToken, DeskSettings
from tvapp.people import roles
from tvapp.people.auth import new_token

admin.autodiscover()

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss():
    return person("boss", roles.ADMIN)


@pytest.fixture
def asha():
    """A trader with one of everything."""
    return _furnish("asha")


@pytest.fixture
def ravi():
    """Another one, whose things nobody else may find."""
    return _furnish("ravi")


def _furnish(name: str) -> User:
    desk = make_desk(name)
    roles.assign(desk.owner, roles.TRADER)
    BrokerAccount.objects.filter(pk=desk.account.pk).update(name=f"paper-{name}")
    Strategy.objects.filter(owner=desk.owner).update(description=f"of {name}")
    desk.filled("auto", st_user_id=name)
    strategies.limits_of(desk.auto, name)
    strategies.issue_secret(desk.auto, name)
    RiskSettings.objects.create(owner=desk.owner, scope="ACCOUNT", account=desk.account, max_order_value=Decimal(5000))
    TradingState.objects.create(scope=f"STRATEGY:{desk.auto.pk}", state="REDUCING", actor=name, reason=f"of {name}")
    Trip.objects.create(scope=f"ACCOUNT:{desk.account.pk}", code="UNKNOWN_STREAK", reason=f"of {name}")
    LiveArm.objects.create(strategy_key=desk.auto.pk, by=name, until=clock.now(), waiver=f"of {name}")
    new_token(desk.owner, f"key of {name}")
    make.TvSymbolOverrideFactory(owner=desk.owner, tv_symbol=f"NSE:{name.upper()}")
    return desk.owner


def _page(model, page: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def _rows(client, model) -> set[int]:
    page = client.get(_page(model, "changelist"))
    return {row.pk for row in page.context["cl"].result_list} if page.status_code == 200 else set()


OWNED = [m for m in admin.site._registry if hasattr(m._default_manager, "for_user")]


# ---------------------------------------------------------------------------- whose rows
@pytest.mark.parametrize("model", OWNED, ids=lambda m: m.__name__)
def test_it_shows_a_trader_only_their_own_rows(model, asha, ravi):
    found = _rows(browser(asha), model)
    assert found == {row.pk for row in model._default_manager.for_user(asha)}
    assert found
    assert not found & {row.pk for row in model._default_manager.filter(owner=ravi)}


def test_it_shows_a_trader_only_events_of_their_own_orders(asha, ravi):
    from trading.models import OrderEvent

    seen = OrderEvent.objects.filter(pk__in=_rows(browser(asha), OrderEvent))
    assert {event.order.owner for event in seen} == {asha}


def test_it_shows_a_trader_only_trading_states_that_concern_them(asha, ravi):
    TradingState.objects.create(scope="GLOBAL", state="HALTED", actor="boss")
    seen = TradingState.objects.filter(pk__in=_rows(browser(asha), TradingState))
    assert {row.scope for row in seen} == {"GLOBAL", f"STRATEGY:{Strategy.objects.get(owner=asha, name='auto').pk}"}


@pytest.mark.parametrize("model", [Trip, LiveArm])
def test_it_shows_a_trader_the_stops_and_arms_of_their_own_strategies(model, asha, ravi, boss):
    assert len(_rows(browser(asha), model)) == 1 and len(_rows(browser(boss), model)) == 2
    assert browser(asha).get(_page(model, "changelist") + ("?effect__exact=REDUCING" if model is Trip else "?ended_at__isempty=1")).status_code == 200


@pytest.mark.parametrize("model", OWNED, ids=lambda m: m.__name__)
def test_it_shows_an_admin_everybodys_rows(model, asha, ravi, boss):
    assert _rows(browser(boss), model) == set(model._default_manager.values_list("pk", flat=True))


OURS = [m for m in admin.site._registry if m._meta.app_label in ("trading", "risk", "brokers", "tvapp")]


@pytest.mark.parametrize("page", ["change", "history", "delete"])
@pytest.mark.parametrize("model", OURS, ids=lambda m: m.__name__)
def test_it_opens_no_foreign_row(model, page, asha, ravi):
    foreign = model._default_manager.filter(**_foreign(model, ravi)).first() if _foreign(model, ravi) else None
    if foreign is None:
        assert model in (Instrument, Quote, FreezeLimit, ChargeSchedule, DeskSettings, MarketHours, MarketSession)  # the desk's own
        return
    assert browser(asha).get(_page(model, page, foreign.pk)).status_code in (302, 403, 404)


def _foreign(model, ravi) -> dict:
    names = {f.name for f in model._meta.get_fields()}
    if "owner" in names:
        return {"owner": ravi}
    if model in (TradingState, Trip):
        return {"reason": "of ravi"}
    if model is LiveArm:
        return {"waiver": "of ravi"}
    return {"order__owner": ravi} if "order" in names else {}


@pytest.mark.parametrize("page", ["secret", "limits", "archive"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_it_has_no_page_for_a_foreign_strategy(page, method, asha, ravi):
    foreign = Strategy.objects.get(owner=ravi, name="manual")
    assert getattr(browser(asha), method)(_page(Strategy, page, foreign.pk)).status_code == 404
    foreign.refresh_from_db()
    assert (foreign.secret_digest, foreign.limits, foreign.archived_at) == (None, None, None)


def test_it_names_nobody_elses_things_on_any_page(asha, ravi):
    client = browser(asha)
    pages = [_page(model, page) for model in admin.site._registry for page in ("changelist", "add")]
    pages.append(_page(Strategy, "change", Strategy.objects.get(owner=asha, name="auto").pk))
    for url in [*pages, reverse("admin:index")]:
        assert "ravi" not in client.get(url).content.decode(), url


def test_it_shows_no_history_of_a_row_that_was_anothers(asha, ravi):
    gone = RiskSettings.objects.get(owner=ravi, scope="ACCOUNT")
    version, pk = gone.history.first().history_id, gone.pk
    gone.delete()
    client = browser(asha)
    assert client.get(_page(RiskSettings, "history", pk)).status_code == 403
    assert client.get(reverse("admin:risk_risksettings_simple_history", args=[pk, version])).status_code == 403


# ---------------------------------------------------------------------------- who may change what
def test_it_lets_a_viewer_look_and_change_nothing(asha):
    roles.assign(asha, roles.VIEWER)
    client, row = browser(asha), Strategy.objects.get(owner=asha, name="manual")
    assert client.get(_page(Strategy, "change", row.pk)).status_code == 200
    for url in (_page(Strategy, "add"), _page(Strategy, "change", row.pk), _page(Strategy, "secret", row.pk), _page(Strategy, "archive", row.pk)):
        assert client.post(url, {"name": "x", "confirmed": "yes"}).status_code == 403


def test_it_writes_no_old_version_back(asha):
    row = Strategy.objects.get(owner=asha, name="manual")
    url = reverse("admin:trading_strategy_simple_history", args=[row.pk, row.history.last().history_id])
    for role in roles.ROLES:
        roles.assign(asha, role)
        client = browser(asha)
        assert client.get(url).status_code == 200
        assert client.post(url, _fields_of(row, name="old")).status_code == 403
    row.refresh_from_db()
    assert row.name == "manual"


@pytest.mark.parametrize("model", [User, DeskSettings, Instrument, Quote, FreezeLimit, ChargeSchedule], ids=lambda m: m.__name__)
def test_it_keeps_the_desk_and_its_people_to_admins(model, asha, boss):
    Quote.objects.get_or_create(instrument=Instrument.objects.first(), defaults={"ltp": 1})
    DeskSettings().save()
    row = model.objects.order_by("pk").first()
    assert browser(asha).post(_page(model, "change", row.pk), {}).status_code in (302, 403)
    assert browser(boss).get(_page(model, "change", row.pk)).status_code == 200


def test_it_offers_no_groups_and_no_single_permissions(boss):
    assert Group not in admin.site._registry
    page = browser(boss).get(_page(User, "change", boss.pk)).content.decode()
    assert "user_permissions" not in page and 'name="is_superuser"' not in page


READ_ONLY = ["trading.Order", "trading.Alert", "trading.Signal", "trading.Fill", "trading.OrderEvent", "trading.SystemEvent", "risk.Decision"]


@pytest.mark.parametrize("name", [*READ_ONLY, "risk.TradingState", "risk.Trip", "risk.LiveArm", "tvapp.ApiToken"])
def test_it_lets_nobody_write_what_the_desk_writes(name, asha, boss):
    from django.apps import apps

    model, client = apps.get_model(name), browser(boss)
    row = model.objects.first()
    assert client.get(_page(model, "change", row.pk)).status_code == 200
    for url in (_page(model, "add"), _page(model, "change", row.pk), _page(model, "delete", row.pk)):
        assert client.post(url, {"post": "yes", "_save": "1"}).status_code == 403


@pytest.mark.parametrize("name", ["schedule", "ormq", "success", "failure"])
def test_it_makes_no_schedules_and_reads_no_pickles(name, boss, asha):
    client, queue = browser(boss), f"admin:django_q_{name}"
    assert client.post(reverse(f"{queue}_add"), {}).status_code == 403
    with CaptureQueriesContext(connection) as seen:
        assert client.get(reverse(f"{queue}_changelist")).status_code == 200
    assert not [q["sql"] for q in seen if '"django_q_task"."result"' in q["sql"]]
    assert browser(asha).get(reverse(f"{queue}_changelist")).status_code == 403


# ---------------------------------------------------------------------------- limits
def test_it_shows_a_trader_the_global_limits_and_keeps_them_from_being_changed(asha):
    row, client = RiskSettings.objects.get(scope="GLOBAL"), browser(asha)
    assert client.get(_page(RiskSettings, "change", row.pk)).status_code == 200
    assert client.post(_page(RiskSettings, "change", row.pk), {"max_order_value": "1"}).status_code == 403
    row.refresh_from_db()
    assert row.max_order_value == 100000


def test_it_never_deletes_the_global_limits(boss):
    row, client = RiskSettings.objects.get(scope="GLOBAL"), browser(boss)
    assert client.post(_page(RiskSettings, "delete", row.pk), {"post": "yes"}).status_code == 403
    client.post(_page(RiskSettings, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert RiskSettings.objects.filter(scope="GLOBAL").exists()


def _limits(**changes) -> dict:
    return {"clamp_mode": "REJECT", "allow_short_selling": "unknown", "symbol_allow_list": "", "symbol_deny_list": "", **changes}


def _as_it_is(row: RiskSettings, **changes) -> dict[str, object]:
    """The form of a row as a browser would send it back, with these changes."""
    figures = {name: value for name in (*row.FIGURES, *row.WORDS) if (value := getattr(row, name)) is not None}
    return _limits(**{**figures, "allow_short_selling": "false", **changes})


def test_it_saves_global_limits_with_an_event_that_shows_old_and_new(boss):
    row = RiskSettings.objects.get(scope="GLOBAL")
    times = {"no_trade_windows": "12:00-13:00 defer", "entry_cutoff": "mis 15:00\nMCX:MIS 23:00"}
    data = _as_it_is(row, max_quantity_per_order="250", symbol_deny_list="nse:xyz, NSE:ABC", **times)
    assert browser(boss).post(_page(RiskSettings, "change", row.pk), data).status_code == 302
    row.refresh_from_db()
    assert (row.max_quantity_per_order, row.symbol_deny_list) == (250, ["NSE:XYZ", "NSE:ABC"])
    assert (row.no_trade_windows, row.entry_cutoff) == (["12:00-13:00 DEFER"], {"MIS": "15:00", "MCX:MIS": "23:00"})
    event = SystemEvent.objects.get(code="LIMITS_CHANGED")
    assert event.data["max_quantity_per_order"] == ["500", "250"]


def test_it_shows_before_saving_what_limits_would_have_changed(boss):
    desk = make_desk("dora")
    order = desk.filled("auto")
    row = RiskSettings.objects.get(scope="GLOBAL")
    data, client = _as_it_is(row, max_quantity_per_order="4"), browser(boss)
    page = client.post(f"/admin/risk/risksettings/{row.pk}/effect/", data)
    said = page.content.decode()
    assert "<b>1</b> of 1 decisions" in said and ">passed 10<" in said and ">rejected<" in said and f'href="/orders/{order.pk}"' in said
    row.refresh_from_db()
    assert row.max_quantity_per_order == 500
    kept = dict(page.context["kept"])
    assert client.post(_page(RiskSettings, "change", row.pk), {**data, **kept}).status_code == 302
    row.refresh_from_db()
    assert row.max_quantity_per_order == 4


@pytest.mark.parametrize("model", [MarketHours, MarketSession])
def test_it_gives_an_example_beside_every_field_of_the_calendar(boss, model):
    form = browser(boss).get(_page(model, "add")).context["adminform"].form
    assert [name for name, field in form.fields.items() if "Example: " not in field.help_text and "NSE, BSE" not in field.help_text] == []


def test_it_writes_times_in_24_hours_and_figures_without_empty_decimals(boss):
    row, client = RiskSettings.objects.get(scope="GLOBAL"), browser(boss)
    for value in ("90000", "80000.5"):
        client.post(_page(RiskSettings, "change", row.pk), _as_it_is(row, max_order_value=value))
    assert "90000 &rarr; 80000.5<br>" in client.get(_page(RiskSettings, "history", row.pk)).content.decode()
    MarketHours.objects.update_or_create(exchange="NSE", defaults={"opens": "09:15", "closes": "15:30"})
    hours = client.get(reverse("admin:risk_markethours_changelist")).content.decode()
    assert ">15:30<" in hours and "p.m." not in hours


def test_it_shows_the_effect_of_a_milder_limit_without_the_password_and_asks_for_it_to_save(boss, settings):
    settings.ALLOW_LIVE = True
    row, client = RiskSettings.objects.get(scope="GLOBAL"), browser(boss)
    page = client.post(f"/admin/risk/risksettings/{row.pk}/effect/", _as_it_is(row, max_order_value="900000", password="a-secret-typed-early"))
    said = page.content.decode()
    assert "With max order value 900000 instead of 100000" in said and 'type="password" name="password"' in said
    assert "a-secret-typed-early" not in said
    assert client.post(_page(RiskSettings, "change", row.pk), dict(page.context["kept"])).status_code == 200  # asked for again
    row.refresh_from_db()
    assert row.max_order_value == 100000


def test_it_shows_the_form_again_when_the_limits_cannot_be_saved(boss):
    row = RiskSettings.objects.get(scope="GLOBAL")
    page = browser(boss).post(f"/admin/risk/risksettings/{row.pk}/effect/", _as_it_is(row, max_order_value=""))
    assert "max_order_value" in page.context["adminform"].form.errors


def test_it_refuses_an_empty_global_limit_unless_that_is_meant(boss):
    row, client = RiskSettings.objects.get(scope="GLOBAL"), browser(boss)
    data = _as_it_is(row, max_order_value="")
    page = client.post(_page(RiskSettings, "change", row.pk), data)
    assert "max_order_value" in page.context["adminform"].form.errors
    assert client.post(_page(RiskSettings, "change", row.pk), {**data, "unlimited": ["max_order_value"]}).status_code == 302
    row.refresh_from_db()
    assert (row.max_order_value, row.unlimited) == (None, ["max_order_value"])


def test_it_makes_account_limits_for_ones_own_account_only(asha, ravi):
    RiskSettings.objects.filter(scope="ACCOUNT").delete()
    client = browser(asha)
    own, foreign = BrokerAccount.objects.get(owner=asha), BrokerAccount.objects.get(owner=ravi)
    client.post(_page(RiskSettings, "add"), _limits(account=foreign.pk, max_order_value="1"))
    assert not RiskSettings.objects.filter(scope="ACCOUNT").exists()
    client.post(_page(RiskSettings, "add"), _limits(account=own.pk, max_order_value="20000"))
    row = RiskSettings.objects.get(scope="ACCOUNT")
    assert (row.account, row.owner, row.max_order_value) == (own, asha, 20000)


def test_it_gives_limits_an_admin_makes_to_the_owner_of_the_account(asha, boss):
    RiskSettings.objects.filter(scope="ACCOUNT").delete()
    browser(boss).post(_page(RiskSettings, "add"), _limits(account=BrokerAccount.objects.get(owner=asha).pk, max_order_value="1"))
    assert RiskSettings.objects.get(scope="ACCOUNT").owner == asha


def test_it_makes_a_strategys_limits_from_its_page(asha):
    row, client = Strategy.objects.get(owner=asha, name="manual"), browser(asha)
    assert client.get(_page(Strategy, "limits", row.pk)).status_code == 200
    answer = client.post(_page(Strategy, "limits", row.pk))
    row.refresh_from_db()
    assert answer.url == _page(RiskSettings, "change", row.limits_id)
    client.post(answer.url, _limits(max_quantity_per_order="40", clamp_mode="CLAMP"))
    row.limits.refresh_from_db()
    assert (row.limits.max_quantity_per_order, row.limits.clamp_mode) == (40, "CLAMP")


def test_it_deletes_ones_own_account_limits_and_says_so(asha):
    row = RiskSettings.objects.get(owner=asha, scope="ACCOUNT")
    assert browser(asha).post(_page(RiskSettings, "delete", row.pk), {"post": "yes"}).status_code == 302
    assert not RiskSettings.objects.filter(pk=row.pk).exists()
    assert SystemEvent.objects.get(code="LIMITS_DELETED").owner == asha


# ---------------------------------------------------------------------------- strategies
def _fields_of(row: Strategy, **changes) -> dict:
    data = {
        "name": row.name, "description": "", "enabled": "on", "mode": row.mode, "account": row.account_id, "symbol": "", "default_exchange": "NSE",
        "timeframe": "", "default_product": "MIS", "product_from_signal": "on", "default_order_type": "MARKET", "sizing": "FROM_SIGNAL",
        "dedupe_scope": "BAR", "on_drift": "WARN", "after_hours": "OFF",
    }  # fmt: skip
    return {**data, **changes}


def test_it_makes_a_strategy_of_the_person_who_asks(asha):
    account = BrokerAccount.objects.get(owner=asha)
    sample = Strategy(name="ORB", mode="AUTO", account=account)
    assert browser(asha).post(_page(Strategy, "add"), _fields_of(sample)).status_code == 302
    assert Strategy.objects.get(name="ORB").owner == asha


def test_it_offers_slippage_and_what_happens_after_hours(asha):
    page = browser(asha).get("/admin/trading/strategy/add/").content.decode()
    assert 'name="max_slippage_pct"' in page and 'name="after_hours"' in page


def test_it_sends_no_strategys_orders_to_a_foreign_account(asha, ravi, boss):
    row, foreign = Strategy.objects.get(owner=asha, name="manual"), BrokerAccount.objects.get(owner=ravi)
    for user in (asha, boss):
        page = browser(user).post(_page(Strategy, "change", row.pk), _fields_of(row, account=foreign.pk))
        assert "account" in page.context["adminform"].form.errors


def test_it_says_that_a_name_is_taken(asha):
    row = Strategy.objects.get(owner=asha, name="manual")
    page = browser(asha).post(_page(Strategy, "change", row.pk), _fields_of(row, name="auto"))
    assert page.context["adminform"].form.errors["name"] == ["There is already a strategy called auto. Choose another name."]


def test_it_warns_that_alerts_with_the_old_name_are_refused(asha):
    row, client = Strategy.objects.get(owner=asha, name="auto"), browser(asha)
    page = client.post(_page(Strategy, "change", row.pk), _fields_of(row, name="auto-2"), follow=True)
    assert "Alerts that still say auto are refused now" in page.content.decode()


def _reaches(strategy: Strategy, key: str) -> bool:
    try:
        return ingest.authenticate({"secret": key}, None).strategy == strategy
    except AppError:
        return False


def _secret_on(page) -> str:
    return re.search(r'id="secret"[^>]*value="([^"]{43})"', page.content.decode()).group(1)


def test_it_shows_a_new_secret_exactly_once_and_ready_to_paste(asha):
    row, client = Strategy.objects.get(owner=asha, name="manual"), browser(asha)
    shown = client.post(_page(Strategy, "secret", row.pk), {"stamp": ""})
    key = _secret_on(shown)
    text = shown.content.decode()
    assert f"http://127.0.0.1:8000/webhook/tv/{key}" in text
    assert f"&quot;secret&quot;: &quot;{key}&quot;" in text
    assert _reaches(row, key)
    later = [_page(Strategy, page, row.pk) for page in ("secret", "change", "history")]
    for url in [*later, _page(SystemEvent, "changelist")]:
        assert key not in client.get(url).content.decode()


def test_it_makes_no_second_secret_when_the_page_is_reloaded(asha):
    row, client = Strategy.objects.get(owner=asha, name="manual"), browser(asha)
    key = _secret_on(client.post(_page(Strategy, "secret", row.pk), {"stamp": ""}))
    again = client.post(_page(Strategy, "secret", row.pk), {"stamp": ""}, follow=True)
    assert "A secret was made meanwhile" in again.content.decode()
    assert _reaches(row, key)


def test_it_stops_the_old_secret_at_once_when_it_leaked(asha):
    row, client = Strategy.objects.get(owner=asha, name="auto"), browser(asha)
    leaked = strategies.issue_secret(row, "asha")
    client.post(_page(Strategy, "secret", row.pk), {"stamp": row.secret_made_at.isoformat(), "leaked": "1"})
    assert not _reaches(row, leaked)


def test_it_asks_for_one_strategy_at_a_time(asha):
    client, ids = browser(asha), list(Strategy.objects.filter(owner=asha).values_list("pk", flat=True))
    one = client.post(_page(Strategy, "changelist"), {"action": "new_secret", "_selected_action": ids[:1]})
    assert one.url == _page(Strategy, "secret", ids[0])
    both = client.post(_page(Strategy, "changelist"), {"action": "new_secret", "_selected_action": ids}, follow=True)
    assert "Choose exactly one strategy" in both.content.decode()


def test_it_archives_instead_of_deleting(asha):
    row, client = Strategy.objects.get(owner=asha, name="auto"), browser(asha)
    assert client.post(_page(Strategy, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert client.get(_page(Strategy, "archive", row.pk)).status_code == 200
    client.post(_page(Strategy, "archive", row.pk), {"confirmed": "yes"})
    row.refresh_from_db()
    assert row.archived_at is not None
    assert row.pk not in _rows(client, Strategy)


def test_it_archives_several_only_after_asking(asha):
    client, ids = browser(asha), list(Strategy.objects.filter(owner=asha).values_list("pk", flat=True))
    data = {"action": "delete_strategies", "_selected_action": ids}
    assert client.post(_page(Strategy, "changelist"), data).status_code == 200
    assert Strategy.objects.standing().filter(owner=asha).count() == 2
    client.post(_page(Strategy, "changelist"), {**data, "confirmed": "yes"})
    assert not Strategy.objects.standing().filter(owner=asha).exists()


# ---------------------------------------------------------------------------- prices, tokens, desk, people
def test_it_takes_a_typed_price_as_of_now(boss):
    row = Instrument.objects.create(exchange="NSE", tradingsymbol="SBIN")
    Quote.objects.create(instrument=row, ltp=1, source="ALERT", at=clock.now() - timedelta(days=1))
    data = {"ltp": "812.35", "bid": "", "ask": "", "bid_qty": "", "ask_qty": "", "volume": ""}
    browser(boss).post(_page(Quote, "change", row.quote.pk), data)
    quote = Quote.objects.get(instrument=row)
    assert (quote.ltp, quote.source) == (Decimal("812.35"), "ADMIN")
    assert clock.now() - quote.at < timedelta(seconds=10)


def test_it_lets_an_admin_add_an_instrument(boss):
    data = {"exchange": "NSE", "tradingsymbol": "TCS", "kind": "EQ", "active": "on", "tick": "0.05", "lot": "1", "multiplier": "1",
            "as_of_0": "2026-11-20", "as_of_1": "09:00:00"}  # fmt: skip
    assert browser(boss).post(_page(Instrument, "add"), data).status_code == 302
    assert Instrument.objects.get(tradingsymbol="TCS").key == "NSE:TCS"


def test_it_revokes_ones_own_token(asha, ravi):
    client, tokens = browser(asha), list(ApiToken.objects.values_list("pk", flat=True))
    client.post(_page(ApiToken, "changelist"), {"action": "revoke", "_selected_action": tokens})
    assert ApiToken.objects.get(owner=asha).revoked_at is not None
    assert ApiToken.objects.get(owner=ravi).revoked_at is None


def test_it_keeps_one_row_of_desk_settings_with_its_history(boss):
    client = browser(boss)
    url = client.get(_page(DeskSettings, "changelist")).url
    form = client.get(url).context["adminform"].form
    answer = client.post(url, {**form.initial, "secret_grace_h": "48"})
    assert answer.status_code == 302
    row = DeskSettings.objects.get()
    assert (row.secret_grace_h, row.history.first().history_user) == (48, boss)


def test_it_refuses_a_setting_out_of_range(boss):
    client = browser(boss)
    url = client.get(_page(DeskSettings, "changelist")).url
    form = client.get(url).context["adminform"].form
    page = client.post(url, {**form.initial, "lease_s": "1"})
    assert "lease_s" in page.context["adminform"].form.errors


def test_it_makes_a_person_with_one_role(boss):
    word = "a-long-Passw0rd"
    data = {"username": "meera", "email": "", "usable_password": "true", "password1": word, "password2": word, "role": "viewer"}
    assert browser(boss).post(_page(User, "add"), data).status_code == 302
    meera = User.objects.get(username="meera")
    assert (roles.role_of(meera), meera.is_staff, meera.is_superuser) == ("viewer", True, False)


@pytest.mark.parametrize("change", [{"role": "trader"}, {"role": "admin", "is_active": ""}])
def test_it_keeps_the_last_admin(boss, change):
    data = {"username": "boss", "email": "", "first_name": "", "last_name": "", "is_active": "on", **change}
    browser(boss).post(_page(User, "change", boss.pk), {k: v for k, v in data.items() if v or k != "is_active"})
    boss.refresh_from_db()
    assert boss.is_superuser and boss.is_active


def test_it_deletes_nobody(boss, asha):
    assert browser(boss).post(_page(User, "delete", asha.pk), {"post": "yes"}).status_code == 403


# ---------------------------------------------------------------------------- fast with a long history
@pytest.mark.parametrize("model", [Order, Alert, Decision, SystemEvent], ids=lambda m: m.__name__)
def test_it_counts_no_long_table(model, asha, boss):
    for user in (asha, boss):
        client = browser(user)
        with CaptureQueriesContext(connection) as seen:
            client.get(_page(model, "changelist"))
        counts = [q["sql"] for q in seen if "COUNT(" in q["sql"] and model._meta.db_table in q["sql"]]
        assert [sql for sql in counts if "'WAITING'" not in sql] == []  # the number in the header comes from a short index


def test_it_asks_the_same_number_of_questions_for_one_order_as_for_many(boss):
    desk, client = make_desk("meera"), browser(boss)

    def questions() -> int:
        with CaptureQueriesContext(connection) as seen:
            client.get(_page(Order, "changelist"))
        return len(seen)

    desk.order("manual")
    client.get(_page(Order, "changelist"))
    few = questions()
    for _ in range(5):
        desk.order("manual")
    assert questions() == few


def test_it_shows_numbers_as_people_write_them(boss):
    client, row = browser(boss), RiskSettings.objects.get(scope="GLOBAL")
    form = client.get(_page(RiskSettings, "change", row.pk)).content.decode()
    assert 'name="max_order_value" value="100000"' in form
    assert "00000000" not in form + client.get(_page(RiskSettings, "changelist")).content.decode()


def test_it_shows_an_orders_numbers_plainly_too(asha):
    order = Order.objects.get(owner=asha)
    page = browser(asha).get(_page(Order, "change", order.pk)).content.decode()
    assert page.count('<div class="readonly">10</div>') == 3  # asked, sent, filled
    assert "<p>10</p>" in page  # the fill


def test_it_opens_the_desk_settings_before_anybody_saved_them(boss):
    assert browser(boss).get(_page(DeskSettings, "change", 1)).status_code == 200


def test_it_shows_who_changed_what(boss):
    client = browser(boss)
    url = client.get(_page(DeskSettings, "changelist")).url
    client.post(url, {**client.get(url).context["adminform"].form.initial, "secret_grace_h": "48"})
    page = client.get(_page(DeskSettings, "history", 1)).content.decode()
    assert "boss" in page and "24 &rarr; 48" in page


def test_it_finds_an_order_by_its_tag(asha):
    order = Order.objects.get(owner=asha)
    page = browser(asha).get(_page(Order, "changelist"), {"q": order.tag})
    assert [row.pk for row in page.context["cl"].result_list] == [order.pk]


def test_it_pages_through_a_capped_list():
    rows = Strategy.objects.order_by("-id")
    user = person("meera")
    for number in range(5):
        strategy_of(user, f"s{number}")
    pages = CappedPaginator(rows, 2)
    assert (pages.count, pages.num_pages, len(pages.page(3).object_list)) == (5, 3, 1)


# ---------------------------------------------------------------------------- the door
def test_it_signs_nobody_in_by_a_door_of_its_own(client, boss):
    answer = client.post("/admin/login/?next=/admin/trading/", {"username": "boss", "password": "a-long-Passw0rd"})
    assert answer.url == "/login/?next=/admin/trading/"
    assert client.get("/admin/").status_code == 302


def test_it_tells_somebody_without_a_role_instead_of_sending_them_round(client):
    client.force_login(User.objects.create_user("nobody"))
    assert client.get("/admin/", follow=True).status_code == 403
