"""The client: who may talk to what, what of the machine it takes no notice of, and what it keeps to itself."""

import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from brokers import session
from brokers.errors import Ambiguous, AuthExpired, BrokerError, RejectCode, Rejected, Unavailable
from brokers.models import BrokerSession
from brokers.registry import adapter_for
from brokers.zerodha import client
from tests.brokers.zerodha.conftest import login, make_account
from tvapp.lib import clock

pytestmark = pytest.mark.django_db


# ---------------------------------------------------------------------------- who may talk to what
@pytest.mark.parametrize(("environment", "root", "allowed"), [
    ("LIVE", "https://api.kite.trade", True),
    ("LIVE", "http://api.kite.trade", False),
    ("LIVE", "https://api.kite.trade.evil.example", False),
    ("LIVE", "https://proxy.example", False),
    ("SIM", "https://api.kite.trade", False),
    ("SIM", "https://api.kite.trade:443", False),
    ("SIM", "https://kite.zerodha.com", False),
    ("SIM", "http://127.0.0.1:8765", True),
    ("PAPER", "http://127.0.0.1:8765", False),
])  # fmt: skip
@pytest.mark.parametrize("testing", [True, False])
def test_it_lets_an_account_talk_only_to_where_it_belongs(settings, owner, environment, root, allowed, testing):
    settings.TEST_MODE, settings.KITE_ROOT_URL = testing, root
    account = make_account(owner)
    account.environment = environment
    if allowed:
        assert client.checked_root(account) == root
        return
    with pytest.raises(Unavailable) as refused:
        client.checked_root(account)
    assert (refused.value.code, refused.value.sent) == (RejectCode.NOT_PERMITTED, False)


@pytest.mark.parametrize(("testing", "allowed"), [(True, True), (False, False)])
def test_it_lets_a_live_account_talk_to_this_machine_in_tests_alone(settings, owner, testing, allowed):
    settings.TEST_MODE, settings.KITE_ROOT_URL = testing, "http://127.0.0.1:8765/"
    account = make_account(owner)
    account.environment = "LIVE"
    if allowed:
        assert client.checked_root(account) == "http://127.0.0.1:8765"
        return
    with pytest.raises(Unavailable):
        client.checked_root(account)


def test_it_sends_nothing_where_it_must_not(sim, settings, adapter, order):
    settings.KITE_ROOT_URL = settings.KITE_PRODUCTION_ROOT
    for call in (adapter.list_orders, lambda: adapter.place(order()), lambda: adapter.complete_login("x"), lambda: list(adapter.iter_instruments())):
        with pytest.raises(Unavailable):
            call()
    assert sim.requests() == [r for r in sim.requests() if r["route"] == "token"]


def test_it_sends_nothing_without_a_key(sim, settings, owner):
    settings.KITE_API_KEY = ""
    account = make_account(owner, api_key="")
    with pytest.raises(Unavailable, match="API key"):
        adapter_for(account).complete_login("x")


@pytest.mark.parametrize("state", ["NONE", "EXPIRED", "FAILED"])
def test_it_asks_nothing_without_a_session(sim, account, adapter, state):
    before = len(sim.requests())
    BrokerSession.objects.filter(account=account).update(state=state)
    with pytest.raises(AuthExpired) as refused:
        adapter.list_orders()
    assert (refused.value.code, refused.value.sent, len(sim.requests())) == ("NOT_LOGGED_IN", False, before)


def test_it_uses_the_old_session_while_a_new_login_is_completed(account, adapter):
    BrokerSession.objects.filter(account=account).update(state="EXCHANGE")
    assert adapter.list_orders() == ()


def test_it_asks_nothing_with_a_token_no_key_opens(sim, settings, adapter):
    settings.FIELD_KEYS = ["another-key-of-sufficient-length-0123456789"]
    with pytest.raises(AuthExpired) as refused:
        adapter.list_orders()
    assert refused.value.code == "SECRET_UNREADABLE"


# ---------------------------------------------------------------------------- the session
def test_it_completes_a_login(sim, account, adapter):
    made = adapter.complete_login(sim.request_token())
    BrokerSession.objects.filter(account=account).update(access_token=made.token)
    assert made.user_id == "AB1234" and made.token not in repr(made)
    assert made.expires_at.astimezone(clock.IST).hour == 6
    assert timedelta(0) < made.expires_at - made.issued_at <= timedelta(days=1)
    assert adapter.check_session().user_id == "AB1234"


def test_it_takes_a_request_token_once(sim, adapter):
    token = sim.request_token()
    adapter.complete_login(token)
    with pytest.raises(AuthExpired) as refused:
        adapter.complete_login(token)
    assert refused.value.code == "LOGIN_TOKEN_USED"


