"""An application that does what no application should. What it does is in the path."""
import os
import signal
import sys
import threading
import time
from urllib.parse import parse_qs

TEXT = [("Content-Type", "text/plain")]


class Raises:
    """An iterable that fails where it was told to."""

    def __init__(self, where, error):
        self.where = where
        self.error = error
        self.at = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        if self.where == "first" and self.at == 1 or self.where == "later" and self.at == 3:
            raise self.error
        if self.at > 4:
            raise StopIteration
        return b"piece"

    def close(self):
        if self.where == "close":
            raise self.error


ERRORS = {
    "RuntimeError": lambda: RuntimeError("on purpose"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
    "GeneratorExit": lambda: GeneratorExit(),
    "StopIteration": lambda: StopIteration(),
    "MemoryError": lambda: MemoryError(),
    "Long": lambda: RuntimeError("\U0001f600é\n" * 300000),
    "Surrogate": lambda: RuntimeError("\ud800 and \x1b[31m"),
    "Unprintable": lambda: Unprintable(),
}


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def deeper(depth):
    return deeper(depth + 1) + 1


def in_child(how):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    if how == "exit":
        sys.exit(7)
    if how == "raise":
        raise RuntimeError("in the child")
    return None


def app(environ, start_response):
    path = environ["PATH_INFO"]
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if path == "/raise":
        error = ERRORS[query["error"]]()
        if query["where"] == "call":
            raise error
        start_response("200 OK", TEXT)
        return Raises(query["where"], error)
    if path == "/answer":
        # What no header block may hold.
        start_response(query.get("status", "200 OK"), [(query.get("name", "X-A"), query.get("value", "b"))])
        return {"str": ["text"], "none": None, "int": [1], "ok": [b"ok"]}[query.get("body", "ok")]
    if path == "/nothing":
        return []
    if path == "/deep":
        return [b"%d" % deeper(0)]
    if path == "/fork":
        status = in_child(query["how"])
        start_response("200 OK", TEXT)
        return [b"parent, child ended with %d" % os.WEXITSTATUS(status) if status is not None else b"child"]
    if path == "/terminate":
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, b"x")
            time.sleep(20)
            os._exit(0)
        os.read(reader, 1)
        os.close(reader)
        os.close(writer)
        os.kill(pid, signal.SIGTERM)
        status = os.waitpid(pid, 0)[1]
        start_response("200 OK", TEXT)
        return [b"ended by %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else b"deaf"]
    if path == "/daemon":
        # Works on after the answer, and after its worker: in the group of that it would end with it.
        pid = os.fork()
        if pid == 0:
            os.setsid()
            while not os.path.exists(query["until"]):
                time.sleep(0.01)
            os._exit(0)
        start_response("200 OK", TEXT)
        return [b"%d" % pid]
    if path == "/threads":
        for _ in range(int(query["count"])):
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
        start_response("200 OK", TEXT)
        return [b"%d" % threading.active_count()]
    if path == "/stack-size":
        threading.stack_size(int(query["bytes"]))
        start_response("200 OK", TEXT)
        return [b"set"]
    if path == "/close-descriptors":
        os.closerange(0, 200)
        return []
    if path == "/eat-descriptors":
        eaten = environ["wsgi.errors"], []
        try:
            while True:
                eaten[1].append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            got = str(error)
        if "until" in query:
            start_response("200 OK", TEXT)
            return Eaten(eaten[1], query["until"], got)
        for fd in eaten[1]:
            os.close(fd)
        start_response("200 OK", TEXT)
        return [got.encode()]
    if path == "/print":
        print("flooding with %s" % query["text"])
        line = "x" * 200 + "\n"
        for _ in range(int(query["lines"])):
            sys.stdout.write(line)
        print("\ud800 é \x1b[31m")
        start_response("200 OK", TEXT)
        return [b"printed"]
    if path == "/big":
        start_response("200 OK", TEXT)
        return (b"x" * 100000 for _ in range(int(query["pieces"])))
    if path == "/endless":
        start_response("200 OK", TEXT + ([("Content-Length", query["length"])] if "length" in query else []))
        return Endless()
    if path == "/memoryview":
        write = start_response("200 OK", TEXT)
        import array

        write(memoryview(array.array("I", [0x61616161] * 10)))
        write(bytearray(b"b" * 10))
        return []
    if path == "/read":
        body = environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        return [b"%d" % len(body)]
    if path == "/wait":
        while not os.path.exists(query["until"]):
            time.sleep(0.005)
        start_response("200 OK", TEXT)
        return [b"waited"]
    start_response("200 OK", TEXT)
    return [b"%d" % os.getpid()]


class Eaten:
    """Gives the descriptors back when it is told to."""

    def __init__(self, fds, until, got):
        self.fds = fds
        self.until = until
        self.got = got

    def __iter__(self):
        print("descriptors are eaten")
        # Looks without a descriptor.
        while not os.path.exists(self.until):
            time.sleep(0.01)
        for fd in self.fds:
            os.close(fd)
        yield self.got.encode()


class Endless:
    def __iter__(self):
        print("endless begins")
        try:
            while True:
                yield b"x" * 100
        finally:
            print("endless ends")


if __name__ == "__main__":
    from flup.server.fcgi import WSGIServer

    WSGIServer(app, bindAddress=os.environ["BIND"], maxThreads=4).run()
