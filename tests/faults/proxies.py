"""What stands between sluice and its sink or its APIs, and makes trouble when it is told to."""
import http.client
import http.server
import socket
import threading
import urllib.parse
from typing import NamedTuple

LEDGER = b'INSERT INTO "marketing"."_sluice_loads"'  # what a slice sends before its COMMIT


class TcpProxy:
    """Passes bytes on to a server on loopback, without TLS, until a client sends the word that was armed. Then:
    stall          from that word on, nothing of this connection moves in either direction, until `release`
    stall_inside   the same, in the middle of what the client sends next
    hold_reply     the word arrives at the server, whose answer is not passed on until `release`
    lose_reply     the word arrives at the server, and the client is cut off without the answer
    cut            both are cut off, and the word does not arrive
    `replaced` is what a client says, and what arrives instead of it, as long: such as a time limit that a test cannot
    wait for."""

    def __init__(self, server_port, replaced=None, address="127.0.0.1"):
        self._server_port, self._replaced = server_port, replaced or {}
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        self._armed = None
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.struck = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, trouble, word, after=b""):
        """Once. The word counts on a connection that has sent `after` before it."""
        self.struck.clear()
        self._released.clear()
        self._armed = trouble, word, after

    def release(self):
        self._released.set()

    def wait(self, program):
        """Until the trouble is made. AssertionError where the program ends without it."""
        while not self.struck.wait(0.02):
            if program.process.poll() is not None:
                raise AssertionError(f"it ended before the fault: {program.text()[-3000:]}")

    def stop(self):
        self.release()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            connection = _Connection(client, server)
            threading.Thread(target=self._up, args=(connection,), daemon=True).start()
            threading.Thread(target=self._down, args=(connection,), daemon=True).start()

    def _trouble_in(self, data, connection):
        with self._lock:
            if self._armed is None:
                return None
            trouble, word, after = self._armed
            connection.sent_after = connection.sent_after or after in data
            if not connection.sent_after or word not in data:
                return None
            self._armed = None
            return trouble

    def _up(self, connection):
        inside = False
        try:
            while data := connection.client.recv(1 << 16):
                for said, arrives in self._replaced.items():
                    data = data.replace(said, arrives)
                if inside:
                    connection.server.sendall(data[:len(data) // 2])
                    self._stall(connection)
                    data, inside = data[len(data) // 2:], False
                trouble = self._trouble_in(data, connection)
                if trouble == "stall":
                    self._stall(connection)
                elif trouble == "cut":
                    self.struck.set()
                    return
                elif trouble in ("hold_reply", "lose_reply"):
                    connection.reply = trouble
                inside = inside or trouble == "stall_inside"
                connection.server.sendall(data)
        except OSError:
            pass
        finally:
            connection.close()

    def _down(self, connection):
        try:
            while data := connection.server.recv(1 << 16):
                if connection.reply == "lose_reply":
                    self.struck.set()
                    return
                if connection.reply == "hold_reply":
                    connection.reply = None
                    self.struck.set()
                    self._released.wait()
                connection.flows.wait()
                connection.client.sendall(data)
        except OSError:
            pass
        finally:
            connection.close()

    def _stall(self, connection):
        connection.flows.clear()
        self.struck.set()
        self._released.wait()
        connection.flows.set()


class _Connection:
    def __init__(self, client, server):
        self.client, self.server, self.reply, self.sent_after = client, server, None, False
        self.flows = threading.Event()
        self.flows.set()

    def close(self):
        self.flows.set()
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Swallower:
    """A port on loopback that answers nothing, not even that it takes no connection: a firewall that drops packets, or a
    route that leads nowhere. Its queue is full of connections that nobody takes."""

    def __init__(self, port):
        self._sockets = [socket.socket() for _ in range(4)]
        listener, *clients = self._sockets
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))

    def stop(self):
        """From now on it refuses."""
        for end in self._sockets:
            end.close()


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes


class HttpProxy:
    """Passes requests on to the simulated API. `spoil(request, answer)`, where request is like "GET /path?query", gives
    what the client gets: an Answer, bytes as they are or one piece of them after the other, after which the connection is
    closed, or None for no answer. With `tls`, an SSLContext, it speaks HTTPS."""

    def __init__(self, api_url, spoil=None, tls=None):
        proxy = self
        self.spoil = spoil or (lambda request, answer: answer)
        self._api = urllib.parse.urlsplit(api_url).netloc

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                spoilt = proxy.spoil(f"{self.command} {self.path}", proxy._ask(self, body))
                if isinstance(spoilt, Answer):
                    self.send_response(spoilt.status)
                    for name, value in spoilt.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(spoilt.body)))
                    self.end_headers()
                    self.wfile.write(spoilt.body)
                    return
                self.close_connection = True
                for piece in [spoilt] if isinstance(spoilt, bytes) else spoilt or ():
                    self.wfile.write(piece)

            do_POST = do_GET

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # a client that goes away is none
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = self.url.replace("http://127.0.0.1", "https://localhost")
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _ask(self, request, body):
        api = http.client.HTTPConnection(self._api, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
        api.request(request.command, request.path, body or None, headers)
        answer = api.getresponse()
        kept = {name: value for name, value in answer.getheaders()
                if name.lower() not in ("content-length", "connection", "transfer-encoding")}
        answer = Answer(answer.status, kept, answer.read())
        api.close()
        return answer

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
