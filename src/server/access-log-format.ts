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

type Field = (request: LoggedRequest) => string;

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
  b:
    () =>
    ({ sentBytes }) =>
      String(sentBytes),
  C: () => {
    throw badOption(
      OPTION,
      "%C",
      "without it: a process works on many requests at once, and Node does not tell the CPU time of one; %d is how long it took",
    );
  },
  d: ({ arg = "seconds" }) => {
    if (arg === "seconds") return ({ durationMs }) => (durationMs / 1000).toFixed(3);
    if (arg === "milliseconds" || arg === "milli") return ({ durationMs }) => durationMs.toFixed(3);
    if (arg === "microseconds" || arg === "micro") return ({ durationMs }) => (durationMs * 1000).toFixed(0);
    throw badOption(OPTION, `%{${arg}}d`, "%{seconds}d, %{milliseconds}d or %{microseconds}d");
  },
  e: (place) => {
    const name = needed(place, "e", "REMOTE_PORT");
    // Only headers have blanks of their own.
    const isQuoted = place.isQuoted && /^(?:HTTP_|CONTENT_TYPE$)/.test(name);
    return param(
      { ...place, isQuoted },
      name,
      /^(?:REMOTE_(?:ADDR|PORT)|HTTPS|REQUEST_SCHEME|SERVER_PORT)$/.test(name),
    );
  },
  f: (place) => param(place, "SCRIPT_FILENAME"),
  i:
    () =>
    ({ exchange }) =>
      exchange.id,
  l:
    () =>
    ({ exchange }) => {
      const length = exchange.params.get("CONTENT_LENGTH") ?? "";
      return /^\d{1,19}$/.test(length) ? length : "0";
    },
  m: (place) => param({ ...place, isQuoted: false }, "REQUEST_METHOD"),
  M: ({ arg = "bytes", process }) => {
    const unit = { bytes: 1, kilobytes: 1024, kilo: 1024, megabytes: 1024 ** 2, mega: 1024 ** 2 }[arg];
    if (unit !== undefined) return () => String(Math.floor(process.memoryBytes() / unit));
    throw badOption(OPTION, `%{${arg}}M`, "%{bytes}M, %{kilobytes}M or %{megabytes}M");
  },
  n: ({ process, mostField }) => constant(escaped(process.pool, false, mostField)),
  o: (place) => {
    const name = needed(place, "o", "Content-Type");
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw badOption(OPTION, `%{${name}}o`, "the name of a header");
    const pattern = new RegExp(`^${name.replace(/[^\w-]/g, "\\$&")}:[ \\t]*(.*?)[ \\t]*$`, "im");
    return ({ head }) => escaped(pattern.exec(head)?.[1], place.isQuoted, place.mostField);
  },
  p: ({ process }) => constant(String(process.pid)),
  P: ({ process }) => constant(String(process.ppid)),
  q:
    ({ mostField }) =>
    ({ exchange }) => {
      const query = queryOf(exchange.params);
      return query === "" ? "" : escaped(query, false, mostField);
    },
  Q:
    () =>
    ({ exchange }) =>
      queryOf(exchange.params) === "" ? "" : "?",
  r:
    ({ mostField }) =>
    ({ exchange }) =>
      escaped(pathOf(exchange.params), false, mostField),
  R: (place) => param(place, "REMOTE_ADDR", true),
  s:
    () =>
    ({ status }) =>
      String(status),
  t: ({ arg = TIME }) => {
    const time = compileTime(arg, OPTION);
    return ({ endedAt, durationMs }) => time(endedAt - durationMs);
  },
  T: ({ arg = TIME }) => {
    const time = compileTime(arg, OPTION);
    return ({ endedAt }) => time(endedAt);
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
  const pieces: (string | Field)[] = [];
  let isQuoted = false;
  // The whole URL as one: three fields would look the same parameter up three times.
  const text = (NAMED[format] ?? format).replaceAll("%r%Q%q", WHOLE_URL);
  for (const [piece, arg, letter] of text.matchAll(/%(?:\{([^}]*)\})?(.?)|[^%]+/gsu)) {
    if (!piece.startsWith("%")) {
      for (const character of piece) if (character === '"') isQuoted = !isQuoted;
      pieces.push(Buffer.from(piece).toString("latin1")); // lines are written as latin1
    } else if (piece === "%%") {
      pieces.push("%");
    } else if (piece === WHOLE_URL) {
      pieces.push(({ exchange }) => urlOf(exchange.params, mostField));
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
      pieces.push(make({ arg, isQuoted, mostField, process }));
    }
  }
  return (request) => {
    let line = "";
    for (const piece of pieces) line += typeof piece === "string" ? piece : piece(request);
    return line;
  };
}

