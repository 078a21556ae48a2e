"""
What proxies in front of the web server say about the client: src/cgi/forwarded.ts once more, which says why it is as it
is, against which tests hold it. Loaded only where `trustProxy` names proxies.
"""
import ipaddress
import re
import socket

WORDS = {
    "loopback": ("127.0.0.0/8", "::1"),
    "private": (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"
    ),
}
#: Parameters about the connection to the web server.
_ABOUT_TLS = re.compile(r"(?:SSL|TLS)_|(?:VERIFIED|DN)\Z")
_MOST_HOPS = 32
_MOST_ELEMENT = 1024
_BLANK = "\t\n\x0b\x0c\r \xa0"
_PAIR = re.compile(
    r"[%s]*([!#$%%&'*+.^_`|~A-Za-z0-9-]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^%s;,\"]+))[%s]*(?:;|\Z)" % (_BLANK, _BLANK, _BLANK)
)
_BRACKETED = re.compile(r"\[([0-9a-fA-F:.]+)\](?::([0-9]{1,5}))?\Z")
_WITH_PORT = re.compile(r"([0-9.]+):([0-9]{1,5})\Z")
_MAPPED = re.compile(r"::ffff:(?=[0-9]+\.)", re.I)
_AUTHORITY = re.compile(r"(?:([A-Za-z0-9_.~-]+)|\[([0-9a-fA-F:.]+)\])(?::([0-9]{1,5}))?\Z")
_OWN_PORT = re.compile(r":([0-9]+)\Z")


class Hops:
    """Named proxies. The manager has checked the entries."""

    def __init__(self, entries):
        self._networks = [
            ipaddress.ip_network(one, False) for entry in entries for one in WORDS.get(entry, (entry,)) if one != "unix"
        ]
        self._trusts_unix = "unix" in entries
        self._known = {}

    def trusts(self, address):
        known = self._known.get(address)
        if known is None:
            known = self._looks_trusted(address)
            if len(self._known) < 1000:
                self._known[address] = known
        return known

    def _looks_trusted(self, text):
        if self._trusts_unix and (text.startswith("unix:") or text.startswith("/")):
            return True
        plain = text[7:] if text.startswith("::ffff:") else text
        plain = plain.partition("%")[0] if ":" in plain else plain
        if not _is_address(plain):
            return False
        address = ipaddress.ip_address(plain)
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address.version == network.version and address in network for network in self._networks)

    def apply(self, params, more):
        """Puts what is said about the client in the place of what the web server says about the proxy."""
        if not self.trusts(params.get("REMOTE_ADDR", "")):
            return
        said = self._from_x_forwarded(params, more) or self._from_forwarded(params, more)
        if said is not None:
            said.apply(params)

    def _from_x_forwarded(self, params, more):
        chain = _joined(params, more, "HTTP_X_FORWARDED_FOR")
        proto = _joined(params, more, "HTTP_X_FORWARDED_PROTO")
        host = _joined(params, more, "HTTP_X_FORWARDED_HOST")
        port = _joined(params, more, "HTTP_X_FORWARDED_PORT")
        if not (chain or proto or host or port):
            return None
        said = _Said()
        hops = 1  # who writes the other headers for us: as many from the right as there are named proxies
        for entry in _from_the_right(chain):
            if hops >= _MOST_HOPS:
                break
            node = _read_node(entry)
            if node is None:
                break
            said.client = node
            if not self.trusts(node[0]):
                break
            hops += 1
        said.scheme = _read_scheme(_nth_from_the_right(proto, hops))
        said.host = _read_host(_nth_from_the_right(host, hops))
        said.port = _read_port(_nth_from_the_right(port, hops))
        return said

    def _from_forwarded(self, params, more):
        said = _Said()
        hops = 0
        for element in _from_the_right(_joined(params, more, "HTTP_FORWARDED")):
            if hops >= _MOST_HOPS:
                break
            pairs = _read_element(element)
            if pairs is None:
                break
            hops += 1
            said.scheme = _read_scheme(pairs.get("proto")) or said.scheme
            said.host = _read_host(pairs.get("host")) or said.host
            node = _read_node(pairs.get("for", ""))
            if node is None:
                break
            said.client = node
            if not self.trusts(node[0]):
                break
        return said if hops else None


