#!/usr/bin/python3
"""A FastCGI responder without a library, for `postern spawn`: one connection after the other, TERM ends it gracefully.

/crash ends it at once, everything else says who answers.
"""
import json
import os
import select
import signal
import socket
import struct
import sys
import time

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
HEADER = struct.Struct("!BBHHBx")

with open("release.txt", encoding="utf8") as file:
    RELEASE = file.read().strip()


def read_request(stream):
    """The id and the parameters of one request; None when the web server has closed."""
    params = b""
    while True:
        head = stream.read(HEADER.size)
        if len(head) < HEADER.size:
            return None
        _, kind, number, length, padding = HEADER.unpack(head)
        content = stream.read(length + padding)[:length]
        if kind == PARAMS:
            params += content
        if kind == STDIN and length == 0:
            return number, dict(pairs(params))


def pairs(data):
    at = 0
    while at < len(data):
        sizes = []
        for _ in range(2):
            if data[at] < 128:
                sizes.append(data[at])
                at += 1
            else:
                sizes.append(struct.unpack_from("!I", data, at)[0] & 0x7FFFFFFF)
                at += 4
        name, value = data[at : at + sizes[0]], data[at + sizes[0] : at + sum(sizes)]
        at += sum(sizes)
        yield name.decode("latin1"), value.decode("latin1")


def answer(params):
    uri = params.get("REQUEST_URI", "")
    if uri == "/crash":
        os._exit(9)
    if uri == "/slow":
        time.sleep(0.3)
    body = json.dumps({"pid": os.getpid(), "release": RELEASE, "url": uri}, separators=(",", ":"))
    return b"Content-Type: application/json\r\n\r\n" + body.encode()


def serve(connection):
    with connection, connection.makefile("rwb") as stream:
        request = read_request(stream)
        if request is None:
            return
        number, params = request
        for kind, content in ((STDOUT, answer(params)), (STDOUT, b""), (END, bytes(8))):
            stream.write(HEADER.pack(1, kind, number, len(content), 0) + content)
        stream.flush()


# The socket is shared with the other workers: whoever wakes up late finds nothing to accept.
listener = socket.socket(fileno=0)
listener.setblocking(False)
woken, waker = socket.socketpair()
waker.setblocking(False)
signal.set_wakeup_fd(waker.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
print("responder started", file=sys.stderr, flush=True)
while True:
    ready, _, _ = select.select([listener, woken], [], [])
    if woken in ready:
        break
    try:
        accepted, _ = listener.accept()
    except BlockingIOError:
        continue
    accepted.setblocking(True)
    serve(accepted)
