/** What a configuration of h2o says of its FastCGI; judged in h2o-check.ts. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml";
import { refused } from "./parts.ts";
import {
  addressOf,
  commandOf,
  limitOf,
  type Reading,
  type SaidBackend,
  type SaidListen,
  type SaidSite,
} from "./reading-model.ts";

/** h2o's own, where nothing is said. */
const DEFAULT_MS = 30_000;
const DEFAULT_BODY_BYTES = 1_073_741_824;

interface Pair {
  readonly name: string;
  readonly value: unknown;
  readonly line: number;
  readonly host: string | undefined;
  readonly path: string | undefined;
}

/** @throws {SettingError} `ERR_POSTERN_BAD_SETTING` for a text that is no YAML */
export function readH2o(text: string): Reading {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, customTags: [] });
  const [error] = document.errors;
  if (error !== undefined || !isMap(document.contents)) {
    const line = error === undefined ? 1 : counter.linePos(error.pos[0]).line;
    throw refused(
      `line ${line}: this is not a configuration of h2o: ${error?.message.split("\n")[0] ?? "no YAML mapping"}`,
    );
  }
  const pairs = pairsOf(document.contents, counter, { host: undefined, path: undefined });
  const say = (name: string): string | undefined => {
    const found = pairs.findLast((one) => one.name === name);
    return found === undefined || !isScalar(found.value) ? undefined : String(found.value.value);
  };
  const limit = say("limit-request-body");
  const shared = {
    timeout: Number(say("fastcgi.timeout.io") ?? DEFAULT_MS) / 1000,
    bodyLimit: limit === undefined ? DEFAULT_BODY_BYTES : limitOf(limit),
  };
  return {
    backends: pairs.flatMap((pair) => backendOf(pair, shared)),
    listens: pairs.filter(({ name }) => name === "listen").flatMap(listensOf),
    errorLogs: pairs.flatMap(({ name, value, line }) => {
      const path = name === "error-log" && isScalar(value) ? String(value.value) : "";
      return path === "" || /^(?:\||\/dev\/)/.test(path) ? [] : [{ path, line }];
    }),
    user: say("user"),
    group: undefined,
    chroot: undefined,
  };
}

function backendOf(pair: Pair, shared: Pick<SaidBackend, "timeout" | "bodyLimit">): SaidBackend[] {
  const { name, value, path: url } = pair;
  const site = siteOfHost(pair.host);
  if (name === "fastcgi.connect") {
    const [text, line] = isMap(value)
      ? value.get("type") === "unix"
        ? [String(value.get("port") ?? ""), pair.line]
        : [`${String(value.get("host") ?? "127.0.0.1")}:${String(value.get("port") ?? "")}`, pair.line]
      : [`127.0.0.1:${isScalar(value) ? String(value.value) : ""}`, pair.line];
    const address = addressOf(text);
    return address === undefined
      ? []
      : [{ ...shared, address, program: undefined, environment: {}, line, url, site }];
  }
  if (name !== "fastcgi.spawn") return [];
  const command = isScalar(value)
    ? String(value.value)
    : isMap(value)
      ? String(value.get("command") ?? "")
      : "";
  return [{ ...shared, address: undefined, ...commandOf(command), line: pair.line, url, site }];
}

/** `example.com`, `example.com:8080`. */
function siteOfHost(host: string | undefined): SaidSite | undefined {
  if (host === undefined) return undefined;
  const [, name = "", port] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
  return { names: /^[\w.-]+$/.test(name) ? [name] : [], ports: port === undefined ? [] : [Number(port)] };
}

function listensOf({ value, line, host }: Pair): SaidListen[] {
  const names =
    host === undefined ? [] : [host.replace(/:\d+$/, "")].filter((name) => /^[\w.-]+$/.test(name));
  const all = isSeq(value) ? value.items : [value];
  return all.flatMap((one) => {
    const port = Number(isMap(one) ? one.get("port") : isScalar(one) ? one.value : Number.NaN);
    if (!Number.isInteger(port)) return [];
    const said = isMap(one) ? String(one.get("host") ?? "") : "";
    const isTls = isMap(one) && one.has("ssl");
    return [{ host: said.replace(/^(?:0\.0\.0\.0|::)$/, ""), port, isTls, names, line }];
  });
}

/** Every pair, in the order of the text, with the host and the path that it is below. */
function pairsOf(node: YAMLMap, counter: LineCounter, at: Pick<Pair, "host" | "path">): Pair[] {
  return node.items.flatMap(({ key, value }) => {
    const name = isScalar(key) ? String(key.value) : "";
    const start = (key as Node | null)?.range?.[0];
    const line = start === undefined ? 0 : counter.linePos(start).line;
    const kind = name === "hosts" ? "host" : name === "paths" ? "path" : undefined;
    const below =
      kind !== undefined && isMap(value)
        ? value.items.flatMap((item) =>
            mapsOf(item.value).flatMap((one) =>
              pairsOf(one, counter, { ...at, [kind]: isScalar(item.key) ? String(item.key.value) : "" }),
            ),
          )
        : mapsOf(value).flatMap((one) => pairsOf(one, counter, at));
    return [{ name, value, line, ...at }, ...below];
  });
}

function mapsOf(value: unknown): YAMLMap[] {
  if (isMap(value)) return [value];
  return isSeq(value) ? value.items.filter(isMap) : [];
}
