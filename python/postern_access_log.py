"""
The access log of a Python worker: src/server/access-log.ts, access-log-format.ts and access-log-file.ts once more, which
say why it is as it is. Loaded only where an access log is asked for. The manager has checked the format.

A line is made by the thread of its request, and written together with others by a thread of the log, so no request
waits for a disk or for whoever reads a pipe. No more than MOST_WAITING characters wait; what is beyond is lost and
counted.
"""
import os
import re
import stat
import threading
import time

FULL = 32768
WAIT = 0.1
MOST_WAITING = 1048576
MOST_FIELD = 4096
MOST_FIELD_IN_PIPE = 640
PIPE_BYTES = 4096
FILE_MODE = 0o640
LOOK = 1.0
NO_ANSWER = 499
#: How long a worker that ends waits for its last lines to be written, seconds.
LAST_LINES = 2.0

COMMON = '%R - %u [%t] "%m %r%Q%q %{SERVER_PROTOCOL}e" %s %b'
NAMED = {"common": COMMON, "combined": COMMON + ' "%{HTTP_REFERER}e" "%{HTTP_USER_AGENT}e"'}
TIME = "%d/%b/%Y:%H:%M:%S %z"


class CannotOpen(Exception):
    """The log cannot be opened: a sentence for the operator."""


class AccessLog:
    """Lines for requests that are over. `log` hears what goes wrong."""

    def __init__(self, where, format, pool, memory_bytes, log):
        self._where = where
        self._log = log
        self._file = _File(where)
        self._most_line = self._file.most_bytes - 1 if self._file.most_bytes else None
        most = MOST_FIELD_IN_PIPE if self._file.most_bytes else MOST_FIELD
        self._line = compile_format(format, most, pool, memory_bytes)
        self._lock = threading.Lock()
        self._lines = []
        self._size = 0  # of the lines and of what a pipe has not taken
        self._lost = 0
        self._waiting = b""
        self._is_broken = False
        self._is_reopening = False
        self._is_closing = False
        self._due = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name="postern-access-log", daemon=True)
        self._thread.start()

    def add(self, exchange, params, client, seconds):
        """A request that is over. `params` are as they came, `client` with what proxies say about it."""
        if self._size > MOST_WAITING:
            with self._lock:
                self._lost += 1
            return
        line = self._line(_Request(exchange, params, client, seconds)) + "\n"
        if self._most_line is not None and len(line) > self._most_line + 1:
            line = line[:self._most_line] + "\n"
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
        self._due.set()
        if self._size >= FULL:
            self._hurry.set()

    def reopen(self):
        """Opens the file again, after it was moved away. What has collected is for the old one."""
        self._is_reopening = True
        self._due.set()
        self._hurry.set()

    def close(self):
        """Nothing more will come."""
        self._is_closing = True
        self._due.set()
        self._hurry.set()
        self._thread.join(LAST_LINES)

    def _work(self):
        while True:
            self._due.wait()
            self._hurry.wait(WAIT)
            self._hurry.clear()
            self._due.clear()
            is_last = self._is_closing
            self._flush()
            if self._is_reopening:
                self._is_reopening = False
                try:
                    self._file.reopen()
                except CannotOpen as error:
                    self._complain(error)
            if is_last:
                return
            if self._waiting:
                self._due.set()

    def _flush(self):
        with self._lock:
            lines, self._lines = self._lines, []
        data = self._waiting + "".join(lines).encode("latin-1")
        if not data:
            return
        try:
            self._file.look(time.monotonic())
        except (CannotOpen, OSError) as error:
            self._complain(error)
        taken = 0
        try:
            taken = self._file.write(data)
            self._waiting = data[taken:]
            if not self._waiting and not self._file.is_stale:
                self._is_broken = False
        except OSError as error:
            self._complain(error)
            taken = len(data)
            self._waiting = b""
            with self._lock:
                self._lost += data.count(b"\n")
        with self._lock:
            self._size -= taken
            lost = self._lost
            if self._waiting or self._is_broken:
                return
            self._lost = 0
        if lost:
            message = "%d lines of the access log were lost: nobody took them in time" % lost
            self._log("warn", message, {"file": self._where})

    def _complain(self, error):
        if not self._is_broken:
            self._is_broken = True
            fields = {"error": str(error), "file": self._where}
            self._log("error", "the access log cannot be written: requests go on without it", fields)


# Where it goes -------------------------------------------------------------------------------------------------------


