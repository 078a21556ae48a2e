"""What the Python worker makes of requests, for a comparison with the JavaScript: a JSON line in, a JSON line out."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "python"))
import postern_wsgi as server  # noqa: E402


def encoded(pairs):
    def length(size):
        return bytes([size]) if size < 128 else (size | 1 << 31).to_bytes(4, "big")

    def one(name, value):
        name, value = name.encode("latin-1"), value.encode("latin-1")
        return length(len(name)) + length(len(value)) + name + value

    return b"".join(one(name, value) for name, value in pairs)


def answer(pairs, kind, base):
    try:
        params, more = server.parse_params(encoded(pairs))
        target = server.resolve_target(params, kind, base)
    except server.InvalidRequest:
        return {"target": "invalid"}
    given = {name: getattr(target, name) for name in server.Target.__slots__ if getattr(target, name) is not None}
    given["originalUrl"] = given.pop("original_url")
    try:
        environ = server.make_environ(params, more, target)
    except server.InvalidRequest:
        return {"target": given, "environ": "invalid"}
    return {"target": given, "environ": {name: value for name, value in environ.items() if isinstance(value, str)}}


for line in sys.stdin:
    asked = json.loads(line)
    sys.stdout.write(json.dumps([answer(asked["params"], kind, base) for kind, base in asked["rules"]]) + "\n")
