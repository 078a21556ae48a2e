// HOT
/**
 * The formats of the access log, each compiled once to a function: request that is over → line without its end.
 *
 * A client decides what most values hold, and must not be able to forge a line, or a field of one. So a line is
 * printable ASCII: in text everything else is `\xNN`, quotes and backslashes have a backslash before them, and a blank
 * outside of quotes is `\x20`; in JSON it is `\uNNNN`. No value is longer than `mostField` characters; what is cut off
 * ends in `...`.
 */
import { badOption } from "../base/settings.ts";
import { compileIsoTime, compileTime } from "./access-log-time.ts";

interface ParamSource {
  get(name: string): string | undefined;
}

/** A request that is over, as far as formats look at it. */
export interface LoggedRequest {
  readonly exchange: {
    readonly id: string;
    readonly params: ParamSource;
    readonly client: ParamSource;
  };
  /** REQUEST_METHOD, REQUEST_URI, and REMOTE_ADDR of the client. */
  readonly method: string | undefined;
  readonly uri: string | undefined;
  readonly address: string | undefined;
  /** Of the answer. */
  readonly head: string;
  readonly status: number;
  readonly sentBytes: number;
  readonly durationMs: number;
  /** ms since the epoch. */
  readonly endedAt: number;
}

/** What is the same for all requests of a process. */
export interface LoggingProcess {
  readonly pool: string | undefined;
  readonly pid: number;
  readonly ppid: number;
  memoryBytes(): number;
}

export type LineFormat = (request: LoggedRequest) => string;

/** What stands in one place of every line. */
interface Field {
  /** What it is about. Values that are equal look the same. */
  readonly value: (request: LoggedRequest) => string | number;
  /** How it looks; undefined is: as it is. */
  readonly show: ((value: string) => string) | undefined;
}

/** A field and the text behind it. What looked like this last time, as most of a line does, is not made again. */
interface Piece extends Field {
  after: string;
  last: string | number;
  shown: string;
}

/** Where a field of a format stands. */
interface Place {
  /** Between the braces of `%{…}x`; undefined without them. */
  readonly arg: string | undefined;
  readonly isQuoted: boolean;
  readonly mostField: number;
  readonly process: LoggingProcess;
}

const OPTION = "accessLogFormat";
const COMMON = '%R - %u [%t] "%m %r%Q%q %{SERVER_PROTOCOL}e" %s %b';
/** Formats that have a name. `json` is one too. */
const NAMED: Readonly<Record<string, string>> = {
  common: COMMON,
  combined: `${COMMON} "%{HTTP_REFERER}e" "%{HTTP_USER_AGENT}e"`,
};
const TIME = "%d/%b/%Y:%H:%M:%S %z";

/** Fields by letter: php-fpm's, and what it has no letter for (`%b`, `%i`). */
const FIELDS: Readonly<Record<string, (place: Place) => Field>> = {
  b: () => asItIs(({ sentBytes }) => sentBytes),
  C: () => {
    throw badOption(
      OPTION,
      "%C",
      "without it: a process works on many requests at once, and Node does not tell the CPU time of one; %d is how long it took",
    );
  },
  d: ({ arg = "seconds" }) => {
    if (arg === "seconds") return asItIs(({ durationMs }) => (durationMs / 1000).toFixed(3));
    if (arg === "milliseconds" || arg === "milli") return asItIs(({ durationMs }) => durationMs.toFixed(3));
    if (arg === "microseconds" || arg === "micro")
      return asItIs(({ durationMs }) => (durationMs * 1000).toFixed(0));
    throw badOption(OPTION, `%{${arg}}d`, "%{seconds}d, %{milliseconds}d or %{microseconds}d");
  },
  e: (place) => {
    const name = needed(place, "e", "REMOTE_PORT");
    // Only headers have blanks of their own.
    const isQuoted = place.isQuoted && /^(?:HTTP_|CONTENT_TYPE$)/.test(name);
    if (/^(?:REMOTE_(?:ADDR|PORT)|HTTPS|REQUEST_SCHEME|SERVER_PORT)$/.test(name))
      return escaping({ ...place, isQuoted }, ({ exchange }) => exchange.client.get(name));
    return param({ ...place, isQuoted }, name);
  },
  f: (place) => param(place, "SCRIPT_FILENAME"),
  i: () => asItIs(({ exchange }) => exchange.id),
  l: () =>
    asItIs(({ exchange }) => {
      const length = exchange.params.get("CONTENT_LENGTH") ?? "";
      return /^\d{1,19}$/.test(length) ? length : "0";
    }),
  m: (place) => escaping({ ...place, isQuoted: false }, ({ method }) => method),
  M: ({ arg = "bytes", process }) => {
    const unit = { bytes: 1, kilobytes: 1024, kilo: 1024, megabytes: 1024 ** 2, mega: 1024 ** 2 }[arg];
    if (unit !== undefined) return asItIs(() => Math.floor(process.memoryBytes() / unit));
    throw badOption(OPTION, `%{${arg}}M`, "%{bytes}M, %{kilobytes}M or %{megabytes}M");
  },
  n: (place) => escaping({ ...place, isQuoted: false }, () => place.process.pool),
  o: (place) => {
    const name = needed(place, "o", "Content-Type");
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw badOption(OPTION, `%{${name}}o`, "the name of a header");
    const pattern = new RegExp(`^${name.replace(/[^\w-]/g, "\\$&")}:[ \\t]*(.*?)[ \\t]*$`, "im");
    return escaping(place, ({ head }) => pattern.exec(head)?.[1]);
  },
  p: ({ process }) => asItIs(() => process.pid),
  P: ({ process }) => asItIs(() => process.ppid),
  q: ({ mostField }) => ({
    value: queryOf,
    show: (query) => (query === "" ? "" : escaped(query, false, mostField)),
  }),
  Q: () => asItIs((request) => (queryOf(request) === "" ? "" : "?")),
  r: (place) => escaping({ ...place, isQuoted: false }, pathOf),
  R: (place) => escaping(place, ({ address }) => address),
  s: () => asItIs(({ status }) => status),
  t: ({ arg = TIME }) => {
    const time = compileTime(arg, OPTION);
    return asItIs(({ endedAt, durationMs }) => time(endedAt - durationMs));
  },
  T: ({ arg = TIME }) => {
    const time = compileTime(arg, OPTION);
    return asItIs(({ endedAt }) => time(endedAt));
  },
  u: (place) => param(place, "REMOTE_USER"),
};