class _File:
    """A file, `fd:N`, or `-`. Into what is no file go at most as many bytes at once as are never mixed (PIPE_BUF)."""

    def __init__(self, where):
        found = re.match(r"fd:(\d{1,9})\Z", where)
        self._path = None
        if where == "-":
            self._fd = 1
        elif found is not None:
            self._fd = int(found.group(1))
            try:
                os.set_inheritable(self._fd, False)
            except OSError as error:
                raise _cannot_open(where, error) from None
        else:
            self._path = where
            self._fd = _open(where)
        self.most_bytes = 0 if stat.S_ISREG(os.fstat(self._fd).st_mode) else PIPE_BYTES
        self.is_stale = False
        self._is_torn = False
        self._was_missing = False
        self._looked_at = 0.0

    def write(self, data):
        """Writes whole lines. Returns how many bytes were taken: fewer when nobody reads them just now."""
        at = 0
        try:
            if self._is_torn:
                os.write(self._fd, b"\n")
                self._is_torn = False
            while at < len(data):
                at += os.write(self._fd, data[at:at + self._size_of_piece(data, at)])
        except BlockingIOError:
            return at
        except OSError:
            self._is_torn = at > 0 and data[at - 1:at] != b"\n"
            raise
        return at

    def _size_of_piece(self, data, at):
        most = self.most_bytes
        if not most or len(data) - at <= most:
            return len(data) - at
        end = data.rfind(b"\n", at, at + most)
        return end + 1 - at if end > at else most

    def reopen(self):
        if self._path is None:
            return
        fd = _open(self._path)
        old, self._fd = self._fd, fd
        os.close(old)
        self.is_stale = self._is_torn = self._was_missing = False

    def look(self, now):
        """Looks, now and then, whether the path is another file by now. One that is missing may be about to be made."""
        if self._path is None or now - self._looked_at < LOOK:
            return
        self._looked_at = now
        ours = os.fstat(self._fd)
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            there = None
        self.is_stale = there is None or (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev)
        if not self.is_stale:
            return
        is_time = there is not None or self._was_missing
        self._was_missing = there is None
        if is_time:
            self.reopen()


def _open(path):
    # Not blocking: a named pipe without a reader would stop us here.
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, FILE_MODE)
    except OSError as error:
        raise _cannot_open(path, error) from None


def _cannot_open(path, error):
    folder = os.path.dirname(path)
    remedies = {
        FileNotFoundError: "the folder %s does not exist; create it: mkdir -p %s" % (folder, folder),
        PermissionError: "this user may not write it; change its owner or choose another path",
        IsADirectoryError: "this is a folder; name a file in it",
    }
    return CannotOpen("access log %s: %s" % (path, remedies.get(type(error), error.strerror)))


# Its formats ---------------------------------------------------------------------------------------------------------


class _Request:
    """A request that is over, as far as formats look at it."""

    __slots__ = ("exchange", "params", "client", "uri", "status", "ms", "ended_ms")

    def __init__(self, exchange, params, client, seconds):
        self.exchange = exchange
        self.params = params
        self.client = client
        self.uri = params.get("REQUEST_URI")
        self.status = exchange.status if exchange.is_head_sent else NO_ANSWER
        self.ms = seconds * 1000
        self.ended_ms = time.time() * 1000  # of the epoch


def compile_format(format, most, pool, memory_bytes):
    """A name, or text with fields -> a function: request -> line."""
    if format == "json":
        return _json_format(most, pool)
    pid, ppid = str(os.getpid()), str(os.getppid())
    pieces = []
    is_quoted = False
    text = NAMED.get(format, format).replace("%r%Q%q", "%\0")
    for found in re.finditer(r"%(?:\{([^}]*)\})?(.?)|[^%]+", text, re.S):
        arg, letter = found.groups()
        piece = found.group()
        if not piece.startswith("%"):
            if piece.count('"') % 2:
                is_quoted = not is_quoted
            pieces.append(piece.encode().decode("latin-1"))
        elif piece == "%%":
            pieces.append("%")
        elif letter == "\0":
            pieces.append(lambda request: _shown_url(_url(request), most))
        elif letter == "p":
            pieces.append(pid)
        elif letter == "P":
            pieces.append(ppid)
        elif letter == "n":
            pieces.append(_escaped(pool, False, most))
        elif letter == "M":
            pieces.append(_memory_field(arg, memory_bytes))
        else:
            pieces.append(_field(letter, arg, is_quoted, most))

    def line(request):
        return "".join([piece if type(piece) is str else piece(request) for piece in pieces])

    return line


