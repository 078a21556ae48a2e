"""Lines of the Python worker's access log for the requests on standard input, a JSON object a line."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "python"))
import postern_access_log as log  # noqa: E402


class Exchange:
    is_head_sent = True

    def __init__(self, case):
        self.id = case["id"]
        self.fields = [line + "\r\n" for line in case["head"].split("\r\n") if line]
        self.status = case["status"]
        self.sent = case["sentBytes"]


print(json.dumps([os.getpid(), os.getppid()]))
for text in sys.stdin:
    case = json.loads(text)
    line = log.compile_format(case["format"], case["most"], "web", lambda: 50_000_000)
    request = log._Request(Exchange(case), case["params"], case["client"], 0.0)
    request.ms = case["durationMs"]
    request.ended_ms = case["endedAt"]
    print(json.dumps(line(request)))
