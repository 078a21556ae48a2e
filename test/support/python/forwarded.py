"""Parameters as the Python worker has them after `trustProxy`, for a comparison with the JavaScript."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "python"))
import postern_forwarded  # noqa: E402

for line in sys.stdin:
    trust, pairs = json.loads(line)
    params, more = {}, {}
    for name, value in pairs:
        if name in params:
            more.setdefault(name, [params[name]]).append(value)
        params[name] = value
    postern_forwarded.Hops(trust).apply(params, more or None)
    print(json.dumps(params))
