"""
A FastCGI server for WSGI applications (PEP 3333), in one file that needs nothing but Python 3.8 or newer.

As a worker of Postern's process manager (postern serve yourapplication:app): it is told everything over its channel,
serves on the sockets it inherited, gives account of itself once a second, and leaves when it is told to or when the
manager is gone. The channel and the scoreboard are those of JavaScript workers: src/manager/channel.ts, scoreboard.ts.

By itself, in the place of flup:

    from postern_wsgi import WSGIServer
    WSGIServer(app).run()                              # the socket that a web server or `postern spawn` hands over
    WSGIServer(app, bindAddress="/run/app.sock").run() # one of its own

How it is made. Threads wait together on one epoll (or kqueue); the one that wakes takes a connection, reads a request,
runs the application and answers, all by itself. A connection that waits for its next request, or for the rest of its
parameters, holds no thread. Whatever is watched is watched for one event (ONESHOT), so a connection is in the hands of
one thread at a time. The main thread never runs the application's requests: it listens to the manager and to signals,
and judges what takes too long.

A connection carries one request at a time: a second one is refused with CANT_MPX_CONN, as the protocol provides for.
A body is read when the application asks for it, and never further.
"""
import errno
import io
import json
import mmap
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time

if sys.version_info < (3, 8):  # pragma: no cover
    sys.exit("postern: Python 3.8 or newer is needed, this is %d.%d" % sys.version_info[:2])

# FastCGI 1.0 §8
BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER = 1
KEEP_CONN = 1
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)
HEADER = struct.Struct(">BBHHBB")
#: BEGIN_REQUEST as a whole, and the header of the record behind it.
BEGINNING = struct.Struct(">BBHHBBHB5xBBHHB")
#: What ends a request: an empty STDOUT record, and END_REQUEST.
ENDING = struct.Struct(">BBHHHBBHHHIBxxx")
#: Content of a STDOUT record at most: the longest that is a multiple of eight.
RECORD_BYTES = 65528
#: A header block travels in one record. HAProxy needs that.
MAX_HEAD_BYTES = 65528

#: An answer of so many bytes is put together for one send().
COPIED_BYTES = 65536

#: From so many bytes on a read of the body is not buffered.
SMALL_READ = 8192

MAX_PARAMS_BYTES = 262144
MAX_PARAMS = 1000
MAX_CONNECTIONS = 10000
#: Connections that are kept where nobody else accepts from the socket.
MAX_KEPT = 256
#: A body of 64 KiB and what comes with it, at once.
READ_BYTES = 73728
#: A record, or the parameters of a request, may take this long to arrive, seconds.
RECORD_TIMEOUT = 30.0
#: How long the rest of a body that nobody wants is read and dropped before the connection is closed, seconds.
LINGER_TIMEOUT = 30.0
#: While draining, or when there are more than threads, a connection without a request is closed after a silence of this
#: length, seconds: closing it at once would cross the next request, and nobody repeats a POST.
LAST_REQUEST = 1.0
#: How long a process that is told to end waits for a last request, seconds.
LULL = 0.1
STATUS_TIMEOUT = 2.0
#: A worker whose threads are all busy for this long says so, seconds.
FULL_FOR = 0.05
#: What goes on happening is logged this often, seconds.
TELL_AGAIN = 10.0

SLOT_BYTES = 1024
SLOTS = 256

#: The manager takes no longer message from a worker: src/manager/channel.ts.
MAX_MESSAGE_BYTES = 262144

EXIT_BOOT = 3
EXIT_APP = 4

THIS_FILE = os.path.abspath(__file__)


class InvalidRequest(Exception):
    """What no request may hold; answered with 400."""


class Disconnected(ConnectionAbortedError):
    """The web server is gone, or has given the request up."""


class BodyShort(OSError):
    """The body ended before CONTENT_LENGTH."""


class AppFailed(Exception):
    """The application cannot be loaded: a sentence for the operator."""


# The mount: SCRIPT_NAME and PATH_INFO -------------------------------------------------------------------------------
#
# The rules of src/cgi/mount.ts and mount-rules.ts, which say where each was seen. All text is latin-1, a character a
# byte. The same recordings and tables of every web server are held against both (test/unit/python/agreement.test.ts).

_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/]")
_SEGMENT = r"[!-$&-.0->@-\[\]-~]"
#: A REQUEST_URI that means exactly what it says: no percent sign, no backslash, no doubled slash, printable ASCII.
_PLAIN = re.compile(r"(/(?:%s+/)*%s*)(?:\?[!-~]*)?\Z" % (_SEGMENT, _SEGMENT))
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://[^/?]*", re.I)
_SCRIPT_ENDING = re.compile(r"\.(?:fcgi|fcg|cgi|[cm]?[jt]s|php|pl|py|rb)\Z", re.I)
_PROGRAM_ENDING = re.compile(r"\.(?:fcgi|fcg|cgi)\Z", re.I)
_PROXY_FORM = "proxy:fcgi://"


def encode_path(decoded):
    return _UNSAFE.sub(lambda found: "%%%02X" % ord(found.group()), decoded)


def decode_path(raw, keeps_slash=False):
    if "%" not in raw:
        return raw

    def byte(found):
        char = chr(int(found.group(1), 16))
        return found.group() if keeps_slash and char == "/" else char

    return _ESCAPE.sub(byte, raw)


def _escaped(raw, at):
    found = _ESCAPE.match(raw, at)
    return None if found is None else chr(int(found.group(1), 16))


def _normalize(decoded):
    """Merges slashes and resolves dot segments, as web servers do to PATH_INFO."""
    if "//" not in decoded and "/." not in decoded:
        return decoded
    segments = decoded.split("/")
    if decoded.startswith("/"):
        del segments[0]
    kept = []
    is_folder = False
    last = len(segments) - 1
    for at, segment in enumerate(segments):
        is_folder = segment == "" and at == last
        if segment == "":
            continue
        if segment in (".", ".."):
            is_folder = True
            if segment == ".." and kept:
                kept.pop()
            continue
        kept.append(segment)
    path = "".join("/" + segment for segment in kept)
    return path + "/" if is_folder or not kept else path


def _is_same(raw, decoded):
    """Whether a raw path and a decoded one name the same place, however much the web server tidied the latter."""
    if raw == decoded:
        return True
    wanted = _normalize(decoded)
    if _normalize(decode_path(raw)) == wanted:
        return True
    return "%2f" in raw.lower() and _normalize(decode_path(raw, True)) == wanted


def _prefix_end(raw, decoded):
    """Where in `raw` the decoded prefix ends, when it does so at the end of a segment; else -1."""
    at = 0
    size = len(raw)
    for wanted in decoded:
        if at < size and raw[at] == wanted and not (wanted == "%" and _escaped(raw, at) == "%"):
            at += 1
        elif at < size and raw[at] == "%" and _escaped(raw, at) == wanted:
            at += 3
        else:
            return -1
    return at if at == size or raw[at] == "/" else -1


def _ends_with(path, tail):
    return path.endswith(tail) or _normalize(decode_path(path)).endswith(_normalize(tail))


def _printable(text):
    """What may hold a client's text, as one line of a log: nobody is to forge another, or to move a cursor."""
    return _CONTROLS.sub(lambda found: "\\x%02x" % ord(found.group()), text)


def _clip(text, length):
    return text if len(text) <= length else "%s… (%d more)" % (text[:length], len(text) - length)


class Target:
    """A request cut at its mount, everything raw. See src/cgi/target.ts."""

    __slots__ = ("base", "path", "query", "url", "original_url", "rule", "warning")

    def __init__(self, base, path, query, url, original_url, rule, warning=None):
        self.base = base
        self.path = path
        self.query = query
        self.url = url
        self.original_url = original_url
        self.rule = rule
        self.warning = warning


class _Asked:
    """What the client asked for, and what the web server made of it."""

    __slots__ = ("raw", "search", "script_name", "path_info", "is_raw", "built_by")

    def __init__(self, raw, search, script_name, path_info, is_raw, built_by):
        self.raw = raw
        self.search = search
        self.script_name = script_name
        self.path_info = path_info
        self.is_raw = is_raw
        self.built_by = built_by


def _path_start(uri):
    if uri.startswith("/") or uri == "*":
        return 0
    found = _AUTHORITY.match(uri)
    return -1 if found is None else found.end()


def _invalid(what, text):
    shown = _clip(text, 60).encode("unicode_escape").decode("ascii")
    return InvalidRequest('%s holds bytes HTTP forbids: "%s"' % (what, shown))


def _check_controls(what, text):
    if _CONTROL.search(text):
        raise _invalid(what, text)


def _read_asked(params, uri):
    script_name = params.get("SCRIPT_NAME", "")
    path_info = params.get("PATH_INFO", "")
    if script_name != "" and script_name[0] != "/":
        script_name = "/" + script_name
    if path_info != "" and script_name.endswith("/"):
        script_name = script_name[:-1]
        if path_info[0] != "/":
            path_info = "/" + path_info
    if uri is None or _path_start(uri) < 0:
        built_by = "no-request-uri"
    elif params.get("SERVER_SOFTWARE", "").startswith("Cherokee"):
        built_by = "request-uri-decoded"
    else:
        built_by = ""
    if built_by != "":
        query = params.get("QUERY_STRING", "")
        _check_controls("QUERY_STRING", query)
        raw = encode_path(script_name + path_info)
        search = "" if query == "" else "?" + query
        return _Asked(raw if raw.startswith("/") else "/" + raw, search, script_name, path_info, False, built_by)
    _check_controls("REQUEST_URI", uri)
    question = uri.find("?")
    end = len(uri) if question < 0 else question
    at = _path_start(uri)
    # h2o takes an absolute-form target for a path: PATH_INFO is "/http://host/x".
    if at > 0 and _is_same("/" + uri[:end], path_info):
        path_info = ""
    raw = uri[min(at, end):end]
    return _Asked(raw or "/", uri[end:], script_name, path_info, True, built_by)


def _make(asked, base, path, rule, warning=None, original_path=None):
    start = 0
    end = len(base)
    while base[start + 1:start + 2] == "/":
        start += 1
    while end > start and base[end - 1] == "/":
        end -= 1
    mount = base[start:end].replace("\\", "%5C")
    inside = path if path.startswith("/") else "/" + path
    if original_path is not None:
        whole = original_path
    elif path == "" and base != "" and mount == base:
        whole = mount
    else:
        whole = mount + inside
    search = asked.search
    return Target(mount, inside, search[1:], inside + search, whole + search, rule, warning)


def _cut_at(asked, end, rule):
    return _make(asked, asked.raw[:end], asked.raw[end:], rule, None, asked.raw)


def resolve_target(params, kind="auto", base=""):
    """The mount, path and query of a request. `kind`: auto, keep, base, root-fix (LighttpdCGIRootFix) or strip
    (ScriptNameStripper)."""
    uri = params.get("REQUEST_URI")
    if uri is not None and (kind == "auto" or kind == "base"):
        plain = _PLAIN.match(uri)
        script_name = params.get("SCRIPT_NAME", "")
        path_info = params.get("PATH_INFO", "")
        if (
            plain is not None
            and path_info.startswith("/")
            and len(script_name) + len(path_info) == plain.end(1)
            and uri.startswith(path_info, len(script_name))
            and uri.startswith(script_name)
        ):
            mount = base if kind == "base" else script_name
            cut = len(mount)
            if cut == 0:
                return _cut_plain(uri, 0, plain.end(1), "", "base" if kind == "base" else "root")
            if kind == "base":
                if uri.startswith(mount) and uri[cut:cut + 1] == "/":
                    return _cut_plain(uri, cut, plain.end(1), mount, "base")
            elif not params.get("SCRIPT_FILENAME", "").startswith(_PROXY_FORM):
                return _cut_plain(uri, cut, plain.end(1), mount, "mounted")
    asked = _read_asked(params, uri)
    if asked.raw == "*":
        return Target("", "*", "", "*", "*", "asterisk")
    if kind == "auto":
        return _resolve_auto(params, asked)
    if kind == "keep":
        return _resolve_keep(asked)
    if kind == "base":
        return _resolve_base(params, asked, base)
    if kind == "root-fix":
        return _make(asked, "", _locate(asked, asked.script_name + asked.path_info), "LighttpdCGIRootFix")
    return _resolve_strip(asked)


def _cut_plain(uri, cut, end, base, rule):
    return Target(base, uri[cut:end], uri[end + 1:], uri[cut:], uri, rule)


def _resolve_auto(params, asked):
    raw, script_name, path_info = asked.raw, asked.script_name, asked.path_info
    if not asked.is_raw:
        return _make(asked, encode_path(script_name), encode_path(path_info), asked.built_by)
    if script_name == "":
        if path_info == "" or _is_same(raw, path_info):
            return _make(asked, "", raw, "root")
        return _resolve_rewritten(params, asked)
    if path_info != "" and path_info[0] != "/" and _prefix_end(raw, script_name + path_info) == len(raw):
        return _make(asked, "", raw, "prefix-clash", _clash_warning(script_name, raw))
    if path_info == "":
        return _resolve_without_path_info(params, asked)
    whole = script_name + path_info
    end = _prefix_end(raw, script_name)
    is_cut = end >= 0 and _is_same(raw[end:] or "/", path_info)
    if is_cut or _is_same(raw, whole):
        if _is_set_handler(params, script_name) and not _PROGRAM_ENDING.search(script_name):
            return _make(asked, "", raw, "set-handler", _set_handler_warning(script_name, path_info))
        if is_cut:
            return _cut_at(asked, end, "mounted")
        return _make(asked, encode_path(script_name), encode_path(path_info), "mounted-tidied", None, raw)
    if _SCRIPT_ENDING.search(script_name):
        folder = script_name[:script_name.rfind("/")]
        folder_end = _prefix_end(raw, folder)
        if folder_end >= 0 and _is_same(raw[folder_end:], path_info):
            return _cut_at(asked, folder_end, "script-hidden")
        if _is_same(raw, folder + path_info):
            return _make(asked, encode_path(folder), encode_path(path_info), "script-hidden", None, raw)
        # /x -> /cgi-bin/app.fcgi/x. Caddy's rewrite takes an escaped question mark for the query's.
        if _is_same(raw, path_info) or _is_same(re.sub(r"(?is)%3f.*\Z", "", raw, count=1), path_info):
            return _make(asked, "", raw, "script-hidden")
    elif _is_same(raw, path_info):
        # mod_fastcgi's authorizer has the whole path in both.
        if _is_same(raw, script_name):
            return _make(asked, "", raw, "whole-path")
        return _make(asked, encode_path(script_name), raw, "prefix-added")
    return _resolve_rewritten(params, asked)


