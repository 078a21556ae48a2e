/** What a configuration of HAProxy says of its FastCGI; judged in haproxy-check.ts. */
import { type HaproxySection, parseHaproxy } from "./haproxy-parse.ts";
import {
  addressOf,
  listenOf,
  type Reading,
  type SaidBackend,
  type SaidListen,
  secondsOf,
} from "./reading-model.ts";

export function readHaproxy(text: string): Reading {
  const sections = parseHaproxy(text);
  const globals = sections.filter(({ kind }) => kind === "global").flatMap(({ lines }) => lines);
  const say = (...names: readonly string[]): string | undefined =>
    globals.findLast(({ words }) => names.includes(words[0] ?? ""))?.words[1];
  return {
    backends: sections
      .filter(({ kind }) => kind === "backend" || kind === "listen")
      .flatMap((section) => backendsOf(section, portsOf(section, sections))),
    listens: sections.filter(({ kind }) => kind === "frontend" || kind === "listen").flatMap(listensOf),
    // It writes into no file: to syslog, or what it was started with.
    errorLogs: [],
    user: say("user", "uid"),
    group: say("group", "gid"),
    chroot: say("chroot"),
  };
}

/** Where visitors reach it; none when that is not known. */
function portsOf(section: HaproxySection, sections: readonly HaproxySection[]): number[] {
  const leads = ({ words: [word, target = ""] }: HaproxySection["lines"][number]): boolean =>
    (word === "default_backend" || word === "use_backend") &&
    (target === section.name || target.includes("%"));
  const entries = section.kind === "listen" ? [section] : sections.filter(({ all }) => all.some(leads));
  return [...new Set(entries.flatMap((one) => listensOf(one).map(({ port }) => port)))];
}

function backendsOf({ lines, all }: HaproxySection, ports: readonly number[]): SaidBackend[] {
  const silence = all.findLast(({ words }) => words[0] === "timeout" && words[1] === "server");
  return lines.flatMap(({ words, line }) => {
    const isFastCgi = words.some((word, at) => word === "proto" && words[at + 1] === "fcgi");
    if (words[0] !== "server" || !isFastCgi) return [];
    const address = addressOf((words[2] ?? "").replace(/^(?:unix|ipv4|ipv6)@/, ""));
    if (address === undefined) return [];
    const timeout = secondsOf(silence?.words[2], "ms");
    return [
      {
        address,
        program: undefined,
        environment: {},
        line,
        timeout,
        bodyLimit: undefined,
        url: undefined,
        site: ports.length === 0 ? undefined : { names: [], ports },
      },
    ];
  });
}

function listensOf({ lines }: HaproxySection): SaidListen[] {
  return lines.flatMap(({ words, line }) => {
    if (words[0] !== "bind") return [];
    const addresses = (words[1] ?? "").split(",").map((one) => one.replace(/^ipv[46]@/, ""));
    return addresses.flatMap((one) => {
      const listen = listenOf(one);
      return listen === undefined ? [] : [{ ...listen, isTls: words.includes("ssl"), names: [], line }];
    });
  });
}