def _field(letter, arg, is_quoted, most):
    if letter == "b":
        return lambda request: str(request.exchange.sent)
    if letter == "d":
        unit = arg or "seconds"
        if unit == "seconds":
            return lambda request: "%.3f" % (request.ms / 1000)
        if unit.startswith("milli"):
            return lambda request: "%.3f" % request.ms
        return lambda request: "%.0f" % (request.ms * 1000)
    if letter == "e":
        # Only headers have blanks of their own.
        keeps_blanks = is_quoted and re.match(r"HTTP_|CONTENT_TYPE\Z", arg) is not None
        if re.match(r"(?:REMOTE_(?:ADDR|PORT)|HTTPS|REQUEST_SCHEME|SERVER_PORT)\Z", arg):
            return lambda request: _escaped(request.client.get(arg, ""), keeps_blanks, most)
        return lambda request: _escaped(request.params.get(arg, ""), keeps_blanks, most)
    if letter in ("f", "u"):
        name = "SCRIPT_FILENAME" if letter == "f" else "REMOTE_USER"
        return lambda request: _escaped(request.params.get(name, ""), is_quoted, most)
    if letter == "i":
        return lambda request: request.exchange.id
    if letter == "l":
        return _length
    if letter == "m":
        return lambda request: _escaped(request.params.get("REQUEST_METHOD", ""), False, most)
    if letter == "o":
        return lambda request: _escaped(_header(request.exchange, arg.lower() + ":"), is_quoted, most)
    if letter == "q":
        return lambda request: _escaped(_query(request), False, most) if _query(request) else ""
    if letter == "Q":
        return lambda request: "?" if _query(request) else ""
    if letter == "r":
        return lambda request: _escaped(_path(request), False, most)
    if letter == "R":
        return lambda request: _escaped(request.client.get("REMOTE_ADDR", ""), is_quoted, most)
    if letter == "s":
        return lambda request: str(request.status)
    if letter == "t":
        show = compile_time(arg or TIME)
        return lambda request: show(request.ended_ms - request.ms)
    if letter == "T":
        show = compile_time(arg or TIME)
        return lambda request: show(request.ended_ms)
    raise ValueError("%%%s is no field of an access log" % letter)


def _memory_field(arg, memory_bytes):
    unit = 1048576 if (arg or "").startswith("mega") else 1024 if (arg or "").startswith("kilo") else 1
    known = (0.0, "")

    def field(_request):
        nonlocal known
        at, text = known
        now = time.monotonic()
        if text == "" or now - at >= 1.0:  # once a second is often enough
            text = str(memory_bytes() // unit)
            known = (now, text)
        return text

    return field


def _length(request):
    text = request.params.get("CONTENT_LENGTH", "")
    return text if re.match(r"[0-9]{1,19}\Z", text) else "0"


def _header(exchange, prefix):
    """Of the answer. `prefix` is the name in lower case, with its colon."""
    for line in exchange.fields or () if exchange.is_head_sent else ():
        if line[:len(prefix)].lower() == prefix:
            return line[len(prefix):].strip(" \t\r\n")
    return ""


def _path(request):
    uri = request.uri
    if uri is None:
        return request.params.get("SCRIPT_NAME", "") + request.params.get("PATH_INFO", "")
    return uri.partition("?")[0]


def _query(request):
    uri = request.uri
    return request.params.get("QUERY_STRING", "") if uri is None else uri.partition("?")[2]


def _url(request):
    uri = request.uri
    if uri is not None and not uri.endswith("?"):
        return uri
    query = _query(request)
    return _path(request) + "?" + query if query else _path(request)


def _shown_url(url, most):
    path, question, query = url.partition("?")
    if not query or len(url) <= most and _is_plain(url):
        return _escaped(url, False, most)
    return _escaped(path, False, most) + question + _escaped(query, False, most)


def _json_format(most, pool):
    iso = _compile_iso()
    end = ',"pool":%s,"pid":%d}' % (_quoted(pool, most), os.getpid())

    def member(name, value, limit):
        return ',"%s":%s' % (name, _quoted(value, limit)) if value else ""

    def line(request):
        params = request.params
        get = params.get
        return '{"time":"%s","id":"%s"%s%s%s%s%s,"status":%d,"bytes":%d,"durationMs":%.3f%s%s%s%s' % (
            iso(request.ended_ms - request.ms),
            request.exchange.id,
            member("client", request.client.get("REMOTE_ADDR"), 64),
            member("user", get("REMOTE_USER"), 128),
            member("method", get("REQUEST_METHOD"), 32),
            member("url", _url(request), most),
            member("protocol", get("SERVER_PROTOCOL"), 32),
            request.status,
            request.exchange.sent,
            request.ms,
            member("host", get("HTTP_HOST"), 256),
            member("referer", get("HTTP_REFERER"), most),
            member("userAgent", get("HTTP_USER_AGENT"), most),
            end,
        )

    return line


# A client decides what most values hold, and must not be able to forge a line, or a field of one.

_is_plain = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]*\Z").match
_is_plain_quoted = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*\Z").match


