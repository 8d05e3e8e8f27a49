"""A trader, a Zerodha account and a running Kite simulator; bells are answered as the clusters would, by hand."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

import pytest
import requests
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from brokers.kitesim import server
from brokers.kitesim.state import Simulator
from brokers.models import BrokerAccount, BrokerSession, RateBucket
from tests.brokers.kitesim.conftest import Bench
from tests.factories import InstrumentFactory
from tests.trading.desk import Desk, make_desk
from trading.services import connect
from trading.tasks import exchange_login


@dataclass
class Login:
    """The words these tests need."""

    bench: Bench
    desk: Desk
    account: BrokerAccount

    @property
    def row(self) -> BrokerSession:
        return BrokerSession.objects.get(account=self.account)

    @property
    def state(self) -> tuple[str, str]:
        """The session's state and the account's."""
        return self.row.state, BrokerAccount.objects.get(pk=self.account.pk).state

    def request_token(self, api_key: str = "simkey") -> str:
        return self.bench.post("login", api_key=api_key)["request_token"]

    def log_in(self) -> str:
        connect.take_token(self.account, self.request_token())
        return exchange_login(self.account.pk)

    def fail(self, **changes) -> tuple[str, str]:
        """Logs in with a changed account; code and sentence of what went wrong."""
        BrokerAccount.objects.filter(pk=self.account.pk).update(**changes)
        self.account.refresh_from_db()
        assert self.log_in() == "failed"
        return self.row.error_code, self.row.error

    def approve(self, login_url: str) -> str:
        """What a person does on the login page; the address the browser is led to."""
        page = requests.get(login_url, timeout=5)
        assert "Kite simulator" in page.text
        query = dict(parse_qsl(login_url.partition("?")[2]))
        form = {"api_key": query["api_key"], "redirect_params": query["redirect_params"], "action": "approve"}
        answer = requests.post(login_url.partition("?")[0], data=form, allow_redirects=False, timeout=5)
        return answer.headers["Location"]

    def alive_at_broker(self, token: str) -> bool:
        headers = {"Authorization": f"token simkey:{token}", "X-Kite-Version": "3"}
        return requests.get(f"{self.bench.url}/user/profile", headers=headers, timeout=5).status_code == 200


def work_off() -> list[str]:
    """Each bell that rang, answered; the words the tasks gave."""
    said = []
    while bell := OrmQ.objects.order_by("id").first():
        task = bell.task
        bell.delete()
        RateBucket.objects.all().delete()  # tests are quicker than a broker allows
        said.append(import_string(task["func"])(*task["args"], **task["kwargs"]))
    return said


@pytest.fixture
def bench(settings):
    with server.running(sim=Simulator(redirect_url="http://127.0.0.1:8000/brokers/zerodha/callback")) as running:
        settings.KITE_ROOT_URL = running.url
        settings.KITE_LOGIN_URL = f"{running.url}/connect/login"
        yield Bench(running)


@pytest.fixture
def login(db, bench) -> Login:
    desk = make_desk("ravi")
    InstrumentFactory()
    account = BrokerAccount.objects.create(owner=desk.owner, name="zerodha", broker="zerodha", api_key="simkey", credentials="simsecret")
    return Login(bench, desk, account)