def test_it_knows_a_wrong_secret(sim, account, adapter):
    account.credentials = "another"
    with pytest.raises(AuthExpired) as refused:
        adapter.complete_login(sim.request_token())
    assert refused.value.code == "LOGIN_BAD_SECRET"


def test_it_refuses_another_user(sim, account, adapter):
    account.client_id = "ZZ9999"
    for call, code in ((lambda: adapter.complete_login(sim.request_token()), "LOGIN_WRONG_USER"), (adapter.check_session, "WRONG_USER")):
        with pytest.raises(AuthExpired) as refused:
            call()
        assert refused.value.code == code and "ZZ9999" in refused.value.message


@pytest.mark.parametrize("more", ['', ', "login_time": null', ', "login_time": 5', ', "login_time": "2026-01-05 09:00:00"'])
def test_it_survives_a_login_whose_time_is_missing_or_odd(sim, adapter, more):
    sim.fault("token", "malformed", body=f'{{"status":"success","data":{{"user_id":"AB1234","access_token":"tok123"{more}}}}}')
    assert adapter.complete_login(sim.request_token()).token == "tok123"


@pytest.mark.parametrize(("mode", "more"), [
    ("drop_after", {}), ("5xx_before", {}), ("html_502", {}), ("malformed", {}), ("malformed", {"body": '{"status":"success","data":{"user_id":"AB1234"}}'}),
    ("malformed", {"body": '{"status":"success","data":{"access_token":"t"}}'}), ("malformed", {"body": '{"status":"success","data":null}'}),
])  # fmt: skip
def test_it_calls_a_login_that_broke_off_no_login(sim, adapter, mode, more):
    sim.fault("token", mode, **more)
    with pytest.raises(Unavailable) as failed:
        adapter.complete_login(sim.request_token())
    assert failed.value.sent is not False


def test_it_ends_a_session_and_one_that_is_dead_already(sim, adapter):
    adapter.end_session()
    assert sim.state.account("simkey").sessions == {}
    adapter.end_session()


# ---------------------------------------------------------------------------- what never arrived
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("root", ["http://127.0.0.1:{port}", "http://no-such-host.invalid:{port}", "http://[::1]:{port}"])
def test_it_knows_that_nothing_left_when_nobody_was_there(adapter, order, settings, root):
    settings.KITE_ROOT_URL = root.format(port=closed_port())
    with pytest.raises(Unavailable) as failed:
        adapter.place(order())
    assert (failed.value.code, failed.value.sent) == ("NO_CONNECTION", False)


class Listener(threading.Thread):
    """Answers every connection in its own way and keeps what it received."""

    def __init__(self, answer, tls=None):
        super().__init__(daemon=True)
        self.answer, self.tls, self.got = answer, tls, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.start()

    @property
    def port(self) -> int:
        return self.server.getsockname()[1]

    def run(self):
        while True:
            try:
                talk, _ = self.server.accept()
            except OSError:
                return
            try:
                talk = self.tls.wrap_socket(talk, server_side=True) if self.tls else talk
                self.got.append(talk.recv(65536))
                talk.sendall(self.answer)
            except OSError:
                self.got.append(b"")
            finally:
                talk.close()

    def close(self):
        self.server.close()


@pytest.fixture
def listen():
    made = []

    def make(*args):
        made.append(Listener(*args))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


def self_signed(folder) -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, clock.now() - timedelta(days=1), clock.now() + timedelta(days=1))
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_it_sends_nothing_to_a_server_with_a_certificate_of_its_own(adapter, order, settings, tmp_path, listen):
    server = listen(b"", self_signed(tmp_path))
    settings.KITE_ROOT_URL = f"https://127.0.0.1:{server.port}"
    with pytest.raises(Unavailable) as failed:
        adapter.place(order())
    assert (failed.value.code, failed.value.sent) == ("TLS_CERT", False)
    assert not any(server.got)


def test_it_is_unsure_when_the_encryption_breaks(adapter, order, settings, listen):
    settings.KITE_ROOT_URL = f"https://127.0.0.1:{listen(b'this is no TLS').port}"
    with pytest.raises(Ambiguous) as doubt:
        adapter.place(order())
    assert doubt.value.code == "TLS_BROKEN"


@pytest.mark.parametrize(("head", "kind"), [
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"status\":", Ambiguous),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Ambiguous),
    (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n", Ambiguous),
    (b"HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok", Ambiguous),
    (b"HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 52\r\n\r\n{\"status\":\"success\",\"data\":{\"order_id\":\"2601050001\"}}", Ambiguous),
    (b"no HTTP at all\r\n\r\n", Ambiguous),
    (b"", Ambiguous),
    (b"HTTP/1.1 429 Slow\r\nContent-Type: text/html\r\nRetry-After: 9\r\nContent-Length: 4\r\n\r\n<b/>", BrokerError),
])  # fmt: skip
def test_it_is_unsure_about_answers_no_broker_gives(adapter, order, settings, listen, head, kind):
    server = listen(head)
    settings.KITE_ROOT_URL = f"http://127.0.0.1:{server.port}"
    with pytest.raises(kind) as doubt:
        adapter.place(order())
    assert len(server.got) == 1
    assert kind is Ambiguous or (doubt.value.code, doubt.value.retry_after) == ("TOO_MANY_REQUESTS", 9)


