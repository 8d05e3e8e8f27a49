"""The order-update socket: against the simulator, against servers with certificates made for the moment, and against silence."""

import contextlib
import datetime
import ipaddress
import json
import logging
import queue
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import serve

from brokers import registry
from brokers.errors import AuthExpired, Unavailable
from brokers.models import BrokerSession
from brokers.zerodha import stream
from brokers.zerodha.stream import KiteStream, Word, is_order, socket_root
from tests.brokers.zerodha.conftest import login

TOKEN = "canary-access-token"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("TVAPP_TIME_SCALE", "0.05")
    monkeypatch.setattr(stream, "LISTEN_S", 0.02)


@pytest.fixture
def heard():
    """What streams told, and the streams, which end with the test."""

    class Heard(queue.Queue):
        streams: list = []

        def tell(self, account_id, word):
            self.put(word)

        def start(self, one: KiteStream) -> KiteStream:
            self.streams.append(one)
            one.start()
            return one

        def words(self, count: int) -> list[Word]:
            return [self.get(timeout=10) for _ in range(count)]

    heard = Heard()
    heard.streams = []
    yield heard
    for one in heard.streams:
        one.stop()
        one.join(5)
        assert not one.is_alive()


def listen(heard, address: str, **more) -> KiteStream:
    return heard.start(KiteStream(1, f"{address}/?api_key=k&access_token={TOKEN}", heard.tell, **more))


@contextlib.contextmanager
def server(serve_link, **more):
    """A WebSocket server on this machine; gives its port and the paths it was asked for."""
    asked = []

    def note(link, request):
        asked.append(request.path)

    with serve(serve_link, "127.0.0.1", 0, process_request=more.pop("process_request", note), **more) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield running.socket.getsockname()[1], asked
        finally:
            running.shutdown()
            thread.join(5)


def quiet(link):
    with contextlib.suppress(Exception):
        link.recv()


# ---------------------------------------------------------------------------- against the simulator
@pytest.mark.django_db
class TestKite:
    def start(self, heard, account) -> KiteStream:
        one = heard.start(registry.stream_for(account, heard.tell))
        assert heard.words(1) == [Word.OPEN]
        return one

    def test_it_tells_of_an_order_that_moved_and_not_of_prices(self, sim, account, adapter, order, heard):
        self.start(heard, account)
        sim.price("NSE:INFY", 1501)
        adapter.place(order(price=1501))
        assert heard.words(1) == [Word.ORDER]

    def test_it_tells_again_after_a_connection_that_broke(self, sim, account, heard):
        sim.fault("ws", "ws_drop", times=3)
        self.start(heard, account)
        assert heard.words(3) == [Word.OPEN] * 3

    def test_it_stops_when_the_token_is_dead(self, sim, account, heard):
        sim.post("expire")
        one = heard.start(registry.stream_for(account, heard.tell))
        assert heard.words(1) == [Word.REFUSED]
        one.join(5)
        assert not one.is_alive() and one.refused

    def test_it_stops_when_the_plan_has_no_stream(self, sim, account, heard):
        sim.post("accounts", plan="personal")
        heard.start(registry.stream_for(account, heard.tell))
        assert heard.words(1) == [Word.REFUSED]

    def test_it_listens_for_each_account_alone(self, sim, account, stranger, order, heard):
        self.start(heard, account)
        stranger.place(order(price=1500))
        registry.adapter_for(account).place(order(price=1500))
        assert heard.words(1) == [Word.ORDER] and heard.empty()

    def test_it_opens_none_without_a_login(self, sim, account, heard):
        BrokerSession.objects.update(state="EXPIRED")
        with pytest.raises(AuthExpired):
            registry.stream_for(account, heard.tell)

    def test_it_opens_none_to_the_broker_for_an_account_of_the_simulator(self, account, heard, settings):
        login_root, settings.KITE_ROOT_URL = settings.KITE_ROOT_URL, settings.KITE_PRODUCTION_ROOT
        with pytest.raises(Unavailable):
            registry.stream_for(account, heard.tell)
        assert login_root != settings.KITE_ROOT_URL

    def test_it_writes_no_token_and_no_address_anywhere(self, sim, account, heard, caplog, capfd):
        token = login(sim, account).access_token
        caplog.set_level(logging.DEBUG)
        logging.getLogger("websockets").setLevel(logging.DEBUG)
        sim.fault("ws", "ws_drop", times=2)
        one = self.start(heard, account)
        heard.words(1)
        sim.fault("ws", "html_502", times=2)
        sim.post("expire")
        BrokerSession.objects.update(state="EXPIRED")
        one.stop()
        one.join(5)
        ours = [record.getMessage() for record in caplog.records if record.name != "brokers.kitesim"]  # the simulator logs what it was sent
        said = "\n".join([*ours, *capfd.readouterr(), repr(one)])
        assert token and token not in said and "access_token" not in said and "simkey" not in said


