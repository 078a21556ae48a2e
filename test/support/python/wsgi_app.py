"""An application that shows what PEP 3333 asks of a server: a path for each thing."""
import io
import json
import os
import sys
import threading
import time
from wsgiref.validate import validator

PLAIN = [("Content-Type", "text/plain")]
closed = []


class Closing:
    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self):
        closed.append(True)


def environ(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    shown = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return [json.dumps(shown).encode()]


def echo(environ, start_response):
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", PLAIN)
    return [body]


def lines(environ, start_response):
    first = environ["wsgi.input"].readline()
    some = environ["wsgi.input"].read(3)
    rest = list(environ["wsgi.input"])
    start_response("200 OK", PLAIN)
    return [repr([first, some, rest]).encode()]


def ways(environ, start_response):
    """Reads in all ways, large before small: their lengths, and all of it."""
    body = environ["wsgi.input"]
    pieces = [body.read(20000), body.read(30000), body.readline(), body.read(5), body.read(40000), body.readline(3)]
    pieces += [body.read(), body.read(), body.read(9000), body.readline()]
    start_response("200 OK", PLAIN)
    return [json.dumps([len(piece) for piece in pieces]).encode() + b"\n" + b"".join(pieces)]


def half(environ, start_response):
    some = environ["wsgi.input"].read(10)
    start_response("200 OK", PLAIN)
    return [some]


def stream(environ, start_response):
    start_response("200 OK", PLAIN)
    gate = os.path.join(os.environ["GATE"], "go")
    yield b"first"
    deadline = time.monotonic() + 30
    while not os.path.exists(gate) and time.monotonic() < deadline:
        time.sleep(0.005)
    yield b""
    yield b"second"


def written(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"written ")
    write(b"twice ")
    return [b"and returned"]


def replaced(environ, start_response):
    start_response("200 OK", PLAIN + [("X-First", "1")])
    try:
        raise ValueError("changed its mind")
    except ValueError:
        start_response("503 Service Unavailable", PLAIN, sys.exc_info())
    return [b"replaced"]


def too_late(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"begun")
    try:
        raise ValueError("after the head")
    except ValueError:
        start_response("500 Internal Server Error", PLAIN, sys.exc_info())
    return [b"never"]


def twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return []


def silent(environ, start_response):
    return [b"no head"]


def injects(environ, start_response):
    start_response("200 OK", [("X-Bad", "a\r\nSet-Cookie: b")])
    return []


def text(environ, start_response):
    start_response("200 OK", PLAIN)
    return ["text"]


def fails(environ, start_response):
    raise RuntimeError("it failed <b>")


def fails_late(environ, start_response):
    start_response("200 OK", PLAIN)
    return Closing([b"half of ", RuntimeError("in the middle")])


def exits(environ, start_response):
    sys.exit(3)


def short(environ, start_response):
    start_response("200 OK", PLAIN + [("Content-Length", "100")])
    return [b"not a hundred"]


def long(environ, start_response):
    start_response("200 OK", PLAIN + [("Content-Length", "4")])
    return iter([b"four", b" and more"])


def closing(environ, start_response):
    start_response("200 OK", PLAIN)
    return Closing([b"a", b"b"])


def close_count(environ, start_response):
    start_response("200 OK", PLAIN)
    return [str(len(closed)).encode()]


def file(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](io.BytesIO(bytes(range(256)) * 4096), 1000)


def big(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [b"0123456789abcdef" * 65536]


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


def moved(environ, start_response):
    start_response("301 Moved Permanently", [("Location", "/elsewhere"), ("Content-Type", "text/plain")])
    return [b"moved"]


def hop(environ, start_response):
    start_response("200 OK", PLAIN + [("Connection", "close"), ("Transfer-Encoding", "chunked"), ("X-Own", "1")])
    return [b"kept"]


def errors(environ, start_response):
    environ["wsgi.errors"].write("a line for the log\n")
    environ["wsgi.errors"].write("and a piece")
    environ["wsgi.errors"].flush()
    start_response("200 OK", PLAIN)
    return [b"logged"]


def noisy(environ, start_response):
    environ["wsgi.errors"].write("a\x1b[2J\tb\r\n\x9b\x00é\n")
    start_response("200 OK", PLAIN)
    return [b"logged"]


def no_content(environ, start_response):
    start_response("204 No Content", [("Content-Length", "5")])
    return [b"never"]


def together(environ, start_response):
    """Two requests that wait for each other."""
    barrier.wait(20)
    start_response("200 OK", PLAIN)
    return [b"together"]


barrier = threading.Barrier(2)
ROUTES = {name: value for name, value in list(globals().items()) if callable(value) and name.islower()}


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").partition("/")[0] or "environ"
    route = ROUTES[name]
    if environ["QUERY_STRING"] == "validated":
        route = validator(route)
    return route(environ, start_response)


if __name__ == "__main__":
    from flup.server.fcgi import WSGIServer

    address = os.environ.get("BIND")
    WSGIServer(app, bindAddress=address, debug="DEBUG" in os.environ).run()
