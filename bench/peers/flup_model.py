"""
A model of flup's threaded FastCGI server, for the benchmark: Debian has no flup. It is not flup; it is written anew, and
does what flup.server.fcgi.WSGIServer does for a request, in the same steps:

- the main thread waits in select() for at most a second, accepts, and gives the connection to a pool of threads, which
  grows up to `maxThreads` and has one lock and one queue;
- a thread has a connection until it ends. Before each record it waits in select(); header, content and padding are read
  by a recv() each, and name-value pairs are taken apart one by one;
- a request runs in the thread of its connection. What the application writes goes out at once, in records of at most
  8 KiB, header, content and padding by a sendall() each;
- at the end: an empty STDOUT record, END_REQUEST, shutdown(), the rest is read until the web server closes, close().

What flup does for errors, management records, multiplexing, other roles and signals is left out: no request that is
measured gets there.
"""
import select
import socket
import struct
import sys
import threading

HEADER = struct.Struct("!BBHHBx")
BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT = range(1, 7)
KEEP_CONN = 1
#: flup's `maxwrite`, with the header in it.
MAX_CONTENT = 8192 - 8


class ThreadPool:
    """Threads that take jobs from one queue; started when a job finds none idle."""

    def __init__(self, least=1, most=8):
        self._lock = threading.Condition()
        self._jobs = []
        self._most = most
        self._count = self._idle = least
        for _ in range(least):
            self._start()

    def _start(self):
        threading.Thread(target=self._work, daemon=True).start()

    def add(self, job):
        with self._lock:
            if self._idle == 0 and self._count < self._most:
                self._count += 1
                self._idle += 1
                self._start()
            self._jobs.append(job)
            self._lock.notify()

    def _work(self):
        while True:
            with self._lock:
                while not self._jobs:
                    self._lock.wait()
                job = self._jobs.pop(0)
                self._idle -= 1
            try:
                job.run()
            finally:
                with self._lock:
                    self._idle += 1


class Record:
    def __init__(self, kind=0, request_id=0, content=b""):
        self.kind = kind
        self.request_id = request_id
        self.content = content

    @staticmethod
    def _receive(sock, length):
        pieces = []
        while length:
            piece = sock.recv(length)
            if not piece:
                raise EOFError
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def read(self, sock):
        _, self.kind, self.request_id, length, padding = HEADER.unpack(self._receive(sock, 8))
        self.content = self._receive(sock, length)
        self._receive(sock, padding)

    def write(self, sock):
        length = len(self.content)
        padding = -length & 7
        sock.sendall(HEADER.pack(1, self.kind, self.request_id, length, padding))
        if length:
            sock.sendall(self.content)
        if padding:
            sock.sendall(b"\0" * padding)


def decode_pair(content, at):
    lengths = []
    for _ in range(2):
        length = content[at]
        if length & 128:
            length = struct.unpack("!L", content[at:at + 4])[0] & 0x7FFFFFFF
            at += 4
        else:
            at += 1
        lengths.append(length)
    name = content[at:at + lengths[0]]
    at += lengths[0]
    value = content[at:at + lengths[1]]
    return at + lengths[1], name.decode("latin-1"), value.decode("latin-1")


class InputStream:
    """wsgi.input: asks the connection for a record whenever it has too little."""

    def __init__(self, connection):
        self._connection = connection
        self._pieces = []
        self._available = 0
        self.is_ended = False

    def add(self, data):
        if data:
            self._pieces.append(data)
            self._available += len(data)
        else:
            self.is_ended = True

    def _fill(self, enough):
        while not self.is_ended and not enough():
            self._connection.process_input()
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def _take(self, data, size):
        self._pieces = [data[size:]] if size < len(data) else []
        self._available = len(data) - min(size, len(data))
        return data[:size]

    def read(self, size=-1):
        data = self._fill(lambda: 0 <= size <= self._available)
        return self._take(data, len(data) if size < 0 else size)

    def readline(self, size=-1):
        data = self._fill(lambda: any(b"\n" in piece for piece in self._pieces) or 0 <= size <= self._available)
        end = data.find(b"\n") + 1 or len(data)
        return self._take(data, end if size < 0 else min(end, size))

    def readlines(self, hint=0):
        return list(self)

    def __iter__(self):
        return iter(self.readline, b"")


