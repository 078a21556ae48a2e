"""The WSGI applications that `npm run bench -- --python` compares servers with: one for each kind of work."""
import time

HELLO = b"hello world\n"
PIECE = b"d" * 16384


def _plain(length):
    return [("Content-Type", "text/plain"), ("Content-Length", str(length))]


def hello(environ, start_response):
    start_response("200 OK", _plain(len(HELLO)))
    return [HELLO]


def upload(environ, start_response):
    """Reads the whole body, as frameworks do for a form, and says how long it was."""
    length = len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    body = b"%d\n" % length
    start_response("200 OK", _plain(len(body)))
    return [body]


def download(environ, start_response):
    """1 MiB in pieces, as a file or a report is sent."""
    start_response("200 OK", _plain(64 * len(PIECE)))
    return (PIECE for _ in range(64))


def slow(environ, start_response):
    """Waits as for a database: without the interpreter's lock."""
    time.sleep(0.02)
    return hello(environ, start_response)