def _is_set_handler(params, script_name):
    file = params.get("SCRIPT_FILENAME", "")
    return file.startswith(_PROXY_FORM) and file.endswith(params.get("DOCUMENT_ROOT", "") + script_name)


def _resolve_without_path_info(params, asked):
    raw, script_name = asked.raw, asked.script_name
    end = _prefix_end(raw, script_name)
    if 0 <= end < len(raw):
        return _cut_at(asked, end, "mounted")  # PATH_INFO is simply not configured
    if end < 0 and not _is_same(raw, script_name):
        if not _SCRIPT_ENDING.search(script_name):
            return _resolve_rewritten(params, asked)
        folder_end = _prefix_end(raw, script_name[:script_name.rfind("/")])
        return _cut_at(asked, max(folder_end, 0), "front-controller")
    if script_name == "/":
        return _make(asked, "", raw, "whole-path", _root_warning(params))
    if _PROGRAM_ENDING.search(script_name):
        return _make(asked, encode_path(script_name), "", "script", None, raw)
    file = params.get("SCRIPT_FILENAME", "")
    if file == "" or _ends_with(file, script_name):
        return _make(asked, "", raw, "whole-path")
    is_proxy = file.startswith(_PROXY_FORM)
    # Apache's `ProxyPass /m/ fcgi://host/`: proxy:fcgi://host/a/b, or /a/b alone with ProxyFCGIBackendType GENERIC.
    slash = file.find("/", len(_PROXY_FORM)) if is_proxy else 0
    # A find that fails is -1: the last character alone, as in JavaScript's slice.
    tail = decode_path(file[slash:])
    if len(tail) > 1 and tail[0] == "/" and script_name.endswith(tail):
        mount_end = _prefix_end(raw, script_name[:-len(tail)])
        if mount_end >= 0:
            return _cut_at(asked, mount_end, "proxied")
    if is_proxy:
        return _make(asked, "", raw, "whole-path")
    return _make(asked, encode_path(script_name), "", "mounted", None, raw)


def _resolve_rewritten(params, asked):
    raw, script_name, path_info = asked.raw, asked.script_name, asked.path_info
    query = params.get("QUERY_STRING")
    rewritten = asked
    if query is not None:
        _check_controls("QUERY_STRING", query)
        search = "" if query == "" else "?" + query
        rewritten = _Asked(raw, search, script_name, path_info, asked.is_raw, asked.built_by)
    is_script = _SCRIPT_ENDING.search(script_name) and _prefix_end(raw, script_name) < 0
    base = script_name[:script_name.rfind("/")] if is_script else script_name
    warning = (
        'REQUEST_URI "%s" is not SCRIPT_NAME "%s" + PATH_INFO "%s"; taking it for an internal rewrite. If it is none, '
        'state the mount: base: "/..." (or "" for the root)'
    ) % (_clip(raw, 100), _clip(script_name, 100), _clip(path_info, 100))
    if path_info == "":
        return _make(rewritten, "", encode_path(script_name), "rewritten", warning)
    return _make(rewritten, encode_path(base), encode_path(path_info), "rewritten", warning)


def _resolve_base(params, asked, base):
    raw = asked.raw
    rewritten = _resolve_auto(params, asked)
    if rewritten.rule == "rewritten":
        path = rewritten.base + rewritten.path
        if not (path.startswith(base) and path[len(base):len(base) + 1] == "/"):
            return Target(base, rewritten.path, rewritten.query, rewritten.url, base + rewritten.url, "rewritten")
        url = rewritten.original_url
        return Target(base, path[len(base):], rewritten.query, url[len(base):], url, "rewritten")
    end = _prefix_end(raw, decode_path(base))
    if end >= 0:
        return _make(asked, base, raw[end:], "base", None, raw)
    # Not spelt so. Either it is /./m/x, tidied in the parameters, or a proxy in front took the base off.
    whole = asked.script_name + asked.path_info
    tidied = encode_path(whole)
    if _prefix_end(tidied, decode_path(base)) >= 0 and _is_same(raw, whole):
        return _make(asked, base, tidied[len(base):], "base", None, raw)
    warning = (
        'REQUEST_URI "%s" does not begin with base "%s"; taking it for a path inside. If no proxy in front takes "%s" '
        "off, mend the base"
    ) % (_clip(raw, 100), base, base)
    return _make(asked, base, raw, "base-added", warning)


def _resolve_keep(asked):
    raw, script_name, path_info = asked.raw, asked.script_name, asked.path_info
    end = _prefix_end(raw, script_name)
    if asked.is_raw and end >= 0 and _is_same(raw[end:] or "/", path_info or "/"):
        return _cut_at(asked, end, "keep")
    original = raw if asked.is_raw and _is_same(raw, script_name + path_info) else None
    return _make(asked, encode_path(script_name), encode_path(path_info), "keep", None, original)


def _resolve_strip(asked):
    raw, path_info = asked.raw, asked.path_info
    end = _prefix_end(raw, asked.script_name)
    if asked.is_raw and end >= 0 and _is_same(raw[end:] or "/", path_info):
        return _make(asked, "", raw[end:], "ScriptNameStripper", None, raw)
    return _make(asked, "", _locate(asked, path_info or "/"), "ScriptNameStripper")


def _locate(asked, decoded):
    return asked.raw if asked.is_raw and _is_same(asked.raw, decoded) else encode_path(decoded)


def _clash_warning(script_name, raw):
    return (
        'the web server sends "%s" to the application mounted at "%s": its location matches more than that path; '
        "write it with a slash at the end"
    ) % (_clip(raw, 100), _clip(script_name, 100))


def _set_handler_warning(script_name, path_info):
    return (
        "Apache's SetHandler in a Location cut the path at SCRIPT_NAME \"%s\", PATH_INFO \"%s\", which is not the "
        'mount; state it: base: "/..." (or "" for the root), or use ProxyPass'
    ) % (_clip(script_name, 100), _clip(path_info, 100))


def _root_warning(params):
    if not params.get("SERVER_SOFTWARE", "").startswith("lighttpd"):
        return None
    return (
        'lighttpd sends SCRIPT_NAME "/" and no PATH_INFO: it will take the first segment of longer paths for the '
        'mount. Set "fix-root-scriptname" => "enable" there, or LighttpdCGIRootFix: true (or base: "") here'
    )


# Parameters -> environ ----------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_LINE_END = re.compile("[\r\n\x00]")
_AUTHORIZATION = re.compile(r"(?:REDIRECT_)*(?:(?:X[-_])?HTTP_AUTHORIZATION|Authorization)\Z")
#: httpoxy; and what the web server says itself, in CONTENT_TYPE, CONTENT_LENGTH and the length of STDIN.
_NEVER = frozenset(("HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"))
#: Of these the first counts when they come twice, as node:http has it; of HTTP_HOST the last; others are joined.
_SINGLE = frozenset(
    "HTTP_" + name
    for name in (
        "AGE AUTHORIZATION ETAG EXPIRES FROM IF_MODIFIED_SINCE IF_UNMODIFIED_SINCE LAST_MODIFIED LOCATION MAX_FORWARDS "
        "PROXY_AUTHORIZATION REFERER RETRY_AFTER SERVER USER_AGENT"
    ).split()
)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
#: Names of parameters that were looked at before, and that go into environ as they are.
_plain_names = set()


def parse_params(blob):
    """Name-value pairs -> a dict of latin-1 text, and the values of names that came more than once."""
    text = blob.decode("latin-1")
    params = {}
    more = None
    at = 0
    end = len(blob)
    count = 0
    try:
        while at < end:
            name = blob[at]
            value = blob[at + 1]
            if name | value < 128:
                at += 2
            else:
                at, name = _length_at(blob, at)
                at, value = _length_at(blob, at)
            middle = at + name
            at = middle + value
            key = text[middle - name:middle]
            count += 1
            if key in params:
                more = more or {}
                more.setdefault(key, [params[key]]).append(text[middle:at])
            params[key] = text[middle:at]
    except IndexError:
        at = -1
    if at != end:
        raise InvalidRequest("PARAMS end inside a pair")
    if count > MAX_PARAMS:
        raise TooLarge("%d params exceed the limit of %d" % (count, MAX_PARAMS))
    return params, more


def _length_at(blob, at):
    """A length in one byte or four -> where it ends, and the length."""
    if blob[at] < 128:
        return at + 1, blob[at]
    return at + 4, ((blob[at] & 127) << 24) | (blob[at + 1] << 16) | (blob[at + 2] << 8) | blob[at + 3]


class TooLarge(InvalidRequest):
    """Answered with 431."""


class FileWrapper:
    """wsgi.file_wrapper: a file in blocks that fill records."""

    def __init__(self, filelike, block_size=RECORD_BYTES):
        self.filelike = filelike
        self._size = max(block_size, RECORD_BYTES)
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self._size)
        if data:
            return data
        raise StopIteration


#: Of every environ.
_SAME = {
    "wsgi.version": (1, 0),
    "wsgi.input_terminated": True,
    "wsgi.run_once": False,
    "wsgi.file_wrapper": FileWrapper,
}


def make_environ(params, more, target, base=_SAME):
    """The parameters as WSGI wants them. Takes the dict over. `base`: what is the same in every request."""
    method = params.get("REQUEST_METHOD") or "GET"
    if method not in _METHODS and not _TOKEN.match(method):
        raise _invalid("REQUEST_METHOD", method)
    environ = params
    authorization = None
    # Nearly always all names are known and no value has the end of a line in it: seen without a look at each.
    if not params.keys() <= _plain_names:
        authorization = _sort_out(params)
    values = "".join(params.values())
    if "\n" in values or "\r" in values or "\0" in values:
        for name, value in params.items():
            if (name.startswith("HTTP_") or name == "CONTENT_TYPE") and _LINE_END.search(value):
                raise _invalid(name, value)
    if more is not None:
        for name, values in more.items():
            if name.startswith("HTTP_") and name in environ and name != "HTTP_HOST":
                if name in _SINGLE:
                    environ[name] = values[0]
                else:
                    environ[name] = ("; " if name == "HTTP_COOKIE" else ", ").join(values)
                if _LINE_END.search(environ[name]):
                    raise _invalid(name, environ[name])
    if not environ.get("HTTP_AUTHORIZATION"):
        environ.pop("HTTP_AUTHORIZATION", None)
        if authorization is not None:
            if _LINE_END.search(authorization):
                raise _invalid("HTTP_AUTHORIZATION", authorization)
            environ["HTTP_AUTHORIZATION"] = authorization
    length = environ.get("CONTENT_LENGTH")
    if length is not None and not _is_length(length):
        del environ["CONTENT_LENGTH"]
    environ["REQUEST_METHOD"] = method
    environ["SCRIPT_NAME"] = decode_path(target.base)
    path = target.path
    # The mount itself, asked for without its slash, has an empty path.
    is_bare = target.base != "" and target.original_url.partition("?")[0] == target.base
    environ["PATH_INFO"] = "" if is_bare else path if "%" not in path else decode_path(path)
    environ["QUERY_STRING"] = target.query
    # Django works the mount out of these, and takes off as many characters as PATH_INFO has: wrong, where the web server
    # has spelled the path in another way. SCRIPT_NAME is right as it is.
    for name in ("SCRIPT_URL", "REDIRECT_URL"):
        spelled = environ.get(name)
        if spelled is not None and (spelled != environ["SCRIPT_NAME"] + environ["PATH_INFO"] or "//" in spelled):
            del environ[name]
    # Caddy has it empty where the client sent none; a key that is not there means that to WSGI.
    if environ.get("HTTP_HOST") == "":
        del environ["HTTP_HOST"]
    if not environ.get("SERVER_NAME"):
        environ["SERVER_NAME"] = environ.get("SERVER_ADDR") or "localhost"
    scheme = _scheme(environ)
    if not environ.get("SERVER_PORT"):
        environ["SERVER_PORT"] = "443" if scheme == "https" else "80"
    if not environ.get("SERVER_PROTOCOL"):
        environ["SERVER_PROTOCOL"] = "HTTP/1.1"
    environ["wsgi.url_scheme"] = scheme
    environ.update(base)
    return environ


def _sort_out(params):
    """Drops headers that nobody may send. Returns an Authorization that strayed. What is plain is known from now on."""
    authorization = None
    for name in [name for name in params if name not in _plain_names]:
        value = params[name]
        is_plain = True
        if name.startswith("HTTP_"):
            if name in _NEVER or not _TOKEN.match(name):
                del params[name]
                continue
        elif name[:1] in "RAX" and _AUTHORIZATION.match(name):
            is_plain = False
            if value != "" and authorization is None:
                authorization = value
        # Strangers choose names: no more than so many, and none of any size, is kept.
        if is_plain and len(_plain_names) < 512 and len(name) <= 64:
            _plain_names.add(name)
    return authorization


def _is_length(text):
    return 0 < len(text) <= 15 and text.isascii() and text.isdigit()


def _scheme(params):
    https = params.get("HTTPS", "")
    if https != "":
        return "https" if https == "1" or https.lower() == "on" else "http"
    return "https" if params.get("REQUEST_SCHEME", "").lower() == "https" else "http"


# The body ------------------------------------------------------------------------------------------------------------


