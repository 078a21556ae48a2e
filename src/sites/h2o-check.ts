/** What an existing configuration of h2o gets wrong. Each rule is documented by its name in docs/configure.md. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml";
import { printAddress } from "../base/address.ts";
import { addressFindings, bodyFindings, finding, meant } from "./balancer-findings.ts";
import type { Expected, Finding } from "./model.ts";
import { hostAndPort, refused } from "./parts.ts";

/** h2o's own limit of uploads. */
const DEFAULT_BODY_BYTES = 1_073_741_824;

/** And of silence. */
const DEFAULT_SILENCE_MS = 30_000;

/** A pair somewhere in the configuration. */
interface Setting {
  readonly name: string;
  readonly value: unknown;
  readonly line: number;
  /** The path of the site that it is for; undefined outside of `paths`. */
  readonly path: string | undefined;
}

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a text that is no YAML */
export function checkH2o(text: string, expected: Expected): Finding[] {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, customTags: [] });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = counter.linePos(error.pos[0]);
    throw refused(`line ${line}: ${error.message.split("\n")[0]}; this is not a configuration of h2o`);
  }
  if (!isMap(document.contents))
    throw refused("line 1: this is not a configuration of h2o, which is a YAML mapping");
  const settings = settingsOf(document.contents, counter, undefined);
  const speaking = settings.filter(({ name }) => name === "fastcgi.connect" || name === "fastcgi.spawn");
  const connections = meant(speaking, (one) => [destinationOf(one)], expected);
  if (connections.length === 0) return [nothingPassed()];
  return [
    ...addresses(connections, expected),
    ...mounts(connections, expected),
    ...spawned(connections),
    ...limits(settings, expected),
    ...times(settings, expected),
    ...behindFiles(settings),
  ];
}

/** Every pair, in the order of the text; `paths` tells which path it is below. */
function settingsOf(node: YAMLMap, counter: LineCounter, path: string | undefined): Setting[] {
  return node.items.flatMap(({ key, value }) => {
    const name = isScalar(key) ? String(key.value) : "";
    const line = lineOf(key, counter);
    const below =
      name === "paths" && isMap(value)
        ? value.items.flatMap((item) =>
            valuesOf(item.value).flatMap((one) =>
              settingsOf(one, counter, isScalar(item.key) ? String(item.key.value) : ""),
            ),
          )
        : valuesOf(value).flatMap((one) => settingsOf(one, counter, path));
    return [{ name, value, line, path }, ...below];
  });
}

/** A mapping, or the mappings of a list. */
function valuesOf(value: unknown): YAMLMap[] {
  if (isMap(value)) return [value];
  return isSeq(value) ? value.items.filter(isMap) : [];
}

function lineOf(node: unknown, counter: LineCounter): number {
  const start = (node as Node | null)?.range?.[0];
  return start === undefined ? 0 : counter.linePos(start).line;
}

function textOf(value: unknown): string {
  return isScalar(value) ? String(value.value) : "";
}

function nothingPassed(): Finding {
  return finding(
    "no-fastcgi",
    "error",
    0,
    "there is neither fastcgi.connect nor fastcgi.spawn: no request reaches the application",
    "fastcgi.connect: { port: /run/NAME/app.sock, type: unix }",
  );
}

function addresses(connections: readonly Setting[], expected: Expected): Finding[] {
  const destinations = connections
    .filter(({ name }) => name === "fastcgi.connect")
    .map((one) => ({ text: destinationOf(one), line: one.line }));
  return addressFindings(destinations, expected, (address) =>
    address.kind === "unix"
      ? `fastcgi.connect: { port: ${JSON.stringify(address.path)}, type: unix }`
      : `fastcgi.connect: { host: HOST, port: PORT, type: tcp } for ${printAddress(address)}`,
  );
}

/** What `fastcgi.connect` says, which may be a port alone. */
function destinationOf({ value }: Setting): string {
  if (!isMap(value)) return `127.0.0.1:${textOf(value)}`;
  const port = String(value.get("port") ?? "");
  if (value.get("type") === "unix") return port;
  return hostAndPort({ host: String(value.get("host") ?? "127.0.0.1"), port: Number(port) });
}