/** One object a line. What a request does not have is left out. */
function jsonFormat(mostField: number, process: LoggingProcess): LineFormat {
  const time = compileIsoTime();
  const pool = process.pool === undefined ? "" : `,"pool":${quoted(process.pool, mostField)}`;
  const end = `${pool},"pid":${process.pid}}`;
  return ({ exchange, status, sentBytes, durationMs, endedAt }) => {
    const { params, client } = exchange;
    const add = (name: string, value: string | undefined, most: number): string =>
      value === undefined || value === "" ? "" : `,"${name}":${quoted(value, most)}`;
    const query = queryOf(params);
    const url = query === "" ? pathOf(params) : `${pathOf(params)}?${query}`;
    return `{"time":"${time(endedAt - durationMs)}","id":"${exchange.id}"${
      add("client", client.get("REMOTE_ADDR"), 64) +
      add("user", params.get("REMOTE_USER"), 128) +
      add("method", params.get("REQUEST_METHOD"), 32) +
      add("url", url, mostField) +
      add("protocol", params.get("SERVER_PROTOCOL"), 32)
    },"status":${status},"bytes":${sentBytes},"durationMs":${durationMs.toFixed(3)}${
      add("host", params.get("HTTP_HOST"), 256) +
      add("referer", params.get("HTTP_REFERER"), mostField) +
      add("userAgent", params.get("HTTP_USER_AGENT"), mostField)
    }${end}`;
  };
}

function param({ isQuoted, mostField }: Place, name: string, isClient = false): Field {
  return isClient
    ? ({ exchange }) => escaped(exchange.client.get(name), isQuoted, mostField)
    : ({ exchange }) => escaped(exchange.params.get(name), isQuoted, mostField);
}

function needed({ arg }: Place, letter: string, example: string): string {
  if (arg !== undefined && arg !== "") return arg;
  throw badOption(OPTION, `%${letter}`, `%{NAME}${letter}, such as %{${example}}${letter}`);
}

function constant(text: string): Field {
  return () => text;
}

function pathOf(params: ParamSource): string {
  const uri = params.get("REQUEST_URI");
  if (uri === undefined) return `${params.get("SCRIPT_NAME") ?? ""}${params.get("PATH_INFO") ?? ""}`;
  const query = uri.indexOf("?");
  return query < 0 ? uri : uri.slice(0, query);
}

/** {@link pathOf} and {@link queryOf} with the question mark between, escaped. */
function urlOf(params: ParamSource, most: number): string {
  const uri = params.get("REQUEST_URI");
  if (uri !== undefined && uri !== "" && uri.length <= most && PLAIN.test(uri) && !uri.endsWith("?"))
    return uri;
  const query = queryOf(params);
  const path = escaped(pathOf(params), false, most);
  return query === "" ? path : `${path}?${escaped(query, false, most)}`;
}

function queryOf(params: ParamSource): string {
  const uri = params.get("REQUEST_URI");
  if (uri === undefined) return params.get("QUERY_STRING") ?? "";
  const query = uri.indexOf("?");
  return query < 0 ? "" : uri.slice(query + 1);
}

const PLAIN = /^[\x21\x23-\x5b\x5d-\x7e]*$/;
const PLAIN_QUOTED = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** A value for a text format; `-` when there is none. */
function escaped(value: string | undefined, isQuoted: boolean, most: number): string {
  if (value === undefined || value === "") return "-";
  if (value.length <= most && (isQuoted ? PLAIN_QUOTED : PLAIN).test(value)) return value;
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