class Input:
    """wsgi.input. Most requests have no body: the machinery is made when it is first asked for something."""

    __slots__ = ("_raw", "_reader")

    def __init__(self, raw):
        self._raw = raw
        self._reader = None

    def _open(self):
        reader = self._reader
        if reader is None:
            reader = self._reader = io.BufferedReader(_RawInput(self._raw), 16384)
        return reader

    def read(self, size=-1):
        is_whole = size is None or size < 0
        if self._reader is not None or not is_whole and size < SMALL_READ:
            return self._open().read(-1 if is_whole else size)
        # Frameworks take a body whole, or in large pieces: what has come goes into them directly.
        left = sys.maxsize if is_whole else size
        pieces = []
        while left:
            piece = self._raw(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def read1(self, size=-1):
        return self._open().read1(size)

    def readline(self, size=-1):
        return self._open().readline(-1 if size is None else size)

    def readlines(self, hint=-1):
        return self._open().readlines(hint)

    def __iter__(self):
        return iter(self._open())

    def readable(self):
        return True


class _RawInput(io.RawIOBase):
    def __init__(self, source):
        super().__init__()
        self._source = source

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self._source(len(buffer))
        buffer[:len(piece)] = piece
        return len(piece)

    def readall(self):
        pieces = []
        while True:
            piece = self._source(1 << 30)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)


# One request ---------------------------------------------------------------------------------------------------------

_STATUS = re.compile("([1-9][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\\Z")
#: Line ends and tabs may stand in an error log; what else a terminal obeys may not.
_STDERR_CONTROL = re.compile("\r(?=\n)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FIELD_VALUE = re.compile("[\t -~\x80-\xff]*\\Z")
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "status")
)
#: What was found of the statuses and the names of headers that applications send again and again.
_codes = {}
_lower_names = {}
_MOST_KNOWN = 256


def _code_of(status):
    found = _STATUS.match(status)
    if found is None:
        raise ValueError("the status must be three digits and a reason such as '200 OK', not %r" % status[:80])
    code = int(found.group(1))
    if len(_codes) < _MOST_KNOWN:
        _codes[status] = code
    return code


def _lower_name_of(name):
    if not _TOKEN.match(name):
        raise ValueError("the name of a header holds characters HTTP forbids: %r" % name[:80])
    lower = name.lower()
    if len(_lower_names) < _MOST_KNOWN and len(name) <= 64:
        _lower_names[name] = lower
    return lower


_PAGE = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>%s</title>\n'
    "<style>body{font:1em/1.5 system-ui,sans-serif;color-scheme:light dark;max-width:45em;margin:15vh auto;"
    "padding:0 1em}"
    "h1{font-size:1.5em;font-weight:600}pre{overflow:auto;font-size:.85em}</style>\n"
    "</head>\n<body>\n<h1>%s</h1>\n%s</body>\n</html>\n"
)


def _end_record(request_id, app_status, protocol_status):
    return HEADER.pack(1, END_REQUEST, request_id, 8, 0, 0) + struct.pack(">IBxxx", app_status, protocol_status)


