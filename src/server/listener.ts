/**
 * Turns `bind` into listening sockets: opens unix and TCP ones, adopts inherited ones. Accepted sockets go to one
 * callback; what they carry is not known here.
 */
import { createServer, isIP, type Server, type Socket } from "node:net";
import { resolve } from "node:path";
import { type Address, isLoopback, parseAddress, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { acceptHandles } from "./accept-handles.ts";
import { pauseAccepting, resumeAccepting } from "./accepting.ts";
import { isListeningSocket, LISTEN_FD, systemdSockets, systemdSocketsNamed } from "./inherited.ts";
import { lettingGo, warmUp } from "./let-go.ts";
import type { AllowedClients, ResolvedOptions } from "./options.ts";
import { holderOfPort, holderOfUnixSocket } from "./socket-holder.ts";
import type { StreamHandle } from "./stream-internals.ts";
import { listenOnUnixSocket } from "./unix-socket.ts";

const LOCALHOST = "127.0.0.1";

/** A listening socket. */
export interface Listener {
  /** As {@link parseAddress} reads it, with the port that was really taken. */
  readonly address: string;
  /** Whether somebody else opened it. */
  readonly isInherited: boolean;
  /** Stops accepting, or begins again. Returns whether it is so: not every socket can. */
  setAccepting(accepts: boolean): boolean;
  /** Removes the socket file, if it is still ours: nobody new can find the way. What is on it is accepted. */
  hide(): void;
  /** Stops accepting, for good, and removes the socket file, if it is still ours. */
  close(): void;
}

export interface ListenerSink {
  /** @param isTcp whether it came over TCP: its address may be gone already, and says nothing about that */
  onSocket(socket: Socket, isTcp: boolean): void;
  /** The same for who can do with less than a socket; called instead where that is possible. */
  onHandle?(handle: StreamHandle, isTcp: boolean): void;
  /** Accepting failed, for example for want of descriptors; the listener goes on. */
  onAcceptError(address: string, error: Error): void;
}

/**
 * Opens what `options.bind` names, or finds what was inherited. All or none: when one fails, the others are closed.
 * @returns an empty list when nothing is named and nothing was inherited
 * @throws {SettingError} naming the address and the remedy
 */
export async function openListeners(
  options: ResolvedOptions,
  sink: ListenerSink,
  env: NodeJS.ProcessEnv,
): Promise<Listener[]> {
  const addresses = options.bind.length > 0 ? options.bind.map((text) => complete(text)) : inherited(env);
  refuseTwice(addresses);
  options.accessLog?.open();
  const listeners: Listener[] = [];
  try {
    for (const address of addresses) {
      if (address.kind !== "systemd") listeners.push(await open(address, options, sink, env));
      else {
        for (const { fd } of systemdSocketsNamed(address.name, env)) {
          listeners.push(await open({ kind: "fd", fd }, options, sink, env));
        }
      }
    }
  } catch (error) {
    for (const listener of listeners) listener.close();
    throw error;
  }
  return listeners;
}

/** An address of `bind`. The process may change its folder later, so a path is made absolute now. */
export function complete(text: string): Address {
  const address = parseAddress(text, "bind");
  if (address.kind === "unix") return { kind: "unix", path: resolve(address.path) };
  if (address.kind === "tcp" && address.host === "") return { ...address, host: LOCALHOST };
  return address;
}

function refuseTwice(addresses: readonly Address[]): void {
  const seen = new Set<string>();
  for (const address of addresses) {
    if (address.kind === "tcp" && address.port === 0) continue; // another port each time
    const name = printAddress(address);
    if (seen.has(name)) {
      throw new SettingError(
        "ERR_POSTERN_BAD_SETTING",
        `bind ${name}: the address is named twice; name it once`,
      );
    }
    seen.add(name);
  }
}

function inherited(env: NodeJS.ProcessEnv): Address[] {
  if (isListeningSocket(LISTEN_FD, env)) return [{ kind: "fd", fd: LISTEN_FD }];
  if (systemdSockets(env).length > 0) return [{ kind: "systemd", name: undefined }];
  return [];
}

async function open(
  address: Exclude<Address, { kind: "systemd" }>,
  options: ResolvedOptions,
  sink: ListenerSink,
  env: NodeJS.ProcessEnv,
): Promise<Listener> {
  let isTcp: boolean | undefined;
  // FastCGI 1.0 §3.2: who starts a program with a socket and a list of addresses has everybody else refused, those
  // without an address too. A socket that `bind` names is the operator's own.
  const isTcpOnly = options.bind.length === 0 && (env["FCGI_WEB_SERVER_ADDRS"] ?? "").trim() !== "";
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    isTcp ??= hasPort(server.address());
    if (isTcpOnly && !isTcp) {
      options.logger.warn(
        { code: "ERR_POSTERN_CLIENT_NOT_ALLOWED" },
        "connection refused: FCGI_WEB_SERVER_ADDRS is set, and a unix socket knows no addresses; unset it, or listen on TCP",
      );
      socket.destroy();
      return;
    }
    sink.onSocket(socket, isTcp);
  });
  const name = printAddress(address);
  let remove = (): void => {};
  let letGo = (): void => {};
  switch (address.kind) {
    case "unix":
      remove = await listenOnUnixSocket(server, address.path, options);
      break;
    case "abstract":
      await listen(server, { path: `\0${address.name}`, backlog: options.backlog }, name, () =>
        holderOfUnixSocket(`@${address.name}`),
      );
      break;
    case "tcp": {
      const { port } = address;
      const hosts = await addressesOf(address.host, name);
      refusePublic(hosts, name, options);
      const host = hosts[0]!; // as Node does with a name
      await listen(server, { host, port, backlog: options.backlog }, name, () => holderOfPort(host, port));
      break;
    }
    case "fd":
      if (!isListeningSocket(address.fd, env)) {
        throw new SettingError(
          "ERR_POSTERN_NO_LISTENER",
          `bind ${name}: descriptor ${address.fd} is not a listening socket; it must be opened by the process that starts this one`,
        );
      }
      await listen(server, { fd: address.fd, backlog: options.backlog }, name);
      letGo = lettingGo(address.fd);
      break;
  }
  server.on("error", (error) => sink.onAcceptError(name, error));
  if (sink.onHandle !== undefined && !isTcpOnly) {
    const isTcp = hasPort(server.address());
    acceptHandles(server, (handle) => {
      if (isTcp) handle.setNoDelay?.(true);
      sink.onHandle!(handle, isTcp);
    });
  }
  return {
    address: boundName(server, address),
    isInherited: address.kind === "fd",
    setAccepting(accepts: boolean): boolean {
      if (!accepts) return pauseAccepting(server);
      resumeAccepting(server);
      return true;
    },
    hide(): void {
      remove();
      warmUp();
    },
    close(): void {
      letGo();
      server.close();
      remove();
    },
  };
}

