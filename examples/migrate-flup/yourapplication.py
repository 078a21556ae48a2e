# Before: a WSGI application, served by flup with yourapplication.fcgi.py.
from urllib.parse import parse_qs, quote


def app(environ, start_response):
    mount = environ.get("SCRIPT_NAME", "")
    path = environ.get("PATH_INFO", "") or "/"
    text = [("Content-Type", "text/plain; charset=utf-8")]
    if path == "/":
        start_response("200 OK", text)
        return [f"say hello to somebody: {mount}/hello/NAME\n".encode()]
    if path == "/hello" and environ["REQUEST_METHOD"] == "POST":
        length = int(environ.get("CONTENT_LENGTH") or 0)
        form = parse_qs(environ["wsgi.input"].read(length).decode())
        name = form.get("name", ["nobody"])[0]
        start_response("303 See Other", [("Location", f"{mount}/hello/{quote(name)}")])
        return []
    if path.startswith("/hello/"):
        name = path[len("/hello/"):].encode("latin-1").decode()  # PEP 3333: bytes, as if they were Latin-1
        times = int(parse_qs(environ["QUERY_STRING"]).get("times", ["1"])[0])
        start_response("200 OK", text)
        return (f"hello {name}, from {environ['REMOTE_ADDR']}\n".encode() for _ in range(times))
    print("no such page:", path, file=environ["wsgi.errors"])
    start_response("404 Not Found", text)
    return [b"no such page\n"]