function mounts(connections: readonly Setting[], { mount }: Expected): Finding[] {
  if (mount === undefined) return [];
  const at = (path: string | undefined): string => (path ?? "").replace(/\/$/, "");
  const [first] = connections;
  if (!connections.some(({ path }) => at(path) === mount)) {
    return [
      finding(
        "mount-not-told",
        "error",
        first?.line ?? 0,
        `the application is at "${mount}", and h2o passes on what is below ${connections.map(({ path }) => `"${at(path)}"`).join(", ")}`,
        `put it below ${mount === "" ? "/" : mount}: in paths`,
      ),
    ];
  }
  if (mount === "") return [];
  const own = connections.find(({ path }) => at(path) === mount);
  return [
    finding(
      "base-needed",
      "warning",
      own?.line ?? 0,
      "h2o does not tell an application where it is mounted: by itself it takes the whole path for its own",
      `start Postern with --base ${encodeURI(mount)}`,
    ),
  ];
}

function spawned(connections: readonly Setting[]): Finding[] {
  return connections
    .filter(({ name }) => name === "fastcgi.spawn")
    .map(({ line }) =>
      finding(
        "spawn-not-restarted",
        "warning",
        line,
        "h2o does not start a program again that has ended: requests hang from then on",
        "run postern serve as a service, and write fastcgi.connect",
      ),
    );
}

function limits(settings: readonly Setting[], expected: Expected): Finding[] {
  const limit = settings.find(({ name }) => name === "limit-request-body");
  const bytes = limit === undefined ? DEFAULT_BODY_BYTES : Number(textOf(limit.value));
  // Nobody who has not said a size means more than a gigabyte.
  if (limit === undefined && expected.maxBodyBytes === 0) return [];
  return bodyFindings(
    Number.isFinite(bytes) && bytes < Number.MAX_SAFE_INTEGER ? bytes : 0,
    limit?.line ?? 0,
    expected,
    (wanted) => `limit-request-body: ${wanted === 0 ? Number.MAX_SAFE_INTEGER : wanted}`,
  );
}

function times(settings: readonly Setting[], { timeoutSeconds = 0 }: Expected): Finding[] {
  const found: Finding[] = [];
  if (!settings.some(({ name }) => name === "fastcgi.timeout.keepalive")) {
    found.push(
      finding(
        "keep-alive-off",
        "warning",
        0,
        "h2o opens a connection to the application for each request",
        "fastcgi.timeout.keepalive: 30000",
      ),
    );
  }
  const silence = settings.find(({ name }) => name === "fastcgi.timeout.io");
  const silenceMs = silence === undefined ? DEFAULT_SILENCE_MS : Number(textOf(silence.value));
  if (silenceMs >= 1000 && silenceMs < timeoutSeconds * 1000) {
    found.push(
      finding(
        "timeout-too-short",
        "warning",
        silence?.line ?? 0,
        `after ${silenceMs} ms without a word of the application visitors get 503, and it may take ${timeoutSeconds} s`,
        `fastcgi.timeout.io: ${timeoutSeconds * 1000}`,
      ),
    );
  }
  for (const { name, value, line } of settings) {
    const ms = Number(textOf(value));
    if (!/^fastcgi\.timeout\.(?:io|keepalive)$/.test(name) || ms === 0 || ms >= 1000) continue;
    found.push(
      finding(
        "timeout-in-milliseconds",
        "warning",
        line,
        `${name} is in milliseconds: ${ms} is less than a second`,
        `${name}: ${ms * 1000}`,
      ),
    );
  }
  return found;
}

function behindFiles(settings: readonly Setting[]): Finding[] {
  return settings
    .filter(
      ({ name, value }) =>
        name === "file.custom-handler" &&
        isMap(value) &&
        value.items.some(({ key }) => /^fastcgi\./.test(textOf(key))),
    )
    .map(({ line }) =>
      finding(
        "only-for-files",
        "error",
        line,
        "file.custom-handler is for files that are there: all other URLs get 404 without the application",
        "write fastcgi.connect below a path by itself",
      ),
    );
}