class Exchange:
    """One request being served: what the application is called with, and its answer."""

    def __init__(self, connection, request_id, keep_conn):
        self.connection = connection
        self.request_id = request_id
        self.keep_conn = keep_conn
        self.number = 0
        self.started_at = 0.0  # of the epoch
        self.began = 0.0
        self.thread = 0
        self.method = "GET"
        self.url = ""
        self.client = ""
        self.software = ""
        self.lock = threading.Lock()  # of the answer: the main thread may end a request
        self.status = 0
        self.fields = None  # lines of the header block; None: start_response was not called
        self.length = None  # Content-Length, if the application said
        self.has_location = False
        self.is_bodyless = False
        self.is_head_sent = False
        self.is_ended = False
        self.is_slow = False
        self.is_expired = False
        self.is_stranger = False  # nobody who may see tracebacks
        self.has_stderr = False
        self.held = None  # a STDERR record that goes out with the head
        self.sent = 0
        self.announced = -1  # CONTENT_LENGTH
        self.received = 0
        self.input_error = None
        self.logged = None  # what the access log wants to know of it

    @property
    def id(self):
        """Names this request in logs."""
        return "%d-%d" % (os.getpid(), self.number)

    # What the application sees

    def start_response(self, status, headers, exc_info=None):
        if exc_info:
            try:
                if self.is_head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.fields is not None:
            raise AssertionError("start_response() was called again, without exc_info")
        if type(status) is not str:
            status = _exact_text("the status must be text such as '200 OK', not %r", status)
        code = _codes.get(status) or _code_of(status)
        length = None
        has_location = False
        is_events = False
        has_buffering = False
        fields = []
        for name, value in headers:
            if type(name) is not str or type(value) is not str:
                name = _exact_text("the names of headers must be text, not %r", name)
                value = _exact_text("the values of headers must be text, not %r", value)
            lower = _lower_names.get(name) or _lower_name_of(name)
            if not (value.isascii() and value.isprintable()) and not _FIELD_VALUE.match(value):
                raise ValueError("header %s holds characters HTTP forbids: %r" % (name, value[:80]))
            if lower in _HOP_BY_HOP:
                continue
            if lower == "content-length":
                if code == 204 or code < 200:
                    continue  # RFC 9110 section 8.6; h2o would wait for the body
                if not _is_length(value.strip()):
                    raise ValueError("Content-Length must be a number: %r" % value[:80])
                length = int(value)
            elif lower == "location":
                has_location = True
            elif lower == "content-type":
                is_events = value[:17].lower() == "text/event-stream"
            elif lower == "x-accel-buffering":
                has_buffering = True
            fields.append("%s: %s\r\n" % (name, value))
        if is_events and not has_buffering:
            fields.append("X-Accel-Buffering: no\r\n")
        line = "Status: %s\r\n" % status.strip()
        # Last where there is a Location: HAProxy 2.6 makes a 302 of every status that stands before one.
        fields.insert(len(fields) if has_location else 0, line)
        self.status = code
        self.fields = fields
        self.length = length
        self.has_location = has_location
        self.is_bodyless = self.method == "HEAD" or code in (204, 304) or code < 200
        return self.write

    def read_input(self, most):
        # What the application has kept beyond its request must not reach into the connection's next one.
        return self.connection.read_stdin(most) if self.connection.exchange is self else b""

    def write(self, data):
        if self.fields is None:
            raise AssertionError("write() was called before start_response()")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("a body consists of bytes, not %s" % type(data).__name__)
        if not isinstance(data, bytes):
            data = bytes(data)  # the length of a memoryview counts items
        if data or not self.is_head_sent:
            self._send(data, False)

    def run(self, application, environ):
        """Calls the application and sends what it answers. Raises what it raises."""
        result = application(environ, self.start_response)
        try:
            kind = type(result)
            if kind is list or kind is tuple:
                for piece in result:
                    if not isinstance(piece, bytes):
                        raise TypeError("a body consists of bytes, not %s" % type(piece).__name__)
                body = result[0] if len(result) == 1 else b"".join(result)
                if self.length is None and not self.is_head_sent and not self.is_bodyless and self.fields is not None:
                    self.length = len(body)
                    at = len(self.fields) - 1 if self.has_location else len(self.fields)
                    self.fields.insert(at, "Content-Length: %d\r\n" % self.length)
                self._finish(body)
            else:
                for piece in result:
                    if not isinstance(piece, bytes):
                        raise TypeError("a body consists of bytes, not %s" % type(piece).__name__)
                    if piece:
                        if self.fields is None:
                            raise AssertionError("the application gave a body before it called start_response()")
                        if self.is_ended and not self.is_expired:
                            break  # beyond its Content-Length, however much there is of it
                        self._send(piece, False)
                        if self.is_ended and self.is_bodyless:
                            break  # HEAD of a stream without end would keep its thread for ever
                self._finish(b"")
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    # The answer

    def _finish(self, body):
        if self.is_ended:
            return
        if self.fields is None:
            raise AssertionError("the application returned without calling start_response()")
        if self.length is not None and not self.is_bodyless and self.sent + len(body) < self.length:
            if body:
                self._send(body, False)
            raise AssertionError("the body has %d bytes, and Content-Length says %d" % (self.sent, self.length))
        self._send(body, True)

    def _send(self, data, is_last, app_status=0):
        with self.lock:
            if self.is_expired:
                raise Disconnected("the request was ended: it took too long")
            if self.is_ended:
                return
            out = []
            if not self.is_head_sent:
                head = "".join((*self.fields, "\r\n")).encode("latin-1")
                if len(head) > MAX_HEAD_BYTES:
                    message = "header block of %d bytes, the limit is %d" % (len(head), MAX_HEAD_BYTES)
                    self.fields = None
                    raise ValueError(message)
                self.is_head_sent = True
                if self.held is not None:
                    out.append(self.held)
            else:
                head = b""
            size = 0 if self.is_bodyless else len(data)
            if self.length is not None and self.sent + size > self.length:
                size = max(0, self.length - self.sent)
                data = memoryview(data)[:size]
            self.sent += size
            # With Content-Length, the last byte tells that this is all: it goes out with the end, in one write.
            if self.length is not None and self.sent == self.length and (size > 0 or self.length == 0):
                is_last = True
            if self.is_bodyless and not is_last:
                is_last = True
            rid = self.request_id
            if len(head) + size <= RECORD_BYTES:
                if head or size:
                    out.append(HEADER.pack(1, STDOUT, rid, len(head) + size, 0, 0))
                    out.append(head)
                    if size:
                        out.append(data)
            else:
                if head:
                    out.append(HEADER.pack(1, STDOUT, rid, len(head), 0, 0))
                    out.append(head)
                view = memoryview(data)
                for at in range(0, size, RECORD_BYTES):
                    piece = view[at:at + RECORD_BYTES]
                    out.append(HEADER.pack(1, STDOUT, rid, len(piece), 0, 0))
                    out.append(piece)
            if is_last:
                self.is_ended = True
                if self.has_stderr:
                    out.append(HEADER.pack(1, STDERR, rid, 0, 0, 0))
                out.append(ENDING.pack(1, STDOUT, rid, 0, 0, 1, END_REQUEST, rid, 8, 0, app_status, REQUEST_COMPLETE))
                # nginx keeps a connection only when nothing follows END_REQUEST (docs/adr/0012).
                can_be_told = self.software.startswith("nginx")
                if self.keep_conn and not self.connection.may_keep(can_be_told):
                    self.keep_conn = False
                    if can_be_told:
                        out.append(HEADER.pack(1, GET_VALUES_RESULT, 0, 0, 0, 0))
            try:
                self.connection.send(out, size)
            except Disconnected:
                if head:  # nobody got an answer
                    self.is_head_sent = False
                    self.sent = 0
                raise

    def send_stderr(self, text, is_held=False):
        """To the web server's error log, at once or with the head of the answer. Returns whether it goes there."""
        data = _STDERR_CONTROL.sub(_escape_control, text).encode("utf-8", "backslashreplace")[:RECORD_BYTES]
        with self.lock:
            if self.is_ended or self.is_expired:
                return False
            record = HEADER.pack(1, STDERR, self.request_id, len(data), 0, 0) + data
            if is_held and not self.is_head_sent:
                self.held = record
            # HAProxy 2 dies of a STDERR record that comes by itself, with every visitor it has.
            elif self.software.startswith("HAProxy 2."):
                return False
            else:
                self.connection.send([record])
            self.has_stderr = True
        return True

    def answer(self, status, title, content_type, body, app_status=0, extra=()):
        """A whole answer of ours."""
        self.fields = None
        fields = [("Content-Type", content_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        self.start_response("%d %s" % (status, title), fields + list(extra))
        self._send(body, True, app_status)

    def page(self, status, title, detail=None, app_status=0):
        heading = "%d %s" % (status, title)
        more = "" if detail is None else "<pre>%s</pre>\n" % _escape_html(detail[-6000:])
        self.answer(
            status, title, "text/html; charset=utf-8", (_PAGE % (heading, heading, more)).encode("ascii"), app_status
        )

    def expire(self):
        """Ends it from another thread, with 504 if there is still time. Whatever the application sends then raises."""
        if not self.lock.acquire(False):  # its thread is sending
            self.is_expired = True
            self.break_off()
            return "connection cut"
        try:
            self.is_expired = True
            if self.is_head_sent or self.is_ended:  # ended, without a head: the web server had given it up
                if not self.is_ended:
                    self.break_off()
                return "connection cut"
            self.is_head_sent = self.is_ended = True
            self.keep_conn = False
            self.status = 504
            body = (_PAGE % ("504 Gateway Timeout", "504 Gateway Timeout", "")).encode("ascii")
            head = (
                "Status: 504 Gateway Timeout\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n"
                "Cache-Control: no-store\r\n\r\n"
            ) % len(body)
            self.fields = head.splitlines(True)
            self.sent = 0 if self.method == "HEAD" else len(body)
            content = head.encode("ascii") + (b"" if self.method == "HEAD" else body)
            rid = self.request_id
            self.connection.send_at_once(
                [
                    HEADER.pack(1, STDOUT, rid, len(content), 0, 0),
                    content,
                    HEADER.pack(1, STDOUT, rid, 0, 0, 0),
                    HEADER.pack(1, STDERR, rid, 0, 0, 0) if self.has_stderr else b"",
                    _end_record(rid, 0, REQUEST_COMPLETE),
                ]
            )
            self.connection.break_off(b"")
        except Disconnected:
            pass
        finally:
            self.lock.release()
        return "answered 504"

    def break_off(self):
        """The end of the connection as an error that the web server does not overlook (docs/adr/0010)."""
        self.is_ended = True
        self.keep_conn = False
        if self.software.startswith("HAProxy"):
            tail = HEADER.pack(1, STDERR, self.request_id, 0, 0, 0) if self.has_stderr else b""
        else:
            tail = bytes(8)
        self.connection.break_off(tail)


def _escape_control(found):
    return "" if found.group() == "\r" else "\\x%02x" % ord(found.group())


_OWN_ADDRESS = re.compile(r"(?:127(?:\.\d+){3}|::1|::ffff:127(?:\.\d+){3})\Z")
_OWN_NAME = re.compile(r"(?:localhost|[^/]+\.localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?\Z", re.I)


def _is_developer(params):
    """Whether somebody on this machine asks, as isDeveloper of src/server/boot-failure.ts finds it out."""
    hops = [hop.strip() for hop in params.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    return (
        _OWN_ADDRESS.match(params.get("REMOTE_ADDR", "?")) is not None
        and all(hop == "" or _OWN_ADDRESS.match(hop) for hop in hops)
        and "HTTP_FORWARDED" not in params
        and _OWN_NAME.match(params.get("HTTP_HOST", "localhost")) is not None
    )


def _exact_text(problem, text):
    """PEP 3333 wants str itself. What frameworks derive from it (SafeString, Markup, members of enums) is taken for the
    text that it is, whatever its __str__ shows."""
    if not isinstance(text, str):
        raise TypeError(problem % (text,))
    return str.__str__(text)


def _escape_html(text):
    return "".join(
        "&#%d;" % ord(char) if char in "&<>\"'" or ord(char) > 126 else char
        for char in text
        if char in "\n\t" or ord(char) >= 32
    )


# Connections ---------------------------------------------------------------------------------------------------------

IDLE, HEAD, RUNNING, LINGER = range(4)


class Connection:
    """An accepted socket: records in, records out. In the hands of one thread at a time."""

    __slots__ = (
        "server", "sock", "fd", "state", "buf", "pos", "request_id", "keep_conn", "blob", "blob_bytes", "error",
        "stdin_left", "padding_left", "stdin_ended", "skip", "is_watched", "is_used", "since", "peer", "exchange",
        "claim", "is_nginxs", "is_asked",
    )

    def __init__(self, server, sock, peer):
        self.server = server
        self.sock = sock
        self.fd = sock.fileno()
        self.state = IDLE
        self.buf = b""
        self.pos = 0
        self.request_id = 0
        self.keep_conn = False
        self.blob = None
        self.blob_bytes = 0
        self.error = None
        self.stdin_left = 0
        self.padding_left = 0
        self.stdin_ended = True
        self.skip = 0  # of a record that nobody reads
        self.is_watched = False
        self.is_used = False
        self.since = time.monotonic()  # when bytes last came, or lingering began
        self.peer = peer
        self.exchange = None
        self.claim = threading.Lock()  # of the thread in whose hands it is
        self.is_nginxs = False  # who keeps it
        self.is_asked = False  # to leave, since its last request

    # Output

    def send(self, parts, size=0):
        """`size`: of those parts that may be large. Copying those costs more than naming each to the kernel."""
        try:
            if size <= COPIED_BYTES:
                self.sock.sendall(b"".join(parts))
            else:
                self._send_many(parts)
        except OSError as error:
            raise Disconnected("the web server is gone (%s)" % error.strerror) from None

    def _send_many(self, parts):
        views = [memoryview(part) for part in parts if len(part)]
        at = 0
        while at < len(views):
            sent = self.sock.sendmsg(views[at:at + 512])
            while at < len(views) and sent >= len(views[at]):
                sent -= len(views[at])
                at += 1
            if sent:
                views[at] = views[at][sent:]

    def break_off(self, tail):
        try:
            # Not waiting: the main thread does this too. Where there is no room, the end comes within a record anyway.
            if tail:
                self.sock.send(tail, socket.MSG_DONTWAIT)
        except OSError:
            pass
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def send_at_once(self, parts):
        """For the main thread, which waits for nobody."""
        try:
            self.sock.send(b"".join(parts), socket.MSG_DONTWAIT)
        except OSError as error:
            raise Disconnected("nobody reads the answer (%s)" % error.strerror) from None

    def ask_to_leave(self):
        """For the main thread: asks nginx to close it, as src/server/farewell.ts does. Returns whether it was asked."""
        if not self.is_nginxs or self.is_asked or not self.claim.acquire(False):
            return False
        try:
            if self.state != IDLE or self.buf:
                return False
            self.is_asked = True
            self.send_at_once([HEADER.pack(1, STDERR, 1, 0, 0, 0)])
            return True
        except Disconnected:
            return False
        finally:
            self.claim.release()

    def may_keep(self, can_be_told):
        return self.server.may_keep(can_be_told)

    # Input

    def receive(self):
        """Reads what is there. Returns False when nothing is, raises Disconnected when there never will be more."""
        try:
            data = self.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            raise Disconnected("the web server is gone") from None
        if not data:
            raise Disconnected("the web server has closed the connection")
        self.buf = data if self.pos == len(self.buf) else self.buf[self.pos:] + data
        self.pos = 0
        return True

    def _wait(self, is_inside):
        """Blocks until there is more of the body. Only what has begun to arrive has to come soon."""
        try:
            while not self.receive():
                poll = select.poll()
                poll.register(self.fd, select.POLLIN)
                if not poll.poll(RECORD_TIMEOUT * 1000 if is_inside else None) and is_inside:
                    raise Disconnected("a record did not arrive whole within %d s" % RECORD_TIMEOUT)
        except Disconnected as error:
            self.exchange.input_error = error  # whatever the application makes of it
            raise

    def next_request(self):
        """Takes records from what was received. Returns the id of a request whose parameters are complete, else 0.
        Raises Disconnected when the connection cannot be used any further."""
        buf = self.buf
        size = len(buf)
        if self.skip:
            skipped = min(self.skip, size - self.pos)
            self.pos += skipped
            self.skip -= skipped
        elif self.state == IDLE and self.pos < size:
            request_id = self._ordinary_request()
            if request_id:
                return request_id
        pos = self.pos
        while size - pos >= 8:
            version, kind, request_id, length, padding, _ = HEADER.unpack_from(buf, pos)
            if version != 1:
                self._on_strange(buf[pos:pos + 8])
            stop = pos + 8 + length
            if stop + padding > size:
                break
            self.pos = stop + padding
            if kind == PARAMS and request_id == self.request_id and self.state == HEAD:
                if length:
                    self._add_params(buf[pos + 8:stop])
                else:
                    self.state = RUNNING
                    self.stdin_ended = False
                    self.stdin_left = self.padding_left = 0
                    return request_id
            elif kind == BEGIN_REQUEST:
                self._on_begin(request_id, buf[pos + 8:stop])
            elif kind == ABORT_REQUEST and request_id == self.request_id and self.state == HEAD:
                self.send([_end_record(request_id, 0, REQUEST_COMPLETE)])
                self.state = IDLE
                if not self.keep_conn:
                    raise Disconnected("aborted")
            elif request_id == 0:
                self._on_management(kind, buf[pos + 8:stop])
            elif self.state == LINGER and kind == STDIN and request_id == self.request_id and not length:
                raise Disconnected("the body was read to its end")
            pos = self.pos
        return 0

    def _ordinary_request(self):
        """The id of a request that came as nearly all do: BEGIN_REQUEST, one record of parameters and the empty one
        that ends them, together. Else 0, and nothing was taken."""
        buf = self.buf
        pos = self.pos
        if len(buf) - pos < 32:
            return 0
        version, kind, request_id, length, padding, _, role, flags, version_2, kind_2, id_2, bytes_2, padding_2 = (
            BEGINNING.unpack_from(buf, pos)
        )
        if (
            kind != BEGIN_REQUEST or kind_2 != PARAMS or version != 1 or version_2 != 1 or request_id != id_2
            or length != 8 or padding or role != RESPONDER or not request_id or not bytes_2
        ):
            return 0
        start = pos + 24
        end = start + bytes_2 + padding_2
        if len(buf) < end + 8 or HEADER.unpack_from(buf, end)[:5] != (1, PARAMS, request_id, 0, 0):
            return 0
        self.pos = end + 8
        self.request_id = request_id
        self.keep_conn = flags & KEEP_CONN != 0
        self.blob = (buf[start:start + bytes_2],)
        self.error = None
        self.state = RUNNING
        self.stdin_ended = False
        self.stdin_left = self.padding_left = 0
        return request_id

    def _add_params(self, content):
        self.blob_bytes += len(content)
        if self.blob_bytes > MAX_PARAMS_BYTES:
            self.error = TooLarge("params exceed %d bytes" % MAX_PARAMS_BYTES)
            self.blob = []
        else:
            self.blob.append(content)

    def _on_begin(self, request_id, content):
        if request_id == 0 or len(content) != 8:
            raise Disconnected("BEGIN_REQUEST of id %d has %d bytes" % (request_id, len(content)))
        role = (content[0] << 8) | content[1]
        keep_conn = bool(content[2] & KEEP_CONN)
        if self.state in (HEAD, RUNNING):
            if request_id == self.request_id:
                raise Disconnected("BEGIN_REQUEST of a request that has begun")
            self.send([_end_record(request_id, 0, CANT_MPX_CONN)])
            return
        if self.state == LINGER:
            return
        if role != RESPONDER:
            self.send([_end_record(request_id, 0, UNKNOWN_ROLE)])
            if not keep_conn:
                # The rest of the request is on its way: closing over it would be a reset, which can overtake the answer.
                self.request_id = 0
                self.since = time.monotonic()
                self.state = LINGER
                self.break_off(b"")
            return
        self.state = HEAD
        self.request_id = request_id
        self.keep_conn = keep_conn
        self.blob = []
        self.blob_bytes = 0
        self.error = None

    def _on_management(self, kind, content):
        if kind != GET_VALUES:
            self.send([HEADER.pack(1, UNKNOWN_TYPE, 0, 8, 0, 0), bytes((kind, 0, 0, 0, 0, 0, 0, 0))])
            return
        most = str(MAX_CONNECTIONS)
        known = {"FCGI_MAX_CONNS": most, "FCGI_MAX_REQS": most, "FCGI_MPXS_CONNS": "0"}
        try:
            asked, _ = parse_params(content)
        except InvalidRequest as error:
            raise Disconnected("GET_VALUES: %s" % error) from None
        pairs = b"".join(
            bytes((len(name), len(known[name]))) + name.encode() + known[name].encode()
            for name in asked
            if name in known
        )
        self.send([HEADER.pack(1, GET_VALUES_RESULT, 0, len(pairs), 0, 0), pairs])

    def _on_strange(self, start):
        if re.match(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) ", start):
            text = (
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nThis "
                "port speaks FastCGI, not HTTP. Put a web server in front of it, for example nginx with fastcgi_pass.\n"
            )
            self.send([text.encode()])
        raise Disconnected("what came is not FastCGI 1.0")

    def read_stdin(self, most):
        """Some bytes of the body of the running request, for the moment; empty at its end. Blocks."""
        exchange = self.exchange
        if exchange.input_error is not None:
            raise exchange.input_error
        while not self.stdin_ended:
            have = len(self.buf) - self.pos
            if self.stdin_left:
                if not have:
                    self._wait(True)
                    continue
                size = min(have, self.stdin_left, most)
                piece = memoryview(self.buf)[self.pos:self.pos + size]
                self.pos += size
                self.stdin_left -= size
                if 0 <= exchange.announced < exchange.received + size:
                    # Longer than CONTENT_LENGTH: the rest is dropped.
                    piece = piece[:exchange.announced - exchange.received]
                    if not piece:
                        continue
                exchange.received += len(piece)
                return piece
            if self.padding_left:
                skipped = min(have, self.padding_left)
                self.pos += skipped
                self.padding_left -= skipped
                if self.padding_left:
                    self._wait(True)
                continue
            if have < 8:
                self._wait(have > 0)
                continue
            version, kind, request_id, length, padding, _ = HEADER.unpack_from(self.buf, self.pos)
            if version != 1:
                raise self._lost(exchange, "what came is not FastCGI 1.0")
            if kind == STDIN and request_id == self.request_id:
                self.pos += 8
                self.padding_left = padding
                self.stdin_left = length
                if not length:
                    self.stdin_ended = True
                continue
            if have < 8 + length + padding:
                self._wait(True)
                continue
            content = self.buf[self.pos + 8:self.pos + 8 + length]
            self.pos += 8 + length + padding
            if kind == ABORT_REQUEST and request_id == self.request_id:
                self.stdin_ended = True
                raise self._lost(exchange, "the web server has given the request up")
            try:
                if kind == BEGIN_REQUEST:
                    self._on_begin(request_id, content)
                elif request_id == 0:
                    self._on_management(kind, content)
            except Disconnected as error:
                exchange.input_error = error
                raise
        if 0 <= exchange.received < exchange.announced:
            message = "the body ended after %d of %d bytes" % (exchange.received, exchange.announced)
            exchange.input_error = BodyShort(message)
            raise exchange.input_error
        return b""

    def _lost(self, exchange, why):
        exchange.input_error = Disconnected(why)
        return exchange.input_error


# The server ----------------------------------------------------------------------------------------------------------


class EpollWatch:
    """Descriptors, each watched for one event at a time, by several threads at once."""

    def __init__(self):
        self._epoll = select.epoll()
        self._known = set()

    def watch(self, fd):
        flags = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
        if fd in self._known:
            self._epoll.modify(fd, flags)
            return
        self._known.add(fd)  # first: another thread may wake at once
        try:
            self._epoll.register(fd, flags)
        except OSError:
            self._known.discard(fd)
            raise

    def watch_always(self, fd):
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, fd):
        if fd in self._known:
            self._known.discard(fd)
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass

    def wait(self):
        while True:
            for fd, _ in self._epoll.poll(None, 1):
                return fd


class KqueueWatch:  # pragma: no cover: not Linux
    def __init__(self):
        self._queue = select.kqueue()

    def _change(self, fd, flags):
        self._queue.control([select.kevent(fd, select.KQ_FILTER_READ, flags)], 0)

    def watch(self, fd):
        self._change(fd, select.KQ_EV_ADD | select.KQ_EV_ONESHOT)

    def watch_always(self, fd):
        self._change(fd, select.KQ_EV_ADD)

    def forget(self, fd):
        try:
            self._change(fd, select.KQ_EV_DELETE)
        except OSError:
            pass

    def wait(self):
        while True:
            for event in self._queue.control(None, 1, None):
                return event.ident


#: Upper bounds of the histogram of durations, seconds: src/server/meter.ts.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class Settings:
    """What decides how requests are served."""

    def __init__(self, **given):
        self.threads = 8
        self.mount_kind = "auto"
        self.mount_base = ""
        self.is_development = False
        self.for_developers = False  # tracebacks are for a browser on this machine alone
        self.is_multiprocess = True
        self.has_siblings = True  # that accept from the same socket
        self.allowed_clients = None  # of TCP; None: this machine
        self.checks_unix = False
        self.slow_ms = 0
        self.slow_depth = 20
        self.timeout_ms = 0
        self.ping_path = None
        self.ping_response = "pong"
        self.status_path = None
        self.metrics_path = None
        for name, value in given.items():
            if not hasattr(self, name):
                raise TypeError("there is no setting %s" % name)
            setattr(self, name, value)


class Server:
    """Sockets, threads, and the application they run. `host` hears what happens: log(), ask_status()."""

    def __init__(self, application, settings, host, scoreboard=None):
        self.application = application
        self.settings = settings
        self.host = host
        self.scoreboard = scoreboard
        self.lock = threading.Lock()
        self.connections = {}
        self.listeners = {}
        self.open = {}  # exchanges by thread slot
        self._accepting = set()  # slots of threads with a connection that is not among `connections` yet
        self.requests = 0
        self.accepted = 0
        self.slow_requests = 0
        self.meter = [0.0] * (8 + len(BOUNDS) + 1)
        self.full_since = None
        self.full_time = 0.0
        self.is_leaving = False
        self.is_draining = False
        self.drained_since = 0.0
        self._is_over = False
        self._threads = []
        self._idle = 0
        self._told = set()
        self._told_at = {}
        self.access_log = None
        self._environ = dict(_SAME)
        self._environ["wsgi.multithread"] = settings.threads > 1
        self._environ["wsgi.multiprocess"] = settings.is_multiprocess
        self.hops = None
        self.is_child = False
        os.register_at_fork(after_in_child=self._on_fork)
        self._watch = EpollWatch() if hasattr(select, "epoll") else KqueueWatch()
        self._wake, self._waker = socket.socketpair()
        self._watch.watch_always(self._wake.fileno())
        self._allows = None

    # Threads

    def listen(self, listeners):
        for sock in listeners:
            sock.setblocking(False)  # shared with other workers: somebody else may be faster
            self.listeners[sock.fileno()] = sock
        with self.lock:
            self._add_thread()
        for fd in self.listeners:
            self._watch.watch(fd)

    def _add_thread(self):
        slot = len(self._threads)
        thread = threading.Thread(target=self._work, args=(slot,), name="postern-%d" % slot, daemon=True)
        thread.start()
        self._threads.append(thread)
        self._idle += 1

    def _add_thread_if_possible(self):
        """The system may refuse one (TasksMax, RLIMIT_NPROC, memory): those that there are go on."""
        try:
            self._add_thread()
        except (RuntimeError, MemoryError) as error:
            if self._is_time_to_tell("thread"):
                text = "%d of %d threads run: the system gives no more" % (len(self._threads), self.settings.threads)
                self.host.log("error", text, {"error": str(error)})

    def _is_time_to_tell(self, what):
        """What happens with every request is worth a line now and then."""
        now = time.monotonic()
        if now - self._told_at.get(what, -TELL_AGAIN) < TELL_AGAIN:
            return False
        self._told_at[what] = now
        return True

    def _work(self, slot):
        wait = self._watch.wait
        wake = self._wake.fileno()
        while True:
            fd = wait()
            if fd == wake:
                if self._is_over:
                    return
                continue
            try:
                listener = self.listeners.get(fd)
                if listener is not None:
                    self._accept(listener, slot)
                else:
                    connection = self.connections.get(fd)
                    if connection is not None:
                        self._serve(connection, slot)
            except Exception:  # a mistake of ours must not cost the thread
                self.host.log("error", "a connection failed inside Postern", {"error": _traceback()})

    def _accept(self, listener, slot):
        # In this order: begin_drain() says that it drains, and then looks who accepts.
        self._accepting.add(slot)
        try:
            if not self.is_draining:
                self._accept_one(listener, slot)
        finally:
            self._accepting.discard(slot)

    def _accept_one(self, listener, slot):
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            self._watch_listener(listener)
            return
        except OSError as error:
            if self.is_draining:
                return  # it was closed meanwhile
            if self._is_time_to_tell("accept"):
                self.host.log("error", "a connection could not be accepted; accepting goes on", {"error": str(error)})
            time.sleep(0.1)
            self._watch_listener(listener)
            return
        self._watch_listener(listener)
        self.adopt(sock, address, slot)

    def _watch_listener(self, listener):
        # Without a lock, for which the thread that wakes next would wait.
        if self.is_draining:
            return
        fd = listener.fileno()
        try:
            self._watch.watch(fd)
        except (OSError, ValueError):
            if not self.is_draining:  # else begin_drain() has just looked away from it, or it was closed
                raise
        if self.is_draining:
            self._watch.forget(fd)

    def adopt(self, sock, address, slot):
        if not self._may_connect(sock, address):
            sock.close()
            return
        if len(self.connections) >= MAX_CONNECTIONS:
            if self._is_time_to_tell("connections"):
                self.host.log("warn", "more than %d connections" % MAX_CONNECTIONS, {})
            sock.close()
            return
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, sock, address)
        self.connections[connection.fd] = connection
        self.accepted += 1
        self._accepting.discard(slot)
        if slot is None:
            self._watch_connection(connection)
        else:
            self._serve(connection, slot)

    def _may_connect(self, sock, address):
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            if not self.settings.checks_unix:
                return True
            peer = "unix"
        else:
            peer = address[0]
            if self._allows is None:
                self._allows = _address_list(self.settings.allowed_clients)
            if self._allows(peer):
                return True
        self.host.log("warn", "connection refused: the address is not among allowedClients", {"peer": peer})
        return False

    def _most_kept(self):
        """With siblings as many connections as threads: a request on one that was kept never waits for a thread while
        a sibling has one. Alone there is no such choice, and a new connection costs more."""
        return self.settings.threads if self.settings.has_siblings else MAX_KEPT

    def may_keep(self, can_be_told):
        """A web server that cannot be told that a connection closes might send its next request into it: there check()
        closes what is too many, after a silence."""
        return not self.is_draining and (not can_be_told or len(self.connections) <= self._most_kept())

    # One connection

    def _serve(self, connection, slot):
        with connection.claim:
            lives_on = self._serve_claimed(connection, slot)
        # Without the lock, for which the thread that wakes next would wait.
        if lives_on:
            self._watch_connection(connection)

    def _serve_claimed(self, connection, slot):
        try:
            # A fresh connection usually has its request with it already.
            while True:
                # First: check() is not to take for silent what has just been read.
                if connection.state != LINGER:
                    connection.since = time.monotonic()
                if not connection.receive():
                    return True
                while True:
                    request_id = connection.next_request()
                    if not request_id:
                        break
                    connection.is_used = True
                    if not self._request(connection, slot):
                        return False
                    if not connection.buf:
                        break
                if connection.state == IDLE and connection.pos == len(connection.buf):
                    return True
        except Disconnected:
            self._close(connection)
            return False
        except Exception:  # a mistake of ours
            self._close(connection)
            raise

    def _watch_connection(self, connection):
        connection.is_watched = True  # first: another thread may wake, and close it
        try:
            self._watch.watch(connection.fd)
        except OSError:
            self._close(connection)
            raise

    def _close(self, connection):
        self.connections.pop(connection.fd, None)
        if connection.is_watched:
            self._watch.forget(connection.fd)
        connection.sock.close()

    def _request(self, connection, slot):
        """Serves one request. Returns whether the connection lives on."""
        exchange = Exchange(connection, connection.request_id, connection.keep_conn)
        connection.exchange = exchange
        blob = connection.blob
        connection.blob = None
        problem = connection.error
        params = more = None
        if problem is None:
            try:
                params, more = parse_params(blob[0] if len(blob) == 1 else b"".join(blob))
            except InvalidRequest as error:
                problem = error
        if params is not None:
            if self.hops is not None:
                if self.access_log is not None:
                    exchange.logged = (dict(params),)
                self.hops.apply(params, more)
            exchange.method = params.get("REQUEST_METHOD") or "GET"
            exchange.url = params.get("REQUEST_URI") or params.get("SCRIPT_NAME", "") + params.get("PATH_INFO", "")
            exchange.client = params.get("REMOTE_ADDR", "")
            exchange.software = params.get("SERVER_SOFTWARE", "")
        self._begin(exchange, slot)
        try:
            self._answer(exchange, params, more, problem)
        finally:
            self._end(exchange, slot)
        return self._after(connection, exchange)

    def _answer(self, exchange, params, more, problem):
        try:
            if problem is not None:
                raise problem
            if not self._probe(exchange, params):
                self._run(exchange, params, more)
        except InvalidRequest as error:
            self._refuse(exchange, error)
        except Disconnected as error:
            self._on_gone(exchange, error)
        except BaseException:  # SystemExit of an application ends its request, not the worker
            self._on_failure(exchange)

    def run_once(self, exchange, params):
        """The one request of a CGI program."""
        self._answer(exchange, params, None, None)

    def _run(self, exchange, params, more):
        if self.settings.for_developers:
            exchange.is_stranger = not _is_developer(params)
        settings = self.settings
        if self.access_log is not None:
            known = dict(params)  # the application may change its environ
            exchange.logged = (known if exchange.logged is None else exchange.logged[0], known)
        target = resolve_target(params, settings.mount_kind, settings.mount_base)
        if target.warning is not None and target.rule not in self._told:
            self._told.add(target.rule)
            self.host.log("warn", target.warning, {"rule": target.rule})
        environ = make_environ(params, more, target, self._environ)
        length = environ.get("CONTENT_LENGTH")
        if length is not None:
            exchange.announced = int(length)
        environ["wsgi.input"] = Input(exchange.read_input)
        environ["wsgi.errors"] = self.host.errors(exchange)
        try:
            exchange.run(self.application, environ)
        except BaseException:
            if self.is_child:
                _end_child(sys.exc_info()[1])
            raise
        if self.is_child:
            _end_child(None)

    def _on_fork(self):
        """In a child that the application has forked. It is no second server: the connections and sockets are not its
        own, and what returns from the application here, or calls sys.exit(), ends the child."""
        self.is_child = True
        for sock in [connection.sock for connection in self.connections.values()] + list(self.listeners.values()):
            sock.close()

    def _after(self, connection, exchange):
        connection.exchange = None
        is_whole = connection.stdin_ended or self._has_stdin_end(connection)
        if exchange.keep_conn and exchange.is_ended and not exchange.is_expired:
            connection.skip = connection.stdin_left + connection.padding_left
            connection.stdin_left = connection.padding_left = 0
            connection.stdin_ended = True
            connection.since = time.monotonic()
            connection.is_nginxs = exchange.software.startswith("nginx")
            connection.is_asked = False
            connection.state = IDLE  # now check() looks at it
            if connection.pos == len(connection.buf):
                connection.buf = b""
                connection.pos = 0
            return True
        is_whole = is_whole and not connection.padding_left and connection.pos == len(connection.buf)
        if is_whole or not exchange.is_ended:
            self._close(connection)
            return False
        # Closing over input that nobody has read is a reset, and a 502.
        connection.skip = connection.stdin_left + connection.padding_left
        connection.stdin_left = connection.padding_left = 0
        connection.since = time.monotonic()
        connection.state = LINGER
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return False
        return True

    @staticmethod
    def _has_stdin_end(connection):
        """The ordinary case: the empty record that ends STDIN is all that is left in the buffer."""
        pos = connection.pos
        if connection.stdin_left or connection.padding_left or len(connection.buf) - pos < 8:
            return False
        _, kind, request_id, length, padding, _ = HEADER.unpack_from(connection.buf, pos)
        if kind != STDIN or length or request_id != connection.request_id:
            return False
        connection.stdin_ended = True
        connection.pos = min(len(connection.buf), pos + 8 + padding)
        connection.padding_left = pos + 8 + padding - connection.pos
        return True

    # Counting

    def _begin(self, exchange, slot):
        exchange.started_at = time.time()
        exchange.began = time.perf_counter()
        exchange.thread = threading.get_ident()
        with self.lock:
            self.requests += 1
            exchange.number = self.requests
            self.open[slot] = exchange
            self._idle -= 1
            if self._idle == 0:
                if len(self._threads) < self.settings.threads:
                    self._add_thread_if_possible()
                elif self.full_since is None:
                    self.full_since = exchange.began
        if self.full_since == exchange.began:
            self.host.on_full()
        if self.scoreboard is not None:
            self.scoreboard.begin(slot, exchange)

    def _end(self, exchange, slot):
        now = time.perf_counter()
        seconds = now - exchange.began
        kind = 0 if not exchange.is_head_sent else min(5, exchange.status // 100)
        bucket = 0
        while bucket < len(BOUNDS) and seconds > BOUNDS[bucket]:
            bucket += 1
        if exchange.logged is not None:
            self._tell_access(exchange, seconds)  # first: a worker without open requests ends
        with self.lock:
            self.open.pop(slot, None)
            self._idle += 1
            if self.full_since is not None:
                self.full_time += now - self.full_since
                self.full_since = None
            meter = self.meter
            meter[kind] += 1
            meter[6] += exchange.sent
            meter[7] += seconds
            meter[8 + bucket] += 1
        if self.scoreboard is not None:
            self.scoreboard.end(slot)
        slow_ms = self.settings.slow_ms
        if slow_ms and not exchange.is_slow and seconds * 1000 >= slow_ms:
            self._tell_slow(exchange, seconds, None)

    def _tell_access(self, exchange, seconds):
        logged, exchange.logged = exchange.logged, None
        if logged is not None and len(logged) == 2:  # else it was a probe, or refused
            self.access_log.add(exchange, logged[0], logged[1], seconds)

    # What goes wrong

    def _log(self, exchange, level, message, fields=None):
        about = {"request": exchange.id, "method": exchange.method, "url": exchange.url}
        about.update(fields or {})
        self.host.log(level, message, about)

    def _refuse(self, exchange, error):
        status, title = 400, "Bad Request"
        if isinstance(error, TooLarge):
            status, title = 431, "Request Header Fields Too Large"
        self._log(exchange, "warn", "request refused with %d: %s" % (status, error))
        try:
            if not exchange.is_head_sent:
                exchange.page(status, title)
        except Disconnected:
            pass

    def _on_gone(self, exchange, error):
        self._log(exchange, "debug", "the application stopped: %s" % error)
        with exchange.lock:
            if exchange.is_ended or exchange.is_expired:
                return
            # If it has only given the request up, the web server may want to use the connection again.
            try:
                exchange.connection.send([_end_record(exchange.request_id, 1, REQUEST_COMPLETE)])
                exchange.is_ended = True
            except Disconnected:
                pass

    def _on_failure(self, exchange):
        if exchange.is_expired:
            return
        short = exchange.input_error
        if isinstance(short, BodyShort) and not exchange.is_head_sent:
            self._log(exchange, "warn", str(short))
            try:
                exchange.page(400, "Bad Request")
            except Disconnected:
                pass
            return
        if isinstance(short, Disconnected):
            self._on_gone(exchange, short)
            return
        text = _traceback()
        self._log(exchange, "error", "the application failed", {"error": text})
        line = text.strip().splitlines()[-1]
        try:
            if exchange.is_ended:
                return
            about = "request %d %s %s: %s" % (exchange.number, exchange.method, exchange.url, line)
            exchange.send_stderr(_printable(about) + "\n", True)
            if not exchange.is_head_sent:
                is_shown = self.settings.is_development and not exchange.is_stranger
                exchange.page(500, "Internal Server Error", text if is_shown else None, 1)
            else:
                exchange.break_off()
        except Disconnected:
            pass

    def _tell_slow(self, exchange, seconds, frames):
        exchange.is_slow = True
        self.slow_requests += 1
        fields = {"client": exchange.client, "durationMs": round(seconds * 1000), "isSlow": True}
        self._log(exchange, "warn", "slow request: it takes longer than %d ms" % self.settings.slow_ms, fields)
        for frame in frames or ():
            self.host.log("warn", "    at " + frame, {"isSlow": True})

    # Questions that are not for the application

    def _probe(self, exchange, params):
        settings = self.settings
        plain = "text/plain; charset=utf-8"
        if settings.ping_path is None and settings.status_path is None and settings.metrics_path is None:
            return False
        if _is_for(params, settings.ping_path):
            if self.is_leaving or self.is_draining:
                exchange.answer(503, "Service Unavailable", plain, b"this process is about to end\n")
            else:
                exchange.answer(200, "OK", plain, settings.ping_response.encode())
            return True
        is_metrics = _is_for(params, settings.metrics_path)
        if not is_metrics and not _is_for(params, settings.status_path):
            return False
        told = self.host.ask_status("openmetrics" if is_metrics else params.get("QUERY_STRING", ""))
        if told is None:
            exchange.answer(503, "Service Unavailable", plain, b"the manager does not answer\n")
        else:
            text, kind = told
            more = [("X-Content-Type-Options", "nosniff")]
            exchange.answer(200, "OK", kind + "; charset=utf-8", text.encode(), 0, more)
        return True

    # The main thread's part

    def check(self):
        """Judges what takes too long."""
        now = time.monotonic()
        surplus = len(self.connections) - self._most_kept()
        for connection in list(self.connections.values()):
            since = connection.since
            silent = now - max(since, self.drained_since)
            if connection.state == HEAD or connection.state == IDLE and not connection.is_used:
                limit = LAST_REQUEST if self.is_draining and connection.state == IDLE else RECORD_TIMEOUT
            elif connection.state == IDLE and (self.is_draining or connection.pos < len(connection.buf)):
                limit = LAST_REQUEST if self.is_draining else RECORD_TIMEOUT
            elif connection.state == IDLE and surplus > 0:
                limit = LAST_REQUEST
            elif connection.state == LINGER:
                limit = LINGER_TIMEOUT
            else:
                continue
            if silent >= limit:
                if limit == LAST_REQUEST and connection.ask_to_leave():
                    surplus -= 1
                    continue
                # Not closed here: whoever waits for it wakes, finds its end, and closes it.
                try:
                    if limit == LAST_REQUEST and connection.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                        continue  # a request that no thread had time for yet
                except OSError:
                    pass
                if connection.since != since:
                    continue  # a thread has just read it
                surplus -= 1
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        slow_ms = self.settings.slow_ms
        timeout_ms = self.settings.timeout_ms
        if not slow_ms and not timeout_ms:
            return False
        is_stuck = False
        clock = time.perf_counter()
        for exchange in list(self.open.values()):
            seconds = clock - exchange.began
            if slow_ms and not exchange.is_slow and seconds * 1000 >= slow_ms:
                self._tell_slow(exchange, seconds, frames_of(exchange.thread, self.settings.slow_depth))
            if timeout_ms and not exchange.is_expired and seconds * 1000 >= timeout_ms:
                self._expire(exchange, seconds)
                is_stuck = True
        return is_stuck

    def _expire(self, exchange, seconds):
        frames = frames_of(exchange.thread, self.settings.slow_depth)
        fields = {"client": exchange.client, "durationMs": round(seconds * 1000), "code": "ERR_POSTERN_REQUEST_TIMEOUT"}
        message = "the request was not answered within %d ms: %s" % (self.settings.timeout_ms, exchange.expire())
        self._log(exchange, "warn", message, fields)
        for frame in frames:
            self.host.log("warn", "    at " + frame, {})
        self._tell_access(exchange, seconds)  # its thread may never end

    def is_full_for(self, seconds):
        since = self.full_since
        return since is not None and time.perf_counter() - since >= seconds

    @property
    def is_busy(self):
        return len(self.open) >= self.settings.threads

    def begin_drain(self):
        """Takes no new connections."""
        self.drained_since = time.monotonic()
        self.is_draining = True
        for fd in list(self.listeners):
            self._watch.forget(fd)
        for connection in list(self.connections.values()):
            connection.ask_to_leave()

    def accept_the_last(self, close, waits):
        """What waits in the queue of a socket that nobody else has open is lost when it closes.

        What comes in the last moment is lost all the same. So it is closed while a request is here: mod_fcgid gives a
        process one at a time. With none open the next is waited for, a little. See docs/adr/0024.
        """
        listeners = list(self.listeners.values())
        if waits and not self.open:
            poll = select.poll()
            for listener in listeners:
                poll.register(listener, select.POLLIN)
            poll.poll(LULL * 1000)
        taken = []
        for listener in listeners:
            while True:
                try:
                    taken.append(listener.accept())
                except OSError:
                    break
        close()
        for sock, address in taken:
            self.adopt(sock, address, None)

    @property
    def is_drained(self):
        """Whether nothing is left but requests that were ended because they take too long."""
        if self._accepting or any(not exchange.is_expired for exchange in list(self.open.values())):
            return False
        expired = {id(exchange.connection) for exchange in list(self.open.values())}
        return all(id(connection) in expired for connection in list(self.connections.values()))

    def cut(self, reason):
        left = list(self.open.values())
        if left:
            self.host.log("warn", "requests were cut", {"openRequests": len(left), "reason": reason})
        for exchange in left[:256]:
            after = round((time.time() - exchange.started_at) * 1000)
            fields = {"client": exchange.client, "afterMs": after, "reason": reason}
            self.host.log("warn", "  request cut: %s %s" % (exchange.method, exchange.url), fields)
            if exchange.is_head_sent and not exchange.is_ended:
                exchange.break_off()
        for exchange in left:
            self._tell_access(exchange, time.perf_counter() - exchange.began)
        for connection in list(self.connections.values()):
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop_threads(self):
        """Threads without a request end; one with a request cannot be made to."""
        self._is_over = True
        self._waker.send(b"x")
        for thread in self._threads:
            if not self.open:
                thread.join(1)


def _end_child(error):
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        if code == 1 and not isinstance(error.code, int):
            sys.stderr.write("%s\n" % error.code)
    elif error is not None and not isinstance(error, Disconnected):
        sys.stderr.write(_traceback() + "\n")
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 255)


def _is_for(params, path):
    if path is None:
        return False
    uri = params.get("REQUEST_URI")
    if uri is not None:
        return uri == path or uri.startswith(path + "?")
    script = params.get("SCRIPT_NAME")
    if script is not None and script + params.get("PATH_INFO", "") == path:
        return True
    return params.get("SCRIPT_FILENAME") == path


def _address_list(entries):
    """Who may connect over TCP."""
    import ipaddress

    if entries is not None and "any" in entries:
        return lambda address: True
    networks = [ipaddress.ip_network(entry.strip(), False) for entry in entries or ("127.0.0.0/8", "::1")]

    def allows(text):
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain.version == network.version and plain in network for network in networks)

    return allows


