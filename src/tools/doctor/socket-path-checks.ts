/** Questions about addresses: does the web server connect to where the application listens, and is anything there? */
import { lstatSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import { type Address, MAX_UNIX_PATH_BYTES, printAddress } from "../../base/address.ts";
import { nearestName } from "../../base/settings.ts";
import { listeningSockets } from "./listening.ts";
import type { Check, Facts, Finding } from "./model.ts";
import { badSocket, holderOf, isSame, perSocket, pointTo, type SocketOf, socketsOf } from "./sockets.ts";

const same: Check = {
  id: "socket.path",
  question: "Does the web server connect to where the application listens?",
  examine: async (facts) => {
    const listens = reachable(facts);
    if (listens.length === 0) return [];
    const sockets = socketsOf(facts).filter(({ place }) => place !== undefined);
    if (sockets.length === 0) return [];
    const met = sockets.find(({ address }) => listens.some((one) => isSame(one, address)));
    if (met !== undefined) {
      const says = `the application listens on ${met.name}, and ${met.place} connects to it`;
      return [{ id: "socket.path", verdict: "good", says, evidence: [], remedy: [] }];
    }
    return [differs(sockets, listens)];
  },
};

/** Where the application listens, as far as a web server could connect to it. */
function reachable({ application, connect }: Facts): Address[] {
  const all = [...(connect === undefined ? [] : [connect]), ...(application?.listens ?? [])];
  return all.filter(({ kind }) => kind === "unix" || kind === "tcp");
}

function differs(sockets: readonly SocketOf[], listens: readonly Address[]): Finding {
  // Of several sites on a server it is the one that is nearest.
  const names = sockets.map(({ name }) => name);
  const right = listens[0]!;
  const near = nearestName(printAddress(right), names);
  const socket = sockets.find(({ name }) => name === near) ?? sockets[0]!;
  const there = [...new Set(listens.map((one) => printAddress(one)))].join(", ");
  const holder = holderOf(socket.address);
  const says =
    holder === undefined
      ? `the web server connects to ${socket.name}, and the application listens on ${there}`
      : `the web server connects to the socket of another application: ${socket.name}, and this one listens on ${there}`;
  const evidence = holder === undefined ? [] : [`${socket.name} is held by ${holder.text}`];
  const id = holder === undefined ? "path-differs" : "other-application";
  return badSocket(id, socket, says, evidence, ...pointTo(socket, right));
}

const there = perSocket(
  "socket.exists",
  "Is there a socket, and does anybody listen on it?",
  async (socket, facts) => {
    const { address } = socket;
    if (address.kind === "unix") return [unixSocket(socket, address.path, facts)];
    if (address.kind === "tcp") return port(socket, address, facts);
    return [];
  },
);

function unixSocket(socket: SocketOf, path: string, facts: Facts): Finding {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_UNIX_PATH_BYTES) {
    const says = `the path of the socket has ${bytes} bytes, and no system takes more than ${MAX_UNIX_PATH_BYTES}`;
    return badSocket("path-too-long", socket, says, [path], {
      advice: `choose a shorter one, such as /run/${basename(path)}, and write it in both places: --bind of the application and the web server's configuration`,
    });
  }
  if (!isAbsolute(path)) {
    const right = reachable(facts).find(
      (one) => one.kind === "unix" && basename(one.path) === basename(path),
    );
    const says = `the web server connects to ${path}, a relative path: from which folder, only the web server knows`;
    const steps = right === undefined ? [{ advice: "write the full path" }] : pointTo(socket, right);
    return badSocket("relative-path", socket, says, [], ...steps);
  }
  const hidden = hiddenBy(socket, path);
  if (hidden !== undefined) return hidden;
  const file = inChroot(socket, path);
  let stats: ReturnType<typeof statSync>;
  try {
    stats = statSync(file, { throwIfNoEntry: false });
  } catch (error) {
    const says = `whether there is a socket ${file}, this user may not see`;
    return { id: "socket.exists", verdict: "unknown", says, evidence: [String(error)], remedy: [] };
  }
  if (stats === undefined) return missing(socket, file, facts);
  if (!stats.isSocket()) {
    const kind = stats.isDirectory() ? "a folder" : "a file";
    return badSocket("not-a-socket", socket, `${file} is ${kind}, not a socket`, [], {
      advice: "name the socket that the application listens on; postern serve prints it when it starts",
    });
  }
  if (isListening(file)) {
    const holder = holderOf(socket.address);
    const says = `somebody listens on ${file}${holder === undefined ? "" : `: ${holder.text}`}`;
    return { id: "socket.exists", verdict: "good", says, evidence: [], remedy: [] };
  }
  const says = `nobody listens on ${file}: its application was killed or has crashed, and the file stayed`;
  return badSocket("stale", socket, says, [shownTime(file)], { advice: startAdvice(socket, facts) });
}

function hiddenBy(socket: SocketOf, path: string): Finding | undefined {
  const folder = socket.server?.hidden.find(
    (one) => path === one || path.startsWith(`${one.replace(/\/$/, "")}/`),
  );
  if (folder === undefined) return undefined;
  const { server } = socket;
  const says = `${server?.server ?? "the web server"} does not see ${path}: it has a ${folder} of its own (PrivateTmp, ProtectHome or the like)`;
  return badSocket("hidden", socket, says, [], {
    advice: `put the socket where both see it: --bind unix:/run/${basename(path)} for the application, and the same path in ${socket.place ?? "the web server's configuration"}`,
  });
}