# ---------------------------------------------------------------------------- TLS
def certificate(tmp_path, name: str = "127.0.0.1"):
    """A self-signed certificate made now, thrown away after: (its file, a server's context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    whose = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "throwaway")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.IPAddress(ipaddress.ip_address(name))] if name[0].isdigit() else [x509.DNSName(name)]
    made = x509.CertificateBuilder().subject_name(whose).issuer_name(whose).public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(hours=1))
    made = made.add_extension(x509.SubjectAlternativeName(names), False).add_extension(x509.BasicConstraints(True, None), True)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public, both = tmp_path / f"{name}.pem", tmp_path / f"{name}.both.pem"
    public.write_bytes(pem)
    both.write_bytes(secret + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return public, context


def test_it_refuses_a_self_signed_server_before_it_sends_the_token(tmp_path, heard, caplog):
    _, context = certificate(tmp_path)
    with server(quiet, ssl=context) as (port, asked):
        one = listen(heard, f"wss://127.0.0.1:{port}")
        assert heard.words(2) == [Word.UNTRUSTED] * 2
        one.stop()
        one.join(5)
    assert asked == [] and "no certificate that is trusted" in caplog.text and TOKEN not in caplog.text


def test_it_refuses_a_trusted_certificate_of_another_host(tmp_path, heard):
    public, context = certificate(tmp_path, "elsewhere.example")
    with server(quiet, ssl=context) as (port, asked):
        listen(heard, f"wss://127.0.0.1:{port}", tls=ssl.create_default_context(cafile=public))
        assert heard.words(1) == [Word.UNTRUSTED]
    assert asked == []


def test_it_opens_to_a_server_whose_certificate_is_trusted(tmp_path, heard):
    public, context = certificate(tmp_path)
    with server(quiet, ssl=context) as (port, asked):
        listen(heard, f"wss://127.0.0.1:{port}", tls=ssl.create_default_context(cafile=public))
        assert heard.words(1) == [Word.OPEN]
        assert asked == [f"/?api_key=k&access_token={TOKEN}"]


def test_it_takes_no_authority_from_the_environment(tmp_path, heard, monkeypatch):
    public, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    with server(quiet, ssl=context) as (port, asked):
        listen(heard, f"wss://127.0.0.1:{port}")
        assert heard.words(1) == [Word.UNTRUSTED] and asked == []


@pytest.mark.parametrize(
    ("root", "address"),
    [
        ("https://api.kite.trade", "wss://ws.kite.trade"), ("https://api.kite.trade/", "wss://ws.kite.trade"),
        ("https://sim.example:8443", "wss://sim.example:8443"), ("http://127.0.0.1:8765", "ws://127.0.0.1:8765"), ("http://localhost:1", "ws://localhost:1"),
    ],
)  # fmt: skip
def test_it_finds_the_socket_beside_the_rest(root, address):
    assert socket_root(root) == address


@pytest.mark.parametrize("root", ["http://api.kite.trade", "http://203.0.113.7:8765", "http://127.0.0.1.example", ""])
def test_it_sends_no_token_in_the_clear_over_a_network(root):
    with pytest.raises(ValueError, match="https"):
        socket_root(root)


# ---------------------------------------------------------------------------- everything else a server may do
def test_it_follows_no_redirect(heard):
    with server(quiet) as (elsewhere, asked):

        def redirect(link, request):
            return Response(307, "Temporary Redirect", Headers({"Location": f"ws://127.0.0.1:{elsewhere}{request.path}", "Content-Length": "0"}))

        with server(quiet, process_request=redirect) as (port, _):
            one = listen(heard, f"ws://127.0.0.1:{port}")
            until(lambda: one._strikes > 1)
        assert asked == [] and heard.empty()


def test_it_takes_no_proxy_from_the_environment(heard, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with server(quiet) as (port, _):
        listen(heard, f"ws://127.0.0.1:{port}")
        assert heard.words(1) == [Word.OPEN]


def test_it_reads_hints_out_of_text_frames_alone(heard):
    frames = [b"\x00", b'{"type": "order"}', "", "no json", "[" * 5000, "[]", '{"type": "message"}', '{"type": "error", "data": "x"}', '{"type": "order"}']

    def talk(link):
        for frame in frames:
            link.send(frame)
        quiet(link)

    with server(talk) as (port, _):
        listen(heard, f"ws://127.0.0.1:{port}")
        assert heard.words(2) == [Word.OPEN, Word.ORDER] and heard.empty()
    assert is_order(json.dumps({"type": "order", "data": {"status": "COMPLETE"}})) and not is_order("null")


def test_it_opens_again_after_a_frame_that_is_too_large(heard):
    def flood(link):
        with contextlib.suppress(Exception):
            link.send("x" * (stream.LARGEST + 1))
            link.recv()

    with server(flood) as (port, _):
        listen(heard, f"ws://127.0.0.1:{port}")
        assert heard.words(2) == [Word.OPEN] * 2


def test_it_opens_again_when_nothing_is_heard_any_more(heard, monkeypatch):
    monkeypatch.setattr(stream, "ALIVE_S", 0.1)
    with server(quiet) as (port, _):
        listen(heard, f"ws://127.0.0.1:{port}")
        assert heard.words(2) == [Word.OPEN] * 2


def test_it_waits_longer_each_time_and_never_over_a_minute(monkeypatch):
    monkeypatch.delenv("TVAPP_TIME_SCALE")
    one = KiteStream(1, "ws://127.0.0.1:1/", lambda *_: None)
    pauses = []
    for strikes in range(14):
        one._strikes = strikes
        pauses.append([one._pause() for _ in range(50)])
    assert all(min(2**n, 60) / 2 <= p <= min(2**n, 60) for n, row in enumerate(pauses) for p in row)
    assert len({round(p, 6) for p in pauses[-1]}) > 40


def test_it_ends_within_a_second_while_nobody_answers(heard):
    one = listen(heard, "ws://127.0.0.1:1")
    until(lambda: one._strikes > 0)
    one.stop()
    one.join(1)
    assert not one.is_alive()


def until(true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