_OF_PYTHON = re.compile(r"/(?:importlib/\w+|runpy)\.py\Z")


def _traceback():
    """The exception being handled, without the frames at its top that are this file's or the import system's."""
    import traceback

    kind, error, tb = sys.exc_info()
    while tb is not None and tb.tb_next is not None and _is_ours(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return "".join(traceback.format_exception(kind, error, tb)).rstrip()


def _is_ours(file):
    return file == __file__ or file.startswith("<frozen ") or bool(_OF_PYTHON.search(file))


def frames_of(thread, depth):
    """Where a thread is, innermost first; what is ours is left out."""
    frame = sys._current_frames().get(thread)
    frames = []
    left_out = 0
    while frame is not None:
        code = frame.f_code
        if code.co_filename != __file__ and not (code.co_filename == threading.__file__):
            if len(frames) < depth:
                frames.append("%s (%s:%d)" % (code.co_name, code.co_filename, frame.f_lineno))
            else:
                left_out += 1
        frame = frame.f_back
    return frames + (["… %d more" % left_out] if left_out else [])


class Scoreboard:
    """What is being worked on, where it survives this process: a slot for each thread (src/manager/scoreboard.ts)."""

    def __init__(self, fd, threads):
        self._slots = min(threads, SLOTS)
        size = self._slots * SLOT_BYTES
        try:
            # The file as memory: no system calls. Written once first, for a page that a full memory file system cannot
            # give is an error here and a SIGBUS later.
            if os.pwrite(fd, bytes(size), 0) < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._bytes = mmap.mmap(fd, size)
        except OSError:
            self._slots = 0  # it must not take requests with it: the list of them is empty then, which is all

    def begin(self, slot, exchange):
        if slot < self._slots:
            text = "%d %s %s %s\n" % (
                exchange.started_at * 1000, exchange.method[:40], exchange.url[:800], exchange.client[:100]
            )
            data = text.encode("latin-1", "replace")
            at = slot * SLOT_BYTES
            self._bytes[at + 1:at + 1 + len(data)] = data
            self._bytes[at] = 49  # "1", last: whoever reads finds all of it, or nothing

    def end(self, slot):
        if slot < self._slots:
            self._bytes[slot * SLOT_BYTES] = 0


# Loading an application ----------------------------------------------------------------------------------------------


class AppName:
    """What was given as application: FOLDER/app.py, FOLDER/app.py:NAME, FOLDER/package.module:NAME, NAME()."""

    def __init__(self, text):
        self.text = text
        self.folder, base = os.path.split(text)
        self.file = self.module = self.attribute = None
        found = re.match(r"(.+\.(py|wsgi|fcgi)):([A-Za-z_][\w.]*(?:\(\))?)\Z", base)
        # mysite.wsgi:application is a module in a package, unless there is a file of that name.
        is_file = found is not None and (
            found.group(2) == "py" or os.path.exists(os.path.join(self.folder, found.group(1)))
        )
        if is_file and not os.path.exists(text):
            self.file, self.attribute = os.path.join(self.folder, found.group(1)), found.group(3)
        elif ":" in base and not os.path.exists(text):
            self.module, _, self.attribute = base.partition(":")
        else:
            self.file = text
        self.shown = base

    @property
    def is_program(self):
        """Whether it is run as `python FILE` runs it: a file for a web server to start, which serves by itself."""
        return self.file is not None and self.attribute is None and not self.file.endswith((".py", ".wsgi"))


def load_application(name):
    """Imports what was asked for. Raises AppFailed with a sentence for the operator."""
    sys.path.insert(0, name.folder or os.getcwd())
    keep_flask_from_serving()
    try:
        module = _import(name)
    finally:
        _let_flask_serve()
    return _callable_of(module, name)


def keep_flask_from_serving():
    """While the file is loaded, Flask's app.run() leaves serving to whoever loads it."""
    os.environ["FLASK_RUN_FROM_CLI"] = "true"


def _let_flask_serve():
    os.environ.pop("FLASK_RUN_FROM_CLI", None)


def _import(name):
    import importlib
    import importlib.machinery
    import importlib.util

    shown = name.shown
    if name.file is not None and not os.path.isfile(name.file):
        raise AppFailed("application %s: there is no file %s%s" % (shown, name.file, _module_hint(name.file)))
    try:
        if name.module is not None:
            return importlib.import_module(name.module)
        stem = re.sub(r"\W", "_", os.path.splitext(os.path.basename(name.file))[0])
        loader = importlib.machinery.SourceFileLoader(stem, name.file)
        spec = importlib.util.spec_from_loader(stem, loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[stem] = module
        spec.loader.exec_module(module)
        return module
    except SystemExit as error:
        raise AppFailed("application %s: it called sys.exit(%r) while it was loaded" % (shown, error.code)) from None
    except ModuleNotFoundError as error:
        wanted = name.module or ""
        if error.name and (wanted == error.name or wanted.startswith(error.name + ".")):
            raise AppFailed(
                "application %s: there is no module %s in %s; name it as package.module:name, seen from that folder, "
                "or choose the folder with chdir" % (shown, error.name, name.folder or os.getcwd())
            ) from None
        raise AppFailed("%s\n%s" % (_could_not_load(shown), _traceback() + _missing(error.name))) from None
    except BaseException as error:
        text = _syntax_error(error) if isinstance(error, SyntaxError) else _traceback()
        raise AppFailed("%s\n%s" % (_could_not_load(shown), text)) from None


def _could_not_load(shown):
    return "application %s could not be loaded:" % shown


def _syntax_error(error):
    import traceback

    return "".join(traceback.format_exception_only(type(error), error)).rstrip()


def _missing(name):
    where = "the virtual environment %s" % sys.prefix if sys.prefix != sys.base_prefix else sys.executable
    return (
        "\n%s is not installed for %s: install it there, or choose another Python with the setting python (--python)"
        % (name, where)
    )


def _django_site(file):
    """The package of a Django site, if the file is its manage.py."""
    if file is None:
        return None
    with open(file, "rb") as source:
        found = re.search(rb"DJANGO_SETTINGS_MODULE['\"], *['\"](\w+)\.settings", source.read(65536))
    return None if found is None else found.group(1).decode("ascii")


def _callable_of(module, name):
    shown = name.shown
    asked = name.attribute
    if asked is None:
        for candidate in ("application", "app"):
            if hasattr(module, candidate):
                return _checked(getattr(module, candidate), candidate, shown)
        django = _django_site(name.file)
        if django is not None:
            raise AppFailed(
                "application %s: this is Django's command line; its application is %s.wsgi:application" % (shown, django)
            )
        raise AppFailed(
            "application %s: it has no application and no app%s; name the callable, as in %s:NAME, or %s:NAME() for a "
            "function that makes one" % (shown, _names_in(module), shown, shown)
        )
    is_factory = asked.endswith("()")
    path = asked[:-2] if is_factory else asked
    value = module
    for part in path.split("."):
        if not hasattr(value, part):
            raise AppFailed("application %s: there is no %s%s" % (shown, path, _names_in(module)))
        value = getattr(value, part)
    if is_factory:
        try:
            value = value()
        except BaseException:
            raise AppFailed("application %s: %s failed:\n%s" % (shown, asked, _traceback())) from None
    return _checked(value, asked, shown)


def _names_in(module):
    names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    return " (it has %s)" % ", ".join(names[:8]) if names else ""


def _checked(application, name, shown):
    if not callable(application):
        kind = type(application).__name__
        raise AppFailed("application %s: %s is not callable, it is %s; name the WSGI application" % (shown, name, kind))
    import inspect

    call = application if inspect.isfunction(application) else getattr(type(application), "__call__", None)
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(application):
        raise AppFailed(
            "application %s: %s is an ASGI application, and WSGI is what can be served; wrap it with a2wsgi "
            "(ASGIMiddleware), or put an ASGI server behind the web server's HTTP proxy" % (shown, name)
        )
    return application


def _module_hint(file):
    """For a module that looks like a file: Django's mysite.wsgi."""
    folder, name = os.path.split(file)
    source = os.path.join(folder, *name.split(".")) + ".py"
    if not os.path.isfile(source):
        return ""
    return "; to serve %s, name the application in it: %s:application" % (source, name)


def run_program(name, serve):
    """Runs a .fcgi file as a web server would. What it gives to flup's WSGIServer is handed to `serve`."""
    import runpy

    sys.path.insert(0, name.folder or os.getcwd())
    sys.argv[:] = [name.file]
    _stand_in_for_flup(serve)
    keep_flask_from_serving()
    if not os.path.isfile(name.file):
        raise AppFailed("application %s: there is no file %s" % (name.shown, name.file))
    try:
        runpy.run_path(name.file, run_name="__main__")
    except (SystemExit, AppFailed):
        raise
    except BaseException as error:
        text = _syntax_error(error) if isinstance(error, SyntaxError) else _traceback()
        if isinstance(error, ModuleNotFoundError):
            text += _missing(error.name)
        raise AppFailed("%s\n%s" % (_could_not_load(name.shown), text)) from None


def run_application(text, **options):
    """Serves FOLDER/package.module:NAME, or a file, as WSGIServer(app, **options).run() does: what a `.fcgi` file of
    `postern init shared-hosting` calls."""
    name = AppName(text)

    def serve(application):
        WSGIServer(application, **options).run()

    try:
        if name.is_program:
            run_program(name, serve)
        else:
            serve(load_application(name))
    except AppFailed as error:
        sys.exit("postern: %s" % error)


def _stand_in_for_flup(serve):
    """`from flup.server.fcgi import WSGIServer` gives ours: the file that was written for flup runs unchanged."""
    import types

    class Adopted(WSGIServer):
        def run(self):
            _let_flask_serve()
            serve(self._with_environ(), 1 if self.settings.threads == 1 else None)
            return False

    names = ("flup", "flup.server", "flup.server.fcgi", "flup.server.fcgi_fork", "flup.server.fcgi_single")
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = []
        module.WSGIServer = Adopted
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
    sys.modules["postern_wsgi"] = module = types.ModuleType("postern_wsgi")
    module.WSGIServer = Adopted
    module.FileWrapper = FileWrapper
    module.run_application = lambda text, **_options: serve(load_application(AppName(text)))


# Whoever hosts a server ----------------------------------------------------------------------------------------------


class Host:
    """A server until it is drained. The main thread is here."""

    def __init__(self):
        self.server = None
        self.drain_timeout = 30.0
        self._signals = []
        self._drain_at = None
        self._drain_by = None
        self._look_at = None  # whether all threads are still busy
        self._wake, wake_writer = socket.socketpair()
        self._wake.setblocking(False)
        wake_writer.setblocking(False)
        self._wake_writer = wake_writer
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(self._wake.fileno(), select.POLLIN)

    def on_signal(self, names, action):
        def note(*_):
            self._signals.append(action)

        for name in names:
            signal.signal(getattr(signal, name), note)
        if "SIGTERM" in names:
            os.register_at_fork(after_in_child=lambda: _obey_term_again(note))

    def loop(self):
        """Until the server is drained."""
        last = time.monotonic()
        is_over = False
        while not is_over:
            is_draining = self.server.is_draining
            due = last + (0.1 if is_draining else 1.0)
            for other in (self._drain_at, self._look_at):
                if other is not None:
                    due = min(due, other)
            for fd, _ in self._poll.poll(max(0, due - time.monotonic()) * 1000):
                if fd == self._wake.fileno():
                    try:
                        self._wake.recv(4096)
                    except BlockingIOError:
                        pass
                else:
                    self.on_readable()
            while self._signals:
                self._signals.pop(0)()
            now = time.monotonic()
            if self._drain_at is not None and now >= self._drain_at:
                self._drain_at = None
                self._begin_drain()
            if self._look_at is not None and now >= self._look_at:
                self._look_at = None
                if self.server.is_full_for(FULL_FOR / 2):
                    self.on_busy()
            if self.server.is_draining:
                self.server.check()
                is_over = self.server.is_drained
                if not is_over and self._drain_by is not None and now >= self._drain_by:
                    self.server.cut("not finished within %d ms" % (self.drain_timeout * 1000))
                    is_over = True
            if now - last >= 1.0 or now < last:
                late = max(0.0, now - last - 1.0)
                last = now
                self.on_tick(late)
        self.server.stop_threads()

    def drain(self, delay=0.0):
        server = self.server
        if server.is_draining:
            return
        if delay > 0 and not server.is_leaving:
            server.is_leaving = True
            self._drain_at = time.monotonic() + delay
        else:
            self._drain_at = None
            self._begin_drain()

    def _begin_drain(self):
        server = self.server
        if server.is_draining:
            return
        server.begin_drain()
        self.on_drain()
        if self.drain_timeout > 0:
            self._drain_by = time.monotonic() + self.drain_timeout

    def on_full(self):
        pass

    def on_busy(self):
        pass

    def on_readable(self):
        pass

    def on_tick(self, late):
        pass

    def on_drain(self):
        pass

    def ask_status(self, query):
        return None


def _obey_term_again(ours):
    """In a forked child, where nobody reads what a handler of ours notes: multiprocessing ends its processes so."""
    signal.set_wakeup_fd(-1)
    if signal.getsignal(signal.SIGTERM) is ours:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Worker(Host):
    """A worker of Postern's manager. What goes over the channel is in src/manager/channel.ts."""

    CHANNEL_FD = 3
    SCOREBOARD_FD = 4

    def __init__(self):
        super().__init__()
        for fd in (self.CHANNEL_FD, self.SCOREBOARD_FD):
            os.set_inheritable(fd, False)
        self._pid = os.getpid()
        self._channel = socket.socket(fileno=self.CHANNEL_FD)
        self._channel_lock = threading.Lock()
        self._received = b""
        self._is_manager_gone = False
        self._poll.register(self.CHANNEL_FD, select.POLLIN)
        self._questions = {}
        self._asked = 0
        self._is_leaving = False
        self._is_asked_to_drain = False
        self._cpu = 0.0
        self._cpu_at = 0.0
        self._full = 0.0
        self._full_told = 0.0
        self._level = "info"
        self.access_log = None
        self._files = set()
        self.hops = None
        self.start = None
        for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
            signal.signal(getattr(signal, name), lambda *_: None)
        self.on_signal(["SIGTERM"], self._on_term)
        self._dump_stacks_on_signal()

    def _dump_stacks_on_signal(self):
        """On USR1 the stacks of all threads go behind the slots of the scoreboard: also when no Python code runs."""
        import faulthandler

        try:
            os.lseek(self.SCOREBOARD_FD, SLOTS * SLOT_BYTES, os.SEEK_SET)
            faulthandler.register(signal.SIGUSR1, file=self.SCOREBOARD_FD, all_threads=True)
        except (AttributeError, OSError):
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    # The channel

    def tell(self, **message):
        return self._write(json.dumps(message))

    def _write(self, line):
        try:
            with self._channel_lock:
                self._channel.sendall((line + "\n").encode())
            return True
        except OSError:
            return False

    def on_readable(self):
        try:
            data = self._channel.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_manager_gone()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._on_message(json.loads(line))

    def _on_message(self, message):
        kind = message["type"]
        if kind == "start":
            self.start = message["settings"]
        elif kind == "drain":
            self._is_asked_to_drain = True
            if self.server is None:
                os._exit(0)  # nothing was begun
            self.drain(message["delayMs"] / 1000)
        elif kind == "reopenLogs":
            if self.access_log is not None:
                self.access_log.reopen()
        elif kind == "status":
            question = self._questions.pop(message["id"], None)
            if question is not None:
                question.answer = (message["text"], message["contentType"])
                question.set()

    def _on_manager_gone(self):
        self._poll.unregister(self.CHANNEL_FD)
        self._is_manager_gone = True
        if self.server is None:
            os._exit(EXIT_BOOT)
        if not self.server.is_draining:
            sys.stderr.write("postern: the manager is gone: this worker finishes what it has and ends\n")
        self.drain()

    def _on_term(self):
        if self.server is None:
            os._exit(0)
        self._leave("a worker was sent TERM")

    def _leave(self, why):
        if not self._is_leaving and not self.server.is_draining:
            self._is_leaving = True
            self.tell(type="leaving", why=why)
        self.drain()

    # What a server asks of its host

    def log(self, level, message, fields):
        if level == "debug" and self._level != "debug":
            return
        # A longer message would end the channel, and with it this worker.
        for most in (20000, 4000, 500):
            shown = {name: _clip(value, most) if isinstance(value, str) else value for name, value in fields.items()}
            data = json.dumps({"type": "log", "level": level, "message": _clip(message, most), "fields": shown})
            if len(data) < MAX_MESSAGE_BYTES:
                break
        if not self._write(data):
            sys.stderr.write("postern: %s\n" % message)

    def errors(self, exchange):
        return sys.stderr  # captured by the manager, with pool and pid

    def ask_status(self, query):
        question = threading.Event()
        question.answer = None
        with self._channel_lock:
            self._asked += 1
            number = self._asked
        self._questions[number] = question
        self.tell(type="status", id=number, query=query)
        question.wait(STATUS_TIMEOUT)
        self._questions.pop(number, None)
        return question.answer

    def on_full(self):
        # A pool that grows with its load is to know at once, but not of every request of a worker with one thread.
        now = time.monotonic()
        if now - self._full_told < 0.25:
            return
        self._full_told = now
        self._look_at = now + FULL_FOR
        try:
            self._wake_writer.send(b"f")
        except BlockingIOError:
            pass  # it is awake

    def on_busy(self):
        self._beat(0.0)

    def on_tick(self, late):
        if self.server.check() and not self.server.is_draining:
            self._leave("a request did not end within requestTerminateTimeout")
        self._beat(late)
        self._tell_files("")

    def on_drain(self):
        self._beat(0.0)

    def _beat(self, late):
        server = self.server
        now = time.monotonic()
        cpu = time.process_time()
        passed = max(now - self._cpu_at, 0.001)
        full = server.full_time
        was_full = full - self._full > 0.8 * passed
        self.tell(
            type="beat",
            beat={
                "requests": server.requests,
                "openRequests": len(server.open),
                "queuedRequests": 0,
                "connections": len(server.connections),
                "acceptedConnections": server.accepted,
                "slowRequests": server.slow_requests,
                "isBusy": server.is_busy or was_full,
                "loopDelayMs": round(late * 1000),
                "loopUtilisation": min(1.0, max(0.0, (cpu - self._cpu) / passed)),
                "memoryBytes": _resident_bytes(),
                "meter": server.meter,
            },
        )
        self._cpu, self._cpu_at, self._full = cpu, now, full

    # Its life

    def run(self):
        started = time.monotonic()
        while self.start is None:
            if time.monotonic() - started > 10:
                self._fail("boot", "no manager talks to this worker")
            self._poll.poll(1000)
            self.on_readable()
        settings = self.start
        self._level = settings["logLevel"]
        self.drain_timeout = settings["options"].get("drainTimeoutMs", 30000) / 1000
        name = AppName(settings["file"])
        where = settings["options"].get("accessLog")
        # Loaded before this process becomes a user who may not read it, written as that user.
        logs = None if where is None else _load_beside("postern_access_log")
        proxies = settings["options"].get("trustProxy")
        if proxies:
            self.hops = _load_beside("postern_forwarded").Hops(proxies)
        try:
            if settings.get("umask") is not None:
                os.umask(settings["umask"])
            become(settings.get("user"), settings.get("group"))
            if not os.access(os.__file__, os.R_OK):
                raise AppFailed(
                    "setting user: user %s may not read the Python in %s; choose another with the setting python "
                    "(--python)" % (settings.get("user"), sys.prefix)
                )
            os.chdir(settings["chdir"])
            if logs is not None:
                self.access_log = self._open_access_log(logs, where)
        except (OSError, AppFailed) as error:
            self._fail("boot", str(error))
        sys.stdout, sys.stderr = _to_manager(1), _to_manager(2)
        os.environ.pop("HTTP_PROXY", None) if "REQUEST_METHOD" in os.environ else None
        try:
            if name.is_program:
                run_program(name, self.serve)
                if self.server is None:
                    raise AppFailed(
                        "application %s: it ended without giving an application to WSGIServer(...).run()" % name.shown
                    )
            else:
                self.serve(load_application(name))
        except AppFailed as error:
            if self.server is not None:
                raise
            self._fail("app", str(error))
        except SystemExit as error:
            if self.server is not None:
                raise
            self._fail("app", "application %s: it called sys.exit(%r) while it was loaded" % (name.shown, error.code))

    def _open_access_log(self, logs, where):
        form = self.start["options"]["accessLogFormat"]
        try:
            return logs.AccessLog(where, form, self.start["pool"], _resident_bytes, self.log)
        except logs.CannotOpen as error:
            raise AppFailed(str(error)) from None

    def serve(self, application, threads=None):
        """`threads`: of an application that says it stands no more, whatever the manager has been told."""
        if os.getpid() != self._pid:
            os._exit(0)  # a child that the application forked while it was loaded is no worker
        settings = self.start
        listeners = []
        try:
            for one in settings["sockets"]:
                os.set_inheritable(one["fd"], False)
                listeners.append(socket.socket(fileno=one["fd"]))
            ours = settings_of(settings)
            ours.threads = threads or ours.threads
            self.server = Server(application, ours, self, Scoreboard(self.SCOREBOARD_FD, ours.threads))
            self.server.access_log = self.access_log
            self.server.hops = self.hops
            self.server.listen(listeners)
        except Exception:
            self._fail("boot", _traceback())
        self._tell_files("")
        self.tell(type="ready")
        self._cpu, self._cpu_at = time.process_time(), time.monotonic()
        self._beat(0.0)
        self.loop()
        if self.access_log is not None:
            self.access_log.close()
        self._beat(0.0)  # the last account
        try:
            self._channel.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if self.server.open:
            sys.stdout.flush()
            os._exit(0)  # threads that cannot be ended must not keep the process

    def _tell_files(self, traceback):
        """For `postern dev`, which watches them: the files of the application that were loaded, or failed to be."""
        if self.start is None or self.start.get("dev") is None:
            return
        loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        files = {file for file in loaded if isinstance(file, str)}.union(re.findall(r'File "([^"]+)"', traceback))
        own = os.path.join(self.start["chdir"], "")
        new = [file for file in files - self._files if file.startswith(own) and "/site-packages/" not in file]
        if new:
            self._files.update(new)
            self.tell(type="files", files=new)

    def _fail(self, stage, message):
        if os.getpid() != self._pid:  # nor does its end say anything of this one
            sys.stderr.write(message + "\n")
            sys.stderr.flush()
            os._exit(1)
        self._tell_files(message)
        self.tell(type="failed", stage=stage, message=message[:20000], isPlacePrinted=False)
        sys.stdout.flush()
        os._exit(EXIT_BOOT if stage == "boot" else EXIT_APP)


def _load_beside(name):
    """Another file of this folder, which is not on sys.path."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, os.path.join(os.path.dirname(THIS_FILE), name + ".py"))
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder is the package's
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


class _ManagerPipe(io.FileIO):
    """Standard output or error. Nobody reads it when the manager was killed, and no request may fail for that."""

    def write(self, data):
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def _to_manager(fd):
    pipe = io.BufferedWriter(_ManagerPipe(fd, "w", closefd=False))
    encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    return io.TextIOWrapper(pipe, encoding=encoding, errors="backslashreplace", line_buffering=True)


def settings_of(start):
    """What the manager has said, as settings of a server."""
    options = start["options"]
    kind, base = "auto", ""
    script_name = options.get("scriptName")
    if options.get("base") is not None:
        kind, base = "base", options["base"].rstrip("/")
    elif script_name == "keep":
        kind = "keep"
    elif script_name is not None and script_name != "auto":
        kind, base = "base", script_name.rstrip("/")
    python = start["python"]
    is_development = options.get("development")
    if is_development is None:
        is_development = os.environ.get("NODE_ENV") == "development"
    return Settings(
        threads=python["threads"],
        slow_depth=python["slowDepth"],
        mount_kind=kind,
        mount_base=base,
        is_development=is_development,
        for_developers=start.get("dev") is not None,
        is_multiprocess=start["hasSiblings"],
        has_siblings=start["hasSiblings"],
        allowed_clients=options.get("allowedClients"),
        slow_ms=options.get("slowRequestMs") or 0,
        timeout_ms=options.get("requestTimeoutMs") or 0,
        ping_path=options.get("pingPath"),
        ping_response=options.get("pingResponse", "pong"),
        status_path=start.get("statusPath"),
        metrics_path=start.get("metricsPath"),
    )


def become(user, group):
    """Makes this process the user's for good, before anything of the application is loaded."""
    if user is None and group is None:
        return
    import grp
    import pwd

    try:
        account = None
        if user is not None:
            account = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        account = None
        if not isinstance(user, int):
            raise AppFailed("setting user: there is no user %s" % user) from None
    try:
        if group is None:
            gid = None if account is None else account.pw_gid
        else:
            gid = group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise AppFailed("setting group: there is no group %s" % group) from None
    uid = user if account is None else account.pw_uid
    if gid is None:
        raise AppFailed("setting user: nothing is known about user %s, not even its group; set group too" % user)
    if os.geteuid() != 0:
        if (uid is None or uid == os.geteuid()) and (group is None or gid == os.getegid()):
            return
        raise AppFailed("setting user: only root can become user %s" % user)
    if account is None:
        os.setgroups([gid])
    else:
        os.initgroups(account.pw_name, gid)
    os.setgid(gid)
    if uid is not None:
        os.setuid(uid)


def _resident_bytes():
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


# In the place of flup ------------------------------------------------------------------------------------------------


class WSGIServer(Host):
    """flup's class of that name: WSGIServer(application).run() serves on the listening socket that is descriptor 0, or
    on `bindAddress`, or answers one CGI request. The other arguments that flup takes are accepted."""

    def __init__(
        self, application, environ=None, multithreaded=True, multiprocess=True, bindAddress=None, umask=None,
        multiplexed=False, debug=False, allowedServers=None, maxThreads=None, scriptName=None, **_others
    ):
        self.application = application
        self.bind_address = bindAddress
        self.umask = umask
        self._environ = dict(environ or {})
        kind, base = "auto", ""
        if scriptName == "keep":
            kind = "keep"
        elif scriptName not in (None, "auto"):
            kind, base = "base", scriptName.rstrip("/")
        self.settings = Settings(
            threads=(maxThreads or 8) if multithreaded else 1,
            mount_kind=kind,
            mount_base=base,
            is_development=bool(debug),
            is_multiprocess=multiprocess,
            has_siblings=bindAddress is None,
        )
        allowed = [entry.strip() for entry in os.environ.get("FCGI_WEB_SERVER_ADDRS", "").split(",") if entry.strip()]
        if isinstance(allowedServers, str):
            allowedServers = [allowedServers]
        self.settings.checks_unix = bool(allowed)
        self.settings.allowed_clients = allowed + list(allowedServers or ()) or None
        self._parent = os.getppid()
        self._is_reload = False

    def run(self):
        """Returns when it was told to end: True after HUP, as flup's does."""
        _let_flask_serve()
        application = self._with_environ()
        listener, self._path = self._listener()
        if listener is None:
            return run_cgi(application, self.settings)
        Host.__init__(self)
        self.on_signal(["SIGTERM", "SIGINT", "SIGUSR1"], self.drain)
        self.on_signal(["SIGHUP"], self._on_hup)
        self.server = Server(application, self.settings, self)
        self.server.listen([listener])
        self.loop()
        return self._is_reload

    def _with_environ(self):
        extra, inner = self._environ, self.application
        if not extra:
            return inner

        def application(environ, start_response):
            environ.update(extra)
            return inner(environ, start_response)

        return application

    def _on_hup(self):
        self._is_reload = True
        self.drain()

    def on_drain(self):
        if self._path is not None:
            try:
                os.unlink(self._path)
            except OSError:
                pass
        # mod_fcgid gives each process a socket of its own, so nobody else would take what waits in its queue.
        self.server.accept_the_last(self._close, waits=self.bind_address is None)

    def _close(self):
        for listener in self.server.listeners.values():
            listener.close()
        if self.bind_address is None:
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)  # the same socket once more
            os.close(nothing)

    def on_tick(self, late):
        self.server.check()
        # Several web servers orphan what they have started.
        if self.bind_address is None and os.getppid() != self._parent:
            self.drain()

    def _listener(self):
        if self.bind_address is not None:
            return _bind(self.bind_address, self.umask)
        if _is_listening(0):
            os.set_inheritable(0, False)
            listener = socket.socket(fileno=os.dup(0))
            return listener, None
        if "REQUEST_METHOD" in os.environ or "GATEWAY_INTERFACE" in os.environ:
            return None, None
        sys.exit(
            "postern: nothing to listen on: let a web server or `postern spawn` start this file, or name an address: "
            'WSGIServer(app, bindAddress="/run/app.sock")'
        )

    def log(self, level, message, fields):
        if level == "debug":
            return
        text = "".join(" %s=%s" % (key, json.dumps(value)) for key, value in fields.items())
        _print("%s %-5s %s%s" % (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), level, message, text))

    def errors(self, exchange):
        return ErrorLog(exchange)