/** A server with a root folder of its own looks for the path in there. */
function inChroot({ server }: SocketOf, path: string): string {
  return server?.chroot === undefined || path.startsWith(`${server.chroot}/`)
    ? path
    : join(server.chroot, path);
}

function missing(socket: SocketOf, file: string, facts: Facts): Finding {
  const outside = socket.address.kind === "unix" ? socket.address.path : file;
  if (outside !== file && lstatSync(outside, { throwIfNoEntry: false }) !== undefined) {
    const says = `${socket.server?.server} lives in ${socket.server?.chroot} and looks for ${file}, while the socket is ${outside}`;
    return badSocket("chroot", socket, says, [], {
      advice: `let the application listen on ${file}, or leave the chroot out of the web server's configuration`,
    });
  }
  const near = nearSocket(file);
  const absent = firstAbsent(file);
  const evidence = absent === file ? [] : [`there is no folder ${absent}`];
  const says = `there is no socket ${file}`;
  if (near === undefined || reachable(facts).length > 0) {
    return badSocket("missing", socket, says, evidence, { advice: startAdvice(socket, facts) });
  }
  const right: Address = { kind: "unix", path: near };
  const holder = holderOf(right);
  const more = `there is ${near}${holder === undefined ? "" : `, held by ${holder.text}`}`;
  return badSocket(
    "missing",
    socket,
    `${says}; the nearest is ${near}`,
    [...evidence, more],
    ...pointTo(socket, right),
  );
}

/** A socket that somebody listens on whose path is nearly this one. */
function nearSocket(file: string): string | undefined {
  const all = [...listeningSockets().values()].flatMap((one) => (one.kind === "unix" ? [one.path] : []));
  const here = filesIn(dirname(file)).map((name) => join(dirname(file), name));
  const paths = [...new Set([...here, ...all.map((path) => path.replace(/\.[0-9a-f]{4}$/, ""))])];
  const sockets = paths.filter((path) => statSync(path, { throwIfNoEntry: false })?.isSocket() === true);
  const sameName = sockets.find((path) => basename(path) === basename(file) && isNearFolder(path, file));
  const nearName = nearestName(
    basename(file),
    sockets.filter((path) => dirname(path) === dirname(file)).map((path) => basename(path)),
  );
  return sameName ?? (nearName === undefined ? undefined : join(dirname(file), nearName));
}

function isNearFolder(one: string, other: string): boolean {
  return nearestName(dirname(one), [dirname(other)]) !== undefined;
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function firstAbsent(file: string): string {
  for (let path = file; path !== dirname(path); path = dirname(path)) {
    if (statSync(dirname(path), { throwIfNoEntry: false }) !== undefined) return path;
  }
  return file;
}

/** Also of a socket that was bound under another name and moved into place. */
function isListening(path: string): boolean {
  for (const one of listeningSockets().values()) {
    if (one.kind === "unix" && (one.path === path || one.path.replace(/\.[0-9a-f]{4}$/, "") === path))
      return true;
  }
  return holderOf({ kind: "unix", path }) !== undefined;
}

function shownTime(file: string): string {
  return `${file} is of ${statSync(file).mtime.toISOString()}`;
}

function startAdvice({ name }: SocketOf, { application }: Facts): string {
  const what = application === undefined ? "APPLICATION" : application.file;
  const running = application?.processes?.length ? "; it runs, and listens elsewhere" : "";
  return `start the application, with this very path: postern serve ${what} --bind ${name}${running}`;
}

function port(socket: SocketOf, address: Address & { kind: "tcp" }, facts: Facts): Finding[] {
  const all = [...listeningSockets().values()].flatMap((one) => (one.kind === "tcp" ? [one] : []));
  const isLocal = /^(?:|localhost|127\..*|::1|0\.0\.0\.0|::)$/.test(address.host);
  if (!isLocal || all.length === 0) return [];
  const onPort = all.filter(({ port: number }) => number === address.port);
  if (onPort.some((one) => takes(one.host, address.host))) {
    const holder = holderOf(address);
    const says = `somebody listens on port ${address.port}${holder === undefined ? "" : `: ${holder.text}`}`;
    return [{ id: "socket.exists", verdict: "good", says, evidence: [], remedy: [] }];
  }
  const [other] = onPort;
  if (other !== undefined) {
    const says = `the web server connects to ${socket.name}, and the application listens on ${printAddress(other)}: another address of the same port`;
    return [badSocket("other-family", socket, says, [], ...pointTo(socket, other))];
  }
  const says = `nobody listens on ${socket.name}: connections are refused`;
  return [badSocket("refused", socket, says, [], { advice: startAdvice(socket, facts) })];
}

/** Whether a listener takes connections to a host. Localhost may be either loopback address; `::` mostly takes both. */
function takes(listener: string, host: string): boolean {
  if (listener === "::" || host === "" || listener === host) return true;
  if (listener === "0.0.0.0") return !host.includes(":");
  return host === "localhost" ? /^(?:127\.|::1$)/.test(listener) : false;
}

export const socketPathChecks: readonly Check[] = [same, there];