class _Said:
    """What the outermost named proxy says; None is: nothing, or nothing sensible."""

    __slots__ = ("client", "scheme", "host", "port")

    def __init__(self):
        self.client = self.scheme = self.host = self.port = None

    def apply(self, params):
        is_secure = (self.scheme or _scheme(params)) == "https"
        usual = "443" if is_secure else "80"
        host = self.host or _read_host(params.get("HTTP_HOST"))
        found = None if host is None else _OWN_PORT.search(host)
        own = None if found is None else found.group(1)
        if self.port is not None:
            params["SERVER_PORT"] = self.port
        elif self.host is not None or self.scheme is not None:
            params["SERVER_PORT"] = own or usual
        if host is not None and own is None and self.port is not None and self.port != usual:
            params["HTTP_HOST"] = "%s:%s" % (host, self.port)
        elif self.host is not None:
            params["HTTP_HOST"] = self.host
        if self.client is not None:
            params["REMOTE_ADDR"], port = self.client
            if port is None:
                params.pop("REMOTE_PORT", None)
            else:
                params["REMOTE_PORT"] = port
        if self.scheme is not None:
            params["HTTPS"] = "on" if self.scheme == "https" else ""
            params["REQUEST_SCHEME"] = self.scheme
        # The name, the certificate and the cipher of a proxy's connection say nothing about the client's.
        for name in [one for one in params if one in ("REMOTE_HOST", "REMOTE_IDENT") or _ABOUT_TLS.match(one)]:
            del params[name]


def _scheme(params):
    https = params.get("HTTPS", "")
    if https != "":
        return "https" if https == "1" or https.lower() == "on" else "http"
    return "https" if params.get("REQUEST_SCHEME", "").lower() == "https" else "http"


def _joined(params, more, name):
    """All values of a header, in the order of the wire."""
    if more is not None and name in more:
        return ",".join(value for at, value in enumerate(more[name]) if value or at).lstrip(",")
    return params.get(name, "")


def _from_the_right(text):
    """The entries of a list from its end; empty ones are left out. A comma in a quoted text separates nothing."""
    end = len(text)
    while end >= 0:
        at = end - 1
        is_quoted = False
        # From the right, so that a quotation mark of the client's cannot reach what a proxy wrote behind it.
        while at >= 0 and (is_quoted or text[at] != ","):
            if text[at] == '"' and (at == 0 or text[at - 1] != "\\"):
                is_quoted = not is_quoted
            at -= 1
        entry = text[at + 1:end].strip(_BLANK)
        end = at
        if entry:
            yield entry


def _nth_from_the_right(text, nth):
    """The entry of the outermost named proxy. A list may be shorter: some proxies replace what came."""
    found = None
    for at, entry in enumerate(_from_the_right(text)):
        if at >= nth:
            break
        found = entry
    return found


def _is_address(text):
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
            return True
        except (OSError, ValueError):
            pass
    return False


def _read_node(text):
    found = _BRACKETED.match(text) or _WITH_PORT.match(text)
    address, port = (text, None) if found is None else found.groups()
    address = _MAPPED.sub("", address, count=1) if _MAPPED.match(address) else address
    if "%" in address or not _is_address(address):
        return None
    return address, _read_port(port)


def _read_scheme(text):
    word = None if text is None else text.lower()
    return word if word in ("http", "https") else None


def _read_host(text):
    """What URLs take for a host and a port and nothing else."""
    found = None if text is None else _AUTHORITY.match(text)
    if found is None:
        return None
    name, address, port = found.groups()
    if port is not None and int(port) > 65535:
        return None
    if address is not None:
        return text if _is_address(address) and ":" in address else None
    return text if _is_name(name) else None


def _is_name(name):
    """A name whose last part is a number is an IPv4 address, in whatever notation, or nothing."""
    parts = name.split(".")
    if parts[-1] == "" and len(parts) > 1:
        parts.pop()
    if not re.match(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z", parts[-1]):
        return parts != [""] or name == "."
    numbers = []
    for part in parts:
        if re.match(r"0[xX][0-9a-fA-F]*\Z", part):
            numbers.append(int(part[2:] or "0", 16))
        elif re.match(r"0[0-7]*\Z", part):
            numbers.append(int(part, 8))
        elif re.match(r"[1-9][0-9]{0,9}\Z", part):  # more digits are too many for an address, and for int()
            numbers.append(int(part))
        else:
            return False
    return len(numbers) <= 4 and all(one < 256 for one in numbers[:-1]) and numbers[-1] < 256 ** (5 - len(numbers))


def _read_port(text):
    if text is None or not re.match(r"[0-9]{1,5}\Z", text):
        return None
    port = int(text)
    return str(port) if 0 < port < 65536 else None


def _read_element(element):
    """One element of Forwarded, names in lower case. RFC 7239 §4."""
    if len(element) > _MOST_ELEMENT:
        return None
    pairs = {}
    at = 0
    while at < len(element):
        found = _PAIR.match(element, at)
        if found is None:
            return None
        name, quoted, plain = found.groups()
        pairs[name.lower()] = plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted)
        at = found.end()
    return pairs