def _print(line):
    try:
        sys.stderr.write(_printable(line) + "\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass  # a web server may have closed it


class ErrorLog:
    """wsgi.errors without a manager: the web server's error log, a line at a time."""

    def __init__(self, exchange):
        self._exchange = exchange
        self._partial = ""

    def write(self, text):
        whole, end, self._partial = (self._partial + text).rpartition("\n")
        if end:
            self._send(whole + end)
        elif len(self._partial) > 8192:
            self.flush()
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        text, self._partial = self._partial, ""
        if text:
            self._send(text)

    def _send(self, text):
        exchange = self._exchange
        try:
            if exchange.send_stderr(text):
                return
        except Disconnected:
            pass
        for line in text.splitlines():
            exchange.connection.server.host.log("info", line, {})


def _is_listening(fd):
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return False
        with socket.socket(fileno=os.dup(fd)) as sock:
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError:
        return False


def _bind(address, umask):
    if not isinstance(address, str):
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(511)
        return sock, None
    try:
        if stat.S_ISSOCK(os.stat(address).st_mode):
            probe = socket.socket(socket.AF_UNIX)
            try:
                probe.connect(address)
                sys.exit("postern: %s is in use: another process answers there; stop it, or name another" % address)
            except ConnectionRefusedError:
                os.unlink(address)  # left behind
            finally:
                probe.close()
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX)
    before = os.umask(0o117 if umask is None else umask)
    try:
        sock.bind(address)
    finally:
        os.umask(before)
    sock.listen(511)
    return sock, address


