"""
The probe (../probe) for Python: what it answers, whatever framework it is served in, and its journal. Each framework has
a thin file beside this one, which makes a Call of its request and its own response of what the route returns.

A route returns status, headers, and the body: bytes, or a generator of bytes. Any other path than /probe/NAME says what
the framework has seen of the request.
"""
import hashlib
import json
import os
import threading
import time
from urllib.parse import parse_qs, quote

JOURNAL = os.environ["PROBE_JOURNAL"]
PIECE_BYTES = 65536
#: A read waits until it has so much, or everything: less than a web server may hold back.
READ_BYTES = 16384
MEBIBYTE = 1048576
#: 1000 bytes, each different from its neighbours.
CONTENT = "".join("line %04d\n" % n for n in range(100)).encode()


class Call:
    """A request as a framework shows it."""

    def __init__(self, environ, method, mount, path, query, headers, read):
        self.environ = environ
        self.method = method
        self.mount = mount
        self.path = path
        self.search = query
        self.query = parse_qs(query, keep_blank_values=True)
        self.headers = {name.lower(): value for name, value in headers}
        #: Some bytes of the body, nothing at its end.
        self.read = read

    def get(self, name, default=None):
        return self.query.get(name, [default])[0]


# The journal: a line of JSON for what tests must know, and a file for a gate that a test opens --------------------------


def note(event, **facts):
    """Written at once, and whole: several processes may share the file."""
    line = json.dumps({"event": event, "pid": os.getpid(), **facts}) + "\n"
    journal = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(journal, line.encode())
    finally:
        os.close(journal)


def wait_for_gate(name):
    while not os.path.exists("%s.%s" % (JOURNAL, name)):
        time.sleep(0.005)


class Observed:
    """Around the framework: notes the request when it comes, and the client that has left before the answer was whole."""

    def __init__(self, application):
        self.application = application
        self.lock = threading.Lock()
        self.is_watched = False

    def __call__(self, environ, start_response):
        # WSGI does not tell of connections; the worker's own objects do.
        server = environ["wsgi.input"]._raw.__self__.connection.server
        with self.lock:
            if not self.is_watched:
                self.is_watched = True
                threading.Thread(target=watch, args=(server,), daemon=True).start()
        query = environ["QUERY_STRING"]
        request_id = parse_qs(query).get("id", [None])[0]
        url = environ["PATH_INFO"] + ("?" + query if query else "")
        note("request", id=request_id, method=environ["REQUEST_METHOD"], url=url, acceptedConnections=server.accepted)
        return Answer(self.application(environ, start_response), request_id)


class Answer:
    """What the framework returned, on its way."""

    def __init__(self, result, request_id):
        self.result = result
        self.pieces = iter(result)
        self.id = request_id
        self.is_whole = False

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self.pieces)
        except StopIteration:
            self.is_whole = True
            raise

    def close(self):
        if not self.is_whole:
            note("left", id=self.id, destroyed=True)
        if hasattr(self.result, "close"):
            self.result.close()


def watch(server):
    """Says how many requests and connections there are, each time it has changed."""
    last = None
    while True:
        now = (len(server.open), len(server.connections), server.requests)
        if now != last:
            note("state", openRequests=now[0], connections=now[1])
        last = now
        time.sleep(0.01)


# The routes -------------------------------------------------------------------------------------------------------------


def answer(call):
    """`status`, `body`, and any number of `h=Name: value`."""
    headers = [tuple(line.split(": ", 1)) for line in call.query.get("h", [])]
    return int(call.get("status", "200")), headers, call.get("body", "").encode()


def pieces(call):
    """A second piece only when the gate opens."""

    def body():
        yield b"data: first\n\n"
        wait_for_gate(call.get("gate"))
        yield b"data: second\n\n"

    return 200, [("Content-Type", call.get("type"))], body()


def flood(call):
    """So many bytes, no faster than they are taken; `gate` comes first. Each MiB is noted."""
    size = int(call.get("bytes"))
    request_id = call.get("id")

    def body():
        digest = hashlib.sha256()
        written = n = 0
        while written < size:
            piece = bytes([n % 256]) * min(PIECE_BYTES, size - written)
            digest.update(piece)
            yield piece
            written += len(piece)
            n += 1
            if written % MEBIBYTE == 0:
                note("wrote", id=request_id, bytes=written)
        note("flooded", id=request_id, bytes=written, sha256=digest.hexdigest())

    if "gate" in call.query:
        wait_for_gate(call.get("gate"))
    return 200, [("Content-Type", "application/octet-stream")], body()


def watched(call):
    """Notes each piece of the body as it comes."""
    return echo(call, lambda size: note("piece", id=call.get("id"), bytes=size))


def unread(call):
    return 200, [], b"not interested"


def stderr(call):
    call.environ["wsgi.errors"].write(call.get("text") + "\n")
    return 200, [], b"noted"


def throw(call):
    raise RuntimeError(call.get("reason"))


def whole(call):
    """Always the whole, with its length: what a web server makes of a Range is its own affair."""
    return 200, [("Content-Type", "text/plain"), ("Content-Length", str(len(CONTENT)))], CONTENT


def ranged(call):
    """The part that is asked for."""
    first, last = (int(at) for at in call.headers["range"][len("bytes="):].split("-"))
    headers = [("Content-Type", "text/plain"), ("Content-Range", "bytes %d-%d/%d" % (first, last, len(CONTENT)))]
    return 206, headers, CONTENT[first:last + 1]


def head(call):
    """A head of about so many bytes."""
    count = int(call.get("bytes")) // 1000
    return 200, [("X-Big-%d" % n, "x" * 988) for n in range(count)], b"large head"


def echo(call, on_piece=lambda size: None):
    digest = hashlib.sha256()
    size = 0
    while True:
        piece = call.read(READ_BYTES)
        if not piece:
            break
        digest.update(piece)
        size += len(piece)
        on_piece(size)
    environ = call.environ
    seen = {
        "method": call.method,
        # WSGI has the path decoded; so this is one way to write it. seenBy() in behaviours/model.ts knows.
        "url": quote(call.path, safe="/-._~!$&'()*+,;=:@") + ("?" + call.search if call.search else ""),
        "baseUrl": call.mount,
        "originalUrl": environ["REQUEST_URI"],
        "httpVersion": environ["SERVER_PROTOCOL"].rpartition("/")[2],
        "headers": call.headers,
        "remoteAddress": environ["REMOTE_ADDR"],
        "complete": True,
        "params": {name: value for name, value in environ.items() if isinstance(value, str)},
        "bodyBytes": size,
        "bodySha256": digest.hexdigest(),
    }
    # What is bytes in a header is bytes in the answer.
    text = json.dumps(seen, ensure_ascii=False)
    return 200, [("Content-Type", "application/json; charset=latin1")], text.encode("latin-1", "backslashreplace")


ROUTES = {
    "answer": answer,
    "pieces": pieces,
    "flood": flood,
    "watch": watched,
    "unread": unread,
    "stderr": stderr,
    "throw": throw,
    "whole": whole,
    "range": ranged,
    "head": head,
}


def respond(call):
    """/probe/NAME -> that route; everything else is echoed."""
    folder, _, name = call.path.rpartition("/")
    return ROUTES.get(name, echo)(call) if folder == "/probe" else echo(call)