class OutputStream:
    def __init__(self, connection, request_id):
        self._connection = connection
        self._request_id = request_id

    def write(self, data):
        for at in range(0, len(data), MAX_CONTENT):
            self._connection.write(Record(STDOUT, self._request_id, data[at:at + MAX_CONTENT]))

    def close(self):
        self._connection.write(Record(STDOUT, self._request_id))


class Request:
    def __init__(self, connection, request_id, flags):
        self.request_id = request_id
        self.flags = flags
        self.params = {}
        self.stdin = InputStream(connection)
        self.stdout = OutputStream(connection, request_id)


class Connection:
    def __init__(self, sock, server):
        self._sock = sock
        self._server = server
        self._requests = {}
        self._goes_on = True

    def run(self):
        while self._goes_on:
            try:
                self.process_input()
            except (EOFError, OSError):
                break
        self._close()

    def process_input(self):
        while not select.select([self._sock], [], [], 1.0)[0]:
            pass
        record = Record()
        record.read(self._sock)
        request = self._requests.get(record.request_id)
        if record.kind == BEGIN_REQUEST:
            _, flags = struct.unpack("!HB5x", record.content)
            self._requests[record.request_id] = Request(self, record.request_id, flags)
        elif request is None:
            pass
        elif record.kind == PARAMS and record.content:
            at = 0
            while at < len(record.content):
                at, name, value = decode_pair(record.content, at)
                request.params[name] = value
        elif record.kind == PARAMS:
            self._server.handle(request)
            self._end(request)
        elif record.kind == STDIN:
            request.stdin.add(record.content)

    def write(self, record):
        record.write(self._sock)

    def _end(self, request):
        request.stdout.close()
        self.write(Record(END_REQUEST, request.request_id, struct.pack("!LB3x", 0, 0)))
        del self._requests[request.request_id]
        if not request.flags & KEEP_CONN:
            self._goes_on = False

    def _close(self):
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while select.select([self._sock], [], [])[0] and self._sock.recv(1024):
                pass
        except OSError:
            pass
        self._sock.close()


class WSGIServer:
    def __init__(self, application, bindAddress, maxThreads=8):
        self._application = application
        self._address = bindAddress
        self._threads = maxThreads

    def run(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._address)
        listener.listen(socket.SOMAXCONN)
        pool = ThreadPool(1, self._threads)
        while True:
            if select.select([listener], [], [], 1.0)[0]:
                sock, _ = listener.accept()
                sock.set_inheritable(False)
                pool.add(Connection(sock, self))

    def handle(self, request):
        environ = request.params
        environ["wsgi.version"] = (1, 0)
        environ["wsgi.input"] = request.stdin
        environ["wsgi.errors"] = sys.stderr
        environ["wsgi.multithread"] = True
        environ["wsgi.multiprocess"] = True
        environ["wsgi.run_once"] = False
        environ["wsgi.url_scheme"] = "https" if environ.get("HTTPS", "off") in ("on", "1") else "http"
        environ.setdefault("SCRIPT_NAME", "")
        environ.setdefault("PATH_INFO", "")
        head = []
        is_head_sent = False

        def write(data):
            nonlocal is_head_sent
            if not is_head_sent:
                is_head_sent = True
                status, headers = head
                lines = ["Status: %s\r\n" % status]
                for name, value in headers:
                    lines.append("%s: %s\r\n" % (name, value))
                request.stdout.write(("".join(lines) + "\r\n").encode("latin-1"))
            request.stdout.write(data)

        def start_response(status, headers, exc_info=None):
            if exc_info and is_head_sent:
                raise exc_info[1].with_traceback(exc_info[2])
            head[:] = [status, headers]
            return write

        result = self._application(environ, start_response)
        try:
            for data in result:
                if data:
                    write(data)
            if not is_head_sent:
                write(b"")
        finally:
            if hasattr(result, "close"):
                result.close()
