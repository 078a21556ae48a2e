/** The sockets that a doctor's questions are about: who connects to them, and where that is written. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Address, printAddress } from "../../base/address.ts";
import { holderOfPort, holderOfUnixSocket } from "../../server/socket-holder.ts";
import type { BackendFact, Check, Facts, Finding, Identity, Remedy, WebServerFact } from "./model.ts";
import { placeOf } from "./places.ts";
import { taking } from "./web-server-remedies.ts";

/** One address, and one who connects to it. */
export interface SocketOf {
  readonly address: Address;
  /** In sentences. */
  readonly name: string;
  /** Who connects; undefined: nobody knows. */
  readonly user: Identity | undefined;
  readonly server: WebServerFact | undefined;
  readonly backend: BackendFact | undefined;
  /** Where it is written: `file:line`; undefined: it was given. */
  readonly place: string | undefined;
}

/** The sockets in question, each address once for each web server. */
export function socketsOf({ application, connect, webServers, options }: Facts): SocketOf[] {
  const configured = webServers.flatMap((server) =>
    server.backends.flatMap((backend): SocketOf[] => {
      const { address, place } = backend;
      if (address === undefined) return [];
      return [{ address, name: printAddress(address), user: server.user, server, backend, place }];
    }),
  );
  const named = connect ?? (configured.length === 0 ? application?.listens[0] : undefined);
  const own: SocketOf[] = [];
  if (named !== undefined && !configured.some(({ address }) => isSame(address, named))) {
    const address = absolute(named, options?.cwd ?? "/");
    const server = webServers.length === 1 ? webServers[0] : undefined;
    const user = server?.user;
    own.push({ address, name: printAddress(address), user, server, backend: undefined, place: undefined });
  }
  const all = new Map<string, SocketOf>();
  for (const one of [...own, ...configured]) {
    const key = `${one.name} ${one.server?.files[0] ?? ""}`;
    if (!all.has(key)) all.set(key, one);
  }
  return [...all.values()].filter(({ address }) => address.kind !== "fd" && address.kind !== "systemd");
}

function absolute(address: Address, cwd: string): Address {
  return address.kind === "unix" ? { kind: "unix", path: resolve(cwd, address.path) } : address;
}

/** Whether two addresses lead to the same socket. */
export function isSame(one: Address, other: Address): boolean {
  if (one.kind === "unix" && other.kind === "unix") return realPath(one.path) === realPath(other.path);
  if (one.kind === "tcp" && other.kind === "tcp") {
    return one.port === other.port && (hostOf(one) === hostOf(other) || isAny(one) || isAny(other));
  }
  return printAddress(one) === printAddress(other);
}

function hostOf({ host }: Address & { kind: "tcp" }): string {
  return host === "localhost" ? "127.0.0.1" : host;
}

function isAny({ host }: Address & { kind: "tcp" }): boolean {
  return host === "" || host === "0.0.0.0" || host === "::";
}

/** /var/run is /run. */
function realPath(path: string): string {
  return path.replace(/^\/var\/run\//, "/run/");
}

/** A check that is asked of every socket. */
export function perSocket(
  id: string,
  question: string,
  ask: (socket: SocketOf, facts: Facts, signal: AbortSignal) => Promise<readonly Finding[]>,
): Check {
  return {
    id,
    question,
    examine: async (facts, signal) => {
      const found: Finding[] = [];
      for (const socket of socketsOf(facts)) found.push(...(await ask(socket, facts, signal)));
      return found;
    },
  };
}

/** A socket with which something is wrong; where it is written comes first in the evidence. */
export function badSocket(
  id: string,
  { place, name }: SocketOf,
  says: string,
  evidence: readonly string[],
  ...remedy: readonly Remedy[]
): Finding {
  const said = place === undefined ? [] : [`${place} connects to ${name}`];
  return { id: `socket.${id}`, verdict: "bad", says, evidence: [...said, ...evidence], remedy };
}

/** Writes another address into the configuration, and lets the web server take it. */
export function pointTo({ address, place, server }: SocketOf, right: Address): Remedy[] {
  const advice = { advice: `let the web server connect to ${printAddress(right)}` };
  if (place === undefined || server === undefined) return [advice];
  const where = placeOf(place);
  const line = lineAt(where.file, where.line);
  const pair = spellings(address, right).find(([from]) => line.includes(from));
  if (pair === undefined) return [{ advice: `${advice.advice}: ${place}` }, ...taking(server)];
  return [{ ...where, from: pair[0], to: pair[1] }, ...taking(server)];
}

/** How an address may stand in a line, and what comes in its place. */
function spellings(address: Address, right: Address): (readonly [string, string])[] {
  const plain = (one: Address): string => printAddress(one);
  if (address.kind === "unix" && right.kind === "unix") return [[address.path, right.path]];
  if (address.kind === "tcp" && right.kind === "tcp") {
    const to = { ...right, host: isAny(right) ? "127.0.0.1" : right.host };
    return [
      [plain(address), plain(to)],
      [`localhost:${address.port}`, plain(to)],
      [`:${address.port}`, `:${to.port}`],
    ];
  }
  return [[plain(address), plain(right)]];
}

function lineAt(file: string, line: number): string {
  try {
    return readFileSync(file, "utf8").split("\n")[line - 1] ?? "";
  } catch {
    return "";
  }
}

/** `pid 123: node app.js`: who listens there; undefined when it cannot be known. */
export function holderOf(address: Address): { readonly pid: number; readonly text: string } | undefined {
  const text =
    address.kind === "unix"
      ? holderOfUnixSocket(address.path)
      : address.kind === "abstract"
        ? holderOfUnixSocket(`@${address.name}`)
        : address.kind === "tcp"
          ? holderOfPort(address.host, address.port)
          : "";
  const found = /^ \((pid (\d+): .*)\)$/s.exec(text);
  return found === null ? undefined : { pid: Number(found[2]), text: found[1]! };
}