/** Of a unix socket the address is a text, null when it was inherited, and in Bun then an empty object. */
function hasPort(address: ReturnType<Server["address"]>): boolean {
  return typeof address === "object" && typeof address?.port === "number";
}

function listen(
  server: Server,
  where: { path?: string; host?: string; port?: number; fd?: number; backlog: number },
  name: string,
  holder: () => string = () => "",
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => reject(listenError(name, cause, holder));
    server.once("error", onError);
    server.listen(where, () => {
      server.off("error", onError);
      resolve();
    });
  });
}

/** The addresses of a host, at least one. @throws {SettingError} ERR_POSTERN_ADDRESS */
export async function addressesOf(host: string, name: string): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    const { lookup } = await import("node:dns/promises"); // names are rare
    const found = await lookup(host, { all: true });
    return found.map(({ address }) => address);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const remedy =
      code === "ENOTFOUND"
        ? `there is no host named ${host} (ENOTFOUND); mend the name, or write an IP address such as ${LOCALHOST}`
        : `the name ${host} cannot be looked up (${code}); write an IP address such as ${LOCALHOST}`;
    throw new SettingError("ERR_POSTERN_ADDRESS", `bind ${name}: ${remedy}`, { cause });
  }
}

export function refusePublic(
  hosts: readonly string[],
  name: string,
  options: { readonly allowedClients: Pick<AllowedClients, "isStated"> },
): void {
  if (hosts.every(isLoopback) || options.allowedClients.isStated) return;
  throw new SettingError(
    "ERR_POSTERN_ADDRESS_PUBLIC",
    `bind ${name}: other machines can reach this address, and whoever does can claim to be any user; say who may connect with allowedClients (such as 10.0.0.5 or 10.0.0.0/8), or bind a unix socket or 127.0.0.1`,
  );
}

function boundName(server: Server, asked: Address): string {
  const bound = server.address();
  if (asked.kind === "tcp" && bound !== null && typeof bound === "object") {
    return printAddress({ kind: "tcp", host: bound.address, port: bound.port });
  }
  return printAddress(asked);
}

export function listenError(name: string, cause: NodeJS.ErrnoException, holder: () => string): SettingError {
  if (cause.code === "EADDRINUSE") {
    return new SettingError(
      "ERR_POSTERN_SOCKET_IN_USE",
      `bind ${name}: another process is listening there${holder()}; stop it or choose another address`,
      { cause },
    );
  }
  const remedy =
    cause.code === "EACCES"
      ? "this user may not use that port; choose one above 1023"
      : cause.code === "EADDRNOTAVAIL"
        ? "this machine has no such address"
        : cause.message;
  return new SettingError("ERR_POSTERN_ADDRESS", `bind ${name}: ${remedy}`, { cause });
}