class CgiConnection:
    """The connection of a plain CGI request: STDOUT is standard output, whatever is not STDOUT is not written."""

    def __init__(self):
        self.out = os.fdopen(os.dup(1), "wb", 0)
        self.left = None
        self.exchange = None
        # What the application prints would be taken for its answer.
        os.dup2(2, 1)

    def send(self, parts, _size=0):
        data = b"".join(parts)
        at = 0
        while at < len(data):
            _, kind, _, length, padding, _ = HEADER.unpack_from(data, at)
            content = data[at + 8:at + 8 + length]
            at += 8 + length + padding
            try:
                if kind == STDERR:
                    os.write(2, content)
                while kind == STDOUT and content:
                    content = content[self.out.write(content):]
            except OSError as error:
                raise Disconnected("the web server is gone (%s)" % error.strerror) from None

    def break_off(self, _tail):
        self.out.close()

    def may_keep(self, _can_be_told):
        return False

    def read_stdin(self, most):
        if self.left is None:
            self.left = max(0, self.exchange.announced)
        data = os.read(0, min(most, self.left, READ_BYTES)) if self.left else b""
        self.left -= len(data)
        if not data and self.left:
            self.exchange.input_error = BodyShort("the body ended %d bytes before its announced length" % self.left)
            raise self.exchange.input_error
        return data