const WHOLE_URL = "%\0";

/** Fields that take `%{…}`. */
const WITH_ARGUMENT = new Set(["d", "e", "M", "o", "t", "T"]);

/**
 * @param format a name, or text with fields
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function compileFormat(format: string, mostField: number, process: LoggingProcess): LineFormat {
  if (format === "json") return jsonFormat(mostField, process);
  let before = "";
  const pieces: Piece[] = [];
  const add = (text: string): void => {
    const piece = pieces.at(-1);
    if (piece === undefined) before += text;
    else piece.after += text;
  };
  const addField = ({ value, show }: Field): void => {
    pieces.push({ value, show, after: "", last: Number.NaN, shown: "" });
  };
  let isQuoted = false;
  // The whole URL as one: three fields would look the same parameter up three times.
  const text = (NAMED[format] ?? format).replaceAll("%r%Q%q", WHOLE_URL);
  for (const [piece, arg, letter] of text.matchAll(/%(?:\{([^}]*)\})?(.?)|[^%]+/gsu)) {
    if (!piece.startsWith("%")) {
      for (const character of piece) if (character === '"') isQuoted = !isQuoted;
      add(Buffer.from(piece).toString("latin1")); // lines are written as latin1
    } else if (piece === "%%") {
      add("%");
    } else if (piece === WHOLE_URL) {
      addField(urlField(mostField));
    } else {
      const make = Object.hasOwn(FIELDS, letter ?? "") ? FIELDS[letter ?? ""] : undefined;
      if (make === undefined || (arg !== undefined && !WITH_ARGUMENT.has(letter ?? ""))) {
        const known = Object.keys(FIELDS).filter((one) => one !== "C");
        const all = known.map((one) => (WITH_ARGUMENT.has(one) ? `%{…}${one}` : `%${one}`)).join(" ");
        throw badOption(
          OPTION,
          piece,
          `common, combined, json, or text with fields: ${all} and %% for a percent sign`,
        );
      }
      addField(make({ arg, isQuoted, mostField, process }));
    }
  }
  return (request) => {
    let line = before;
    for (let at = 0; at < pieces.length; at++) {
      const piece = pieces[at]!;
      const value = piece.value(request);
      if (value !== piece.last) {
        piece.last = value;
        const { show } = piece;
        piece.shown = (show === undefined ? value : show(value as string)) + piece.after;
      }
      line += piece.shown;
    }
    return line;
  };
}

/** One object a line. What a request does not have is left out. */
function jsonFormat(mostField: number, process: LoggingProcess): LineFormat {
  const time = compileIsoTime();
  const pool = process.pool === undefined ? "" : `,"pool":${quoted(process.pool, mostField)}`;
  const end = `${pool},"pid":${process.pid}}`;
  const client = jsonField("client", 64);
  const user = jsonField("user", 128);
  const methodOf = jsonField("method", 32);
  const url = jsonField("url", mostField);
  const protocol = jsonField("protocol", 32);
  const host = jsonField("host", 256);
  const referer = jsonField("referer", mostField);
  const userAgent = jsonField("userAgent", mostField);
  return (request) => {
    const { exchange, status, sentBytes, durationMs, endedAt, method, uri, address } = request;
    const { params } = exchange;
    return `{"time":"${time(endedAt - durationMs)}","id":"${exchange.id}"${
      client(address) +
      user(params.get("REMOTE_USER")) +
      methodOf(method) +
      url(uri === undefined || uri.endsWith("?") ? wholeUrlOf(request) : uri) +
      protocol(params.get("SERVER_PROTOCOL"))
    },"status":${status},"bytes":${sentBytes},"durationMs":${thousandths(durationMs)}${
      host(params.get("HTTP_HOST")) +
      referer(params.get("HTTP_REFERER")) +
      userAgent(params.get("HTTP_USER_AGENT"))
    }${end}`;
  };
}

