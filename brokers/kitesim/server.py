"""The HTTP side: reads a request, lets its fault act on it, writes the answer. It listens on 127.0.0.1 and nowhere else."""

import logging
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from brokers.kitesim import answers, control, faults, kite
from brokers.kitesim.answers import Answer, Refused, refusal
from brokers.kitesim.postback import Sender
from brokers.kitesim.request import Request
from brokers.kitesim.state import Simulator
from brokers.kitesim.ticker import Socket, accept_key
from tvapp.lib.log import safe

logger = logging.getLogger("brokers.kitesim")
HOST, PORT = "127.0.0.1", 8765
LARGEST_BODY = 1 << 20
REDIRECT = "http://127.0.0.1:8000/brokers/zerodha/callback"


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, as Kite does; answers are written in one piece."""

    protocol_version = "HTTP/1.1"
    server_version = "KiteSimulator"
    sys_version = ""
    wbufsize = 65536
    disable_nagle_algorithm = True
    server: "KiteServer"

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self) -> None:
        try:
            request = self._read()
        except ValueError:
            self.close_connection = True
            self._write(refusal(Refused("Invalid request.")))
            return
        if request.path.startswith("/_sim"):
            self._write(self.server.control(request))
        elif request.headers.get("upgrade", "").lower() == "websocket":
            self._socket(request)
        else:
            self._write(self.server.kite(request))

    def _read(self) -> Request:
        """Raises ValueError for a body that is not as long as announced, or not announced."""
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= LARGEST_BODY or self.headers.get("Transfer-Encoding"):
            raise ValueError("length")
        parts, body = urlsplit(self.path), self.rfile.read(length)
        if len(body) < length:
            raise ValueError("the client went away in the middle of its request: nothing of it is done")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, parts.path, parse_qs(parts.query, keep_blank_values=True), body, headers, self.client_address[0])

    def _write(self, answer: Answer | None) -> None:
        if answer is None:
            self.close_connection = True
            return
        try:
            self.send_response(answer.status)
            for name, value in {"Content-Type": answer.content_type, "X-Simulator": "1", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True  # the client did not wait for its answer

    def _socket(self, request: Request) -> None:
        """Changes over to the WebSocket, for whoever holds a session."""
        self.close_connection = True
        refused = self.server.may_listen(request)
        if refused is not None:
            self._write(refused)
            return
        client = Socket(self.server.sim, request.first("api_key"), self.connection)
        try:
            self._switch(request.headers.get("sec-websocket-key", ""))
        except OSError:
            client.leave()
            return
        self.server.listen(request, client, self.rfile)

    def _switch(self, key: str) -> None:
        self.send_response(101, "Switching Protocols")
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("X-Simulator", "1"), ("Sec-WebSocket-Accept", accept_key(key))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header tells the simulator's time, as a broker's tells the broker's."""
        return format_datetime(self.server.sim.clock.now(), usegmt=True)

    def log_message(self, format: str, *args: object) -> None:
        logger.debug("%s", safe(format % args))


class KiteServer(ThreadingHTTPServer):
    """One simulator behind one port. `port` 0 takes a free one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, sim: Simulator, port: int = 0):
        self.sim = sim
        self._woken = threading.Event()
        self._timers: list[threading.Timer] = []
        self._sockets: list[Socket] = []
        super().__init__((HOST, port), Handler)
        self._postbacks = Sender(sim)

    def server_bind(self) -> None:
        """Without the look-up of the machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        logger.exception("a request could not be answered")

    # ------------------------------------------------------------------ Kite's side
    def kite(self, request: Request) -> Answer | None:
        route, named = kite.find(request.method, request.path)
        api_key, tag = request.names()
        with self.sim.lock:
            request.fault = fault = self.sim.faults.take(route.name, api_key, tag) if route else None
            noted = self._note(request, route.name if route else "", api_key, tag)
        answer = faults.carry_out(fault, lambda: kite.answer(self.sim, route, request, named), self, request.path)
        noted["status"] = answer.status if answer else 0
        return answer

    def _note(self, request: Request, route: str, api_key: str, tag: str) -> dict[str, object]:
        """The request's line in the log; `status` is None until it is answered, 0 when it never is."""
        facts = {"method": request.method, "path": request.path, "route": route, "mode": request.fault.mode if request.fault else "ok"}
        row = {"event": "request", "at": self.sim.clock.now().isoformat(), **facts, "api_key": api_key, "tag": tag or None, "status": None}
        self.sim.log.append(row)
        return row

    def wait(self, seconds: float) -> None:
        """Lets real time pass; a reset or the end cuts it short."""
        self._woken.wait(seconds)

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Does the work after `seconds` of real time, unless there was a reset; at once when there are none."""
        if seconds <= 0:
            work()
            return
        generation = self.sim.generation

        def run() -> None:
            with self.sim.lock:
                if self.sim.generation == generation:
                    work()

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        self._timers = [old for old in self._timers if old.is_alive()]
        timer.start()
        self._timers.append(timer)

    # ------------------------------------------------------------------ the socket
    def may_listen(self, request: Request) -> Answer | None:
        """Why not, or None."""
        with self.sim.lock:
            fault = self.sim.faults.take("ws", request.first("api_key"))
            request.fault = fault
            if fault and fault.mode in faults.INSTEAD:
                return faults.INSTEAD[fault.mode]()
            try:
                account = self.sim.signed_in(request.first("api_key"), request.first("access_token"))
            except Refused as why:
                return refusal(why)
        return refusal(Refused(answers.NOT_PERMITTED, "PermissionException", 403)) if account.plan == "personal" else None

    def listen(self, request: Request, client: Socket, stream: object) -> None:
        self._sockets.append(client)
        fault = request.fault
        if fault and fault.mode == "ws_drop":
            self.later(max(0.001, fault.delay(0)), client.close)
        try:
            client.serve(stream)
        finally:
            self._sockets.remove(client)

    # ------------------------------------------------------------------ the control side
    def control(self, request: Request) -> Answer:
        answer = control.answer(self.sim, request)
        if request.path == "/_sim/reset" and answer.status == 200:
            self._wake()
        return answer

    def _wake(self) -> None:
        """Ends what hangs and what was to come later."""
        woken, self._woken = self._woken, threading.Event()
        woken.set()
        for timer in self._timers:
            timer.cancel()

    def close(self) -> None:
        """Stops listening and lets go of everybody."""
        self.shutdown()
        self.server_close()
        self._wake()
        for client in list(self._sockets):
            client.close()
        self._postbacks.close()


def start(port: int = 0, sim: Simulator | None = None) -> KiteServer:
    """A simulator that serves from a thread of this process; `close()` ends it."""
    server = KiteServer(sim or Simulator(redirect_url=REDIRECT), port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="kitesim", daemon=True).start()
    return server


@contextmanager
def running(port: int = 0, sim: Simulator | None = None) -> Iterator[KiteServer]:
    server = start(port, sim)
    try:
        yield server
    finally:
        server.close()