class CgiHost:
    def log(self, level, message, fields):
        if level not in ("debug", "info"):
            _print("postern: %s %s" % (message, fields.get("error", "")))

    def errors(self, exchange):
        return sys.stderr

    def ask_status(self, query):
        return None


def run_cgi(application, settings):
    """Answers the one request that this process was started for."""
    params = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in os.environb.items()
    }
    os.environ.pop("HTTP_PROXY", None)
    connection = CgiConnection()
    exchange = Exchange(connection, 1, False)
    connection.exchange = exchange
    exchange.method = params.get("REQUEST_METHOD") or "GET"
    exchange.url = params.get("REQUEST_URI") or params.get("SCRIPT_NAME", "") + params.get("PATH_INFO", "")
    settings.threads = 1
    server = Server(application, settings, CgiHost())
    try:
        server.run_once(exchange, params)
    finally:
        connection.out.close()
    return False


def main():
    if len(sys.argv) > 1:
        sys.exit("postern: postern serve %s runs an application; this file by itself is for import" % sys.argv[1])
    # This file's own folder is no place to import from: it has a stand-in for flup.
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != os.path.dirname(THIS_FILE)]
    sys.modules["postern_wsgi"] = sys.modules["__main__"]
    Worker().run()


if __name__ == "__main__":
    main()