/** As `toFixed(3)`, which takes several times as long. */
function thousandths(value: number): string {
  const all = Math.round(value * 1000);
  const whole = Math.floor(all / 1000);
  const rest = all - whole * 1000;
  return `${whole}.${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}`;
}

/** A member of the object, with the comma before it. What was shown last is often shown again. */
function jsonField(name: string, most: number): (value: string | undefined) => string {
  let last = "";
  let shown = "";
  return (value) => {
    if (value === undefined || value === "") return "";
    if (value === last) return shown;
    last = value;
    shown = `,"${name}":${quoted(value, most)}`;
    return shown;
  };
}

function asItIs(value: Field["value"]): Field {
  return { value, show: undefined };
}

/** A field that somebody else decides on. */
function escaping(
  { isQuoted, mostField }: Place,
  value: (request: LoggedRequest) => string | undefined,
): Field {
  return {
    value: (request) => value(request) ?? "",
    show: (text) => escaped(text, isQuoted, mostField),
  };
}

function param(place: Place, name: string): Field {
  return escaping(place, ({ exchange }) => exchange.params.get(name));
}

function needed({ arg }: Place, letter: string, example: string): string {
  if (arg !== undefined && arg !== "") return arg;
  throw badOption(OPTION, `%${letter}`, `%{NAME}${letter}, such as %{${example}}${letter}`);
}

function pathOf({ uri, exchange: { params } }: LoggedRequest): string {
  if (uri === undefined) return `${params.get("SCRIPT_NAME") ?? ""}${params.get("PATH_INFO") ?? ""}`;
  const query = uri.indexOf("?");
  return query < 0 ? uri : uri.slice(0, query);
}

function queryOf({ uri, exchange: { params } }: LoggedRequest): string {
  if (uri === undefined) return params.get("QUERY_STRING") ?? "";
  const query = uri.indexOf("?");
  return query < 0 ? "" : uri.slice(query + 1);
}

function wholeUrlOf(request: LoggedRequest): string {
  const query = queryOf(request);
  return query === "" ? pathOf(request) : `${pathOf(request)}?${query}`;
}

/** {@link pathOf} and {@link queryOf} with the question mark between. */
function urlField(most: number): Field {
  return {
    value: (request) => {
      const { uri } = request;
      if (uri === undefined) return wholeUrlOf(request);
      return uri.endsWith("?") ? wholeUrlOf(request) : uri;
    },
    show: (url) => {
      const query = url.indexOf("?") + 1;
      if (query === 0 || query === url.length || isPlain(url, most)) return escaped(url, false, most);
      return `${escaped(url.slice(0, query - 1), false, most)}?${escaped(url.slice(query), false, most)}`;
    },
  };
}

const PLAIN = /^[\x21\x23-\x5b\x5d-\x7e]*$/;
const PLAIN_QUOTED = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function isPlain(value: string, most: number): boolean {
  return value.length <= most && PLAIN.test(value);
}

/** A value for a text format; `-` when there is none. */
function escaped(value: string, isQuoted: boolean, most: number): string {
  if (value === "") return "-";
  if (isQuoted ? value.length <= most && PLAIN_QUOTED.test(value) : isPlain(value, most)) return value;
  return clipped(value, most, (character) => {
    if (character === '"' || character === "\\") return `\\${character}`;
    if ((character === " " && isQuoted) || (character > " " && character <= "~")) return character;
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** A value for JSON, quotes included. Its bytes are taken for UTF-8. */
function quoted(value: string, most: number): string {
  if (value.length <= most && PLAIN_QUOTED.test(value)) return `"${value}"`;
  // Four times as many bytes are never too few to fill it.
  const text = Buffer.from(value.slice(0, most * 4), "latin1").toString("utf8");
  return `"${clipped(text, most, (character) => {
    if (character === '"' || character === "\\") return `\\${character}`;
    if (character >= " " && character <= "~") return character;
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  })}"`;
}

/** Escaped a character at a time, so that the cut is never within an escape. */
function clipped(value: string, most: number, escapeOne: (character: string) => string): string {
  let text = "";
  for (let at = 0; at < value.length; at++) {
    const next = escapeOne(value[at]!);
    if (text.length + next.length > most - 3) return `${text}...`;
    text += next;
  }
  return text;
}
