/** What a configuration of lighttpd says of its FastCGI; judged in lighttpd-check.ts. */
import type { Address } from "../base/address.ts";
import { backendsOf, textOf } from "./lighttpd-check-entries.ts";
import { type Assignment, type Condition, parseLighttpd, type Value } from "./lighttpd-parse.ts";
import type { Reading, SaidListen, SaidSite } from "./reading-model.ts";

export function readLighttpd(text: string): Reading {
  const assignments = parseLighttpd(text);
  const say = (name: string): string | undefined =>
    textOf(assignments.findLast((one) => one.name === name)?.value);
  const listens = listensOf(assignments, say);
  const ports = listens.map(({ port }) => port);
  const kibibytes = Number(say("server.max-request-size") ?? 0);
  return {
    backends: backendsOf(assignments).map(({ words, line, key, conditions }) => {
      const program = textOf(words.get("bin-path"))?.split(" ")[0];
      const seconds = Number(textOf(words.get("read-timeout")) ?? Number.NaN);
      return {
        address: program === undefined ? addressOf(words) : undefined,
        program,
        environment: mapOf(words.get("bin-environment")),
        copied: listOf(words.get("bin-copy-environment")),
        line: (words.get("socket") ?? words.get("bin-path") ?? words.get("host"))?.line ?? line,
        timeout: seconds > 0 ? seconds : undefined,
        bodyLimit: kibibytes > 0 ? kibibytes * 1024 : undefined,
        url: key.startsWith("/") ? key : undefined,
        pattern: /^\.\w+$/.test(key) ? `\\${key}$` : undefined,
        site: siteOf(conditions, ports),
      };
    }),
    listens,
    errorLogs: assignments.flatMap(({ name, value, line }) => {
      const path = name === "server.errorlog" || name === "server.breakagelog" ? textOf(value) : undefined;
      return path === undefined || /^(?:\||\/dev\/)/.test(path) ? [] : [{ path, line }];
    }),
    user: say("server.username"),
    group: say("server.groupname"),
    chroot: say("server.chroot"),
  };
}

function addressOf(words: ReadonlyMap<string, Value>): Address | undefined {
  const socket = textOf(words.get("socket"));
  if (socket !== undefined) return { kind: "unix", path: socket };
  const host = textOf(words.get("host")) ?? "127.0.0.1";
  if (host.startsWith("/")) return { kind: "unix", path: host };
  const port = Number(textOf(words.get("port")));
  return port > 0 ? { kind: "tcp", host, port } : undefined;
}

function siteOf(conditions: readonly Condition[], everywhere: readonly number[]): SaidSite {
  const said = (wanted: string, by = "=="): string[] =>
    conditions.filter(({ what, operator }) => what === wanted && operator === by).map(({ text }) => text);
  return {
    ...(conditions.length === 0 && { otherwiseAt: everywhere }),
    expressions: said('HTTP["host"]', "=~"),
    names: said('HTTP["host"]').map((text) => text.replace(/:\d+$/, "")),
    ports: said('SERVER["socket"]').flatMap((text) => /:(\d+)$/.exec(text)?.slice(1).map(Number) ?? []),
  };
}

function mapOf(value: Value | undefined): Record<string, string> {
  if (value?.kind !== "list") return {};
  return Object.fromEntries(value.entries.map((entry) => [entry.key ?? "", textOf(entry.value) ?? ""]));
}

function listOf(value: Value | undefined): string[] | undefined {
  if (value?.kind !== "list") return undefined;
  return value.entries.map((entry) => textOf(entry.value) ?? "");
}

function listensOf(
  assignments: readonly Assignment[],
  say: (name: string) => string | undefined,
): SaidListen[] {
  const names = assignments.flatMap(({ conditions }) =>
    conditions
      .filter(({ what, operator }) => what === 'HTTP["host"]' && operator === "==")
      .map((one) => one.text),
  );
  const isOn = (one: Assignment): boolean =>
    one.name === "ssl.engine" && /^enabled?$/.test(textOf(one.value) ?? "");
  const main: SaidListen = {
    host: (say("server.bind") ?? "").replace(/^(?:0\.0\.0\.0|\[::\]|::)$/, ""),
    port: Number(say("server.port") ?? 80),
    isTls: assignments.some((one) => isOn(one) && one.conditions.length === 0),
    names,
    line: assignments.find(({ name }) => name === "server.port")?.line ?? 0,
  };
  const more = assignments.flatMap(({ conditions }) =>
    conditions.flatMap(({ what, operator, text, line }) => {
      const [, host = "", port] = /^(.*):(\d+)$/.exec(text) ?? [];
      if (what !== 'SERVER["socket"]' || operator !== "==" || port === undefined) return [];
      const isTls = assignments.some((one) => isOn(one) && one.conditions.some((own) => own.line === line));
      return [{ host: host.replace(/^(?:0\.0\.0\.0|\[::\])$/, ""), port: Number(port), isTls, names, line }];
    }),
  );
  return [...new Map([main, ...more].map((one) => [`${one.host}:${one.port}`, one])).values()];
}
