"""The application of the tests of Python workers. `release.txt` beside it is read once, when it is loaded."""
import json
import os
import sys
import time
from urllib.parse import parse_qs

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "release.txt"), encoding="utf8") as file:
    RELEASE = file.read().strip()

if RELEASE == "throws":
    raise RuntimeError("no database")
if RELEASE == "missing":
    import nowhere_to_be_found
if RELEASE == "exits":
    sys.exit("no configuration")
if RELEASE == "waits":
    print("loading", flush=True)
    time.sleep(600)

nothing = 42


def busy_for(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def umask():
    found = os.umask(0o077)
    os.umask(found)
    return found


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def keep_lock(seconds):
    """Keeps the interpreter's lock, as a library in C can: no other thread runs."""
    import ctypes

    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def app(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "application/json")])
    if path == "/load":
        body = environ["wsgi.input"].read(-1)
        if int(query["id"][-1], 36) % 3 == 0:
            time.sleep(0.02)
        line = "%s %s %d %s\n" % (query["id"], environ["REQUEST_METHOD"], len(body), RELEASE)
        return [line.encode(), b"x" * int(query["size"])]
    if path == "/wait":
        print("waiting in %d" % os.getpid())
        wait_for(query["until"])
        print("waited in %d" % os.getpid())
        return [b"waited in %d" % os.getpid()]
    if path == "/loop":
        print("looping in %d" % os.getpid())
        busy_for(float(query["seconds"]))
        return [b"looped"]
    if path == "/stuck":
        print("stuck in %d" % os.getpid())
        keep_lock(60)
        return [b"no longer"]
    if path == "/die":
        os.kill(os.getpid(), 9)
    facts = {
        "pid": os.getpid(),
        "release": RELEASE,
        "prefix": sys.prefix,
        "executable": sys.executable,
        "cwd": os.getcwd(),
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "umask": umask(),
        "name": __name__,
        "path0": sys.path[0],
        "threads": environ["wsgi.multithread"],
    }
    return [json.dumps(facts).encode()]


def make():
    return app


async def asgi(scope, receive, send):
    pass


if __name__ == "__main__":
    # As in the guide of flup.
    from flup.server.fcgi import WSGIServer

    WSGIServer(app).run()