def _escaped(value, is_quoted, most):
    """A value for a text format; `-` when there is none."""
    if value == "":
        return "-"
    if len(value) <= most and (_is_plain_quoted if is_quoted else _is_plain)(value):
        return value

    def one(char):
        if char in '"\\':
            return "\\" + char
        if char == " " and is_quoted or " " < char <= "~":
            return char
        return "\\x%02x" % ord(char)

    return _clipped(value, most, one)


def _quoted(value, most):
    """A value for JSON, quotes included. Its bytes are taken for UTF-8."""
    if len(value) <= most and _is_plain_quoted(value):
        return '"%s"' % value
    # Four times as many bytes are never too few to fill it.
    text = value[:most * 4].encode("latin-1", "replace").decode("utf-8", "replace")

    def one(char):
        if char in '"\\':
            return "\\" + char
        if " " <= char <= "~":
            return char
        return "\\u%04x" % ord(char)

    units = text.encode("utf-16-be", "surrogatepass")
    chars = [chr(units[at] << 8 | units[at + 1]) for at in range(0, len(units), 2)]
    return '"%s"' % _clipped(chars, most, one)


def _clipped(value, most, escape_one):
    """Escaped a character at a time, so that the cut is never within an escape."""
    pieces = []
    size = 0
    for char in value:
        piece = escape_one(char)
        size += len(piece)
        if size > most - 3:
            pieces.append("...")
            break
        pieces.append(piece)
    return "".join(pieces)


# Times ---------------------------------------------------------------------------------------------------------------

_MONTHS = "January February March April May June July August September October November December".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_ALIASES = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}


def _offset(at):
    minutes = at.tm_gmtoff // 60
    return "%s%02d%02d" % ("-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60)


# Not strftime: its words are those of the locale, which the application may set.
_CONVERSIONS = {
    "Y": lambda at: str(at.tm_year),
    "y": lambda at: "%02d" % (at.tm_year % 100),
    "m": lambda at: "%02d" % at.tm_mon,
    "d": lambda at: "%02d" % at.tm_mday,
    "e": lambda at: "%2d" % at.tm_mday,
    "H": lambda at: "%02d" % at.tm_hour,
    "I": lambda at: "%02d" % (at.tm_hour % 12 or 12),
    "M": lambda at: "%02d" % at.tm_min,
    "S": lambda at: "%02d" % at.tm_sec,
    "p": lambda at: "AM" if at.tm_hour < 12 else "PM",
    "z": _offset,
    "a": lambda at: _DAYS[at.tm_wday][:3],
    "A": lambda at: _DAYS[at.tm_wday],
    "b": lambda at: _MONTHS[at.tm_mon - 1][:3],
    "h": lambda at: _MONTHS[at.tm_mon - 1][:3],
    "B": lambda at: _MONTHS[at.tm_mon - 1],
    "j": lambda at: "%03d" % at.tm_yday,
}


def compile_time(pattern):
    """A pattern of strftime -> a function: ms of the epoch -> text. What it gives is kept for its second."""
    text = re.sub("%([FTRD])", lambda found: _ALIASES[found.group(1)], pattern.replace("%%", "%\0"))
    parts = re.split("(%.)", text, flags=re.S)

    def make(now):
        at = time.localtime(now)
        return "".join([_part(part, at, now) for part in parts])

    shown = _kept_for_its_second(make)
    return lambda ms: shown(int(ms // 1000))


def _kept_for_its_second(make):
    """Remembers what was made of the last second that was asked for."""
    known = (None, "")  # both at once: threads share it

    def get(second):
        nonlocal known
        last, text = known
        if second != last:
            text = make(second)
            known = (second, text)
        return text

    return get


def _part(part, at, now):
    if part == "%\0":
        return "%"
    if part == "%s":
        return str(now)
    if part.startswith("%"):
        return _CONVERSIONS[part[1]](at)
    return part.encode().decode("latin-1")


def _compile_iso():
    shown = _kept_for_its_second(lambda now: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)))

    def show(ms):
        now = int(ms // 1000)
        return "%s.%03dZ" % (shown(now), int(ms - now * 1000))

    return show
