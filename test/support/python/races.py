"""What threads of the Python worker do to each other at moments that no client can choose: each is held open here."""
import os
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "python"))
import postern_wsgi as postern  # noqa: E402

PARAMS = b"\x0e\x03REQUEST_METHODGET\x0b\x01REQUEST_URI/"


def record(kind, content=b"", padding=0):
    return postern.HEADER.pack(1, kind, 1, len(content), padding, 0) + content + bytes(padding)


HEAD = record(postern.BEGIN_REQUEST, b"\0\1\1" + bytes(5)) + record(postern.PARAMS, PARAMS) + record(postern.PARAMS)
REQUEST = HEAD + record(postern.STDIN)


class Host(postern.Host):
    def __init__(self, application):
        super().__init__()
        self.logged = []
        self.server = postern.Server(application, postern.Settings(threads=2), self)
        self.listener = socket.socket(socket.AF_UNIX)
        self.path = os.path.join(tempfile.mkdtemp(), "s")
        self.listener.bind(self.path)
        self.listener.listen(8)

    def log(self, level, message, fields):
        self.logged.append("%s %s" % (level, message))

    def errors(self, exchange):
        return sys.stderr

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(self.path)
        return client

    def close(self):
        self.server.stop_threads()
        self.listener.close()
        os.unlink(self.path)
        os.rmdir(os.path.dirname(self.path))


class Held:
    """Calls `function`, and returns what it gave only when it is let."""

    def __init__(self, function):
        self.function = function
        self.is_there = threading.Event()
        self.may_go = threading.Event()

    def __call__(self, *args):
        given = self.function(*args)
        self.is_there.set()
        assert self.may_go.wait(20)
        return given


class Listener:
    def __init__(self, listener):
        self.listener = listener
        self.accept = Held(listener.accept)

    def __getattr__(self, name):
        return getattr(self.listener, name)


def answer(client):
    data = b""
    while record(postern.END_REQUEST, bytes(8)) not in data:
        piece = client.recv(4096)
        if not piece:
            return "cut"
        data += piece
    return "answered"


def until(is_so):
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def accepted_while_it_drains():
    host = Host(app)
    listener = Listener(host.listener)
    host.server.listen([listener])
    client = host.connect()
    client.sendall(REQUEST)
    assert listener.accept.is_there.wait(20)
    host.server.begin_drain()
    early = host.server.is_drained
    listener.accept.may_go.set()
    return host, [early, answer(client), host.listener.fileno() in host.server._watch._known]


def read_while_it_is_judged():
    host = Host(app)
    host.server.listen([host.listener])
    client = host.connect()
    client.sendall(REQUEST)
    assert answer(client) == "answered"
    until(lambda: [one.state for one in host.server.connections.values()] == [postern.IDLE])
    receive = postern.Connection.receive
    held = Held(receive)
    connection, = host.server.connections.values()
    host.server.begin_drain()
    connection.since = host.server.drained_since = time.monotonic() - 2
    postern.Connection.receive = lambda self: held(self)
    peeked = []

    class Socket:
        """The request comes, and a thread reads it, between the judge's two looks."""

        def __getattr__(self, name):
            return getattr(sock, name)

        def recv(self, size, flags):
            if flags & socket.MSG_PEEK and not peeked:
                peeked.append(True)
                client.sendall(REQUEST)
                assert held.is_there.wait(20)
            return sock.recv(size, flags)

    sock, connection.sock = connection.sock, Socket()
    host.server.check()
    postern.Connection.receive = receive
    held.may_go.set()
    return host, [answer(client)]


def closed_as_soon_as_it_is_watched():
    host = Host(app)
    host.server.listen([])
    watch = host.server._watch.watch

    def watch_and_wait(fd):
        watch(fd)
        until(lambda: not host.server.connections)

    host.server._watch.watch = watch_and_wait
    for _ in range(3):  # each on the descriptor of the one before
        ours, theirs = socket.socketpair()
        theirs.close()
        host.server.adopt(ours, "", None)
        del ours
    return host, [len(host.server._watch._known)]


def gone_in_the_middle_of_a_body():
    failed = threading.Event()

    def wraps(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            failed.set()
            raise RuntimeError("no body") from error

    host = Host(wraps)
    host.server.listen([host.listener])
    client = host.connect()
    client.sendall(HEAD + record(postern.STDIN, b"half"))
    client.close()
    assert failed.wait(20)
    until(lambda: not host.server.connections)
    return host, host.logged


for race in (
    accepted_while_it_drains, read_while_it_is_judged, closed_as_soon_as_it_is_watched, gone_in_the_middle_of_a_body
):
    host, seen = race()
    print(race.__name__, *seen, sep=": ", flush=True)
    host.close()