# ---------------------------------------------------------------------------- the machine it runs on
def test_it_takes_no_notice_of_proxies_and_netrc(sim, adapter, order, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    adapter.place(order())
    assert len(sim.accepted()) == 1


def test_it_calls_from_the_address_of_the_account(sim, account, order, unlimited):
    account.source_ip = "127.0.0.3"
    sim.post("accounts", api_key="simkey", ip_allowed=False)
    with pytest.raises(Rejected) as refused:
        adapter_for(account).place(order())
    assert (refused.value.code, refused.value.raw["ip"]) == (RejectCode.IP_NOT_ALLOWED, "127.0.0.3")


def test_it_uses_one_connection_again(sim, adapter):
    for _ in range(5):
        adapter.list_orders()
    assert client._clients()[adapter.account.pk][1] is adapter._client()
    assert [pool.num_connections for pool in pools(adapter, sim.url)] == [1]


def pools(adapter, url: str) -> list:
    kept = adapter._client().kite.reqsession.get_adapter(url).poolmanager.pools
    return [kept[key] for key in kept.keys()]  # noqa: SIM118 - it has no iterator


def test_it_sends_nothing_into_a_connection_that_was_long_idle(sim, adapter, order, monkeypatch):
    adapter.list_orders()
    [before] = pools(adapter, sim.url)
    adapter.list_orders()
    assert pools(adapter, sim.url) == [before]
    monkeypatch.setattr(client, "IDLE_S", -1)
    adapter.place(order())
    assert pools(adapter, sim.url) != [before] and len(sim.accepted()) == 1


def test_it_gives_every_thread_a_client_of_its_own(adapter):
    found = []
    mine = adapter._client()
    token = session.access_token_of(adapter.account)
    thread = threading.Thread(target=lambda: found.append(client.client_for(adapter.account, token)))
    thread.start()
    thread.join()
    assert found[0] is not mine


def test_it_leaves_no_connection_of_fifty_accounts_open(sim, owner, unlimited):
    before = len(os.listdir("/proc/self/fd"))
    for n in range(50):
        account = make_account(owner, f"a{n}", f"key{n}")
        login(sim, account)
        adapter_for(account).list_orders()
    assert len(client._clients()) <= client.KEPT_CLIENTS
    end = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) - before > 3 * client.KEPT_CLIENTS and time.monotonic() < end:
        time.sleep(0.05)  # the simulator's ends, in this process too, close when its threads hear of it
    assert len(os.listdir("/proc/self/fd")) - before <= 3 * client.KEPT_CLIENTS


def run(code: str) -> str:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tvapp.settings"}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


BOOT = "import django, sys; django.setup(); "
LOADED = "print(sorted({'kiteconnect', 'twisted', 'autobahn'} & set(sys.modules)))"


def test_it_loads_no_sdk_for_the_registry_or_what_it_can_do():
    assert run(BOOT + "from brokers import registry; registry.caps_for('zerodha'); " + LOADED) == "[]"


def test_it_loads_the_sdk_without_its_ticker():
    assert run(BOOT + "from brokers.zerodha.client import sdk; sdk(); " + LOADED) == "['kiteconnect']"


# ---------------------------------------------------------------------------- what it keeps to itself
def test_it_lets_no_secret_into_logs_errors_and_bodies(sim, account, order, unlimited, caplog, settings):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.DEBUG)
    token, request_token = BrokerSession.objects.get(account=account).access_token, sim.request_token()
    adapter, told = adapter_for(account), []
    sim.fault("place", "malformed", body=f'{{"echo":"{token}","secret":"simsecret"}}')
    calls = [lambda: adapter.place(order()), lambda: adapter.complete_login(request_token), lambda: adapter.complete_login(request_token), adapter.end_session]
    for broken in (False, True):
        settings.KITE_ROOT_URL = f"http://127.0.0.1:{closed_port()}" if broken else sim.url
        for call in [*calls, adapter.list_orders]:
            try:
                told.append(repr(call()))
            except BrokerError as exc:
                told += [repr(exc), str(exc.raw), repr(exc.__context__), repr(exc.__cause__)]
    text = " ".join([*told, *(record.getMessage() + str(record.args) for record in caplog.records if record.name != "brokers.kitesim")])
    assert not [name for name in (token, request_token, "simsecret") if name in text]
    assert "session/token" in text
