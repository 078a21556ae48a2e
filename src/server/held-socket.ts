/**
 * A listening socket that this process owns and never accepts from: the manager's, whose workers accept. Connections
 * made while no worker is alive wait in the kernel and are served by the next one (docs/adr/0013).
 *
 * Node has no public way to listen without accepting. What is used here, and checked when it is: `_createServerHandle`
 * binds; on the handle, `open` of its own descriptor allows reading, `listen` listens and starts to watch for
 * connections, and `readStart` with `readStop` ends that watch before the event loop has looked even once. The same
 * in Node 20, 22, 24 and 26, for unix sockets and TCP.
 */
import net from "node:net";
import { getSystemErrorName } from "node:util";
import { type Address, parseAddress, printAddress } from "../base/address.ts";
import { SettingError } from "../base/errors.ts";
import { isListeningSocket, systemdSocketsNamed } from "./inherited.ts";
import { addressesOf, complete, listenError, refusePublic } from "./listener.ts";
import type { AllowedClients } from "./options.ts";
import { holderOfPort, holderOfUnixSocket } from "./socket-holder.ts";
import { placeUnixSocket, type UnixSocketOptions } from "./unix-socket.ts";

/** A socket that listens, in descriptor `fd`, for children to inherit. */
export interface HeldSocket {
  /** As `parseAddress` reads it, with the port that was really taken. */
  readonly address: string;
  readonly fd: number;
  readonly isTcp: boolean;
  /** Whether somebody else opened it. */
  readonly isInherited: boolean;
  /**
   * Calls back once, when a connection waits to be accepted; nothing is accepted. Calling again before that changes
   * nothing. Without a callback: stops watching.
   */
  watch(onWaiting: (() => void) | undefined): void;
  /**
   * Clears O_NONBLOCK, which programs in other languages expect of descriptor 0. Everybody who has the socket shares
   * that. (libuv does the same in a child that gets it as one of the descriptors 0 to 2.)
   */
  setBlocking(): void;
  /** Closes it here and removes its file, if it is still ours. Workers that have it go on accepting. */
  close(): void;
}

export interface HeldSocketOptions extends UnixSocketOptions {
  readonly allowedClients: Pick<AllowedClients, "isStated">;
}

/** libuv's handle of a socket, as far as it is used. */
interface Handle {
  readonly fd: number;
  onread: (() => void) | undefined;
  onconnection: ((status: number, client: { close(): void } | undefined) => void) | undefined;
  open(fd: number): number;
  listen(backlog: number): number;
  readStart(): number;
  readStop(): number;
  setBlocking(isBlocking: boolean): number;
  getsockname?(out: object): number;
  unref(): void;
  close(): void;
}

type CreateHandle = (
  address: string | null,
  port: number | null,
  type: number | null,
  fd?: number,
) => Handle | number;

/**
 * Opens what an address names; several for `systemd`.
 * @throws {SettingError} naming the address and the remedy
 */
export async function holdSockets(
  address: Address,
  options: HeldSocketOptions,
  env: NodeJS.ProcessEnv,
): Promise<HeldSocket[]> {
  if (address.kind !== "systemd") return [await holdSocket(address, options, env)];
  return systemdSocketsNamed(address.name, env).map(({ fd }) => adopt(fd));
}

/** As {@link holdSockets}, for an address that names one. */
export async function holdSocket(
  asked: Exclude<Address, { kind: "systemd" }>,
  options: HeldSocketOptions,
  env: NodeJS.ProcessEnv,
): Promise<HeldSocket> {
  const address = complete(printAddress(asked));
  const name = printAddress(address);
  switch (address.kind) {
    case "unix": {
      let handle: Handle | undefined;
      const remove = await placeUnixSocket(address.path, options, {
        async bind(path) {
          handle = bindAndListen(path, -1, -1, options.backlog);
        },
        unbind: () => handle?.close(),
      });
      return held(handle!, name, false, remove);
    }
    case "abstract": {
      const handle = tryToBind(name, () => holderOfUnixSocket(`@${address.name}`))(
        `\0${address.name}`,
        -1,
        -1,
        options.backlog,
      );
      return held(handle, name, false);
    }
    case "tcp": {
      const hosts = await addressesOf(address.host, name);
      refusePublic(hosts, name, options);
      const host = hosts[0]!;
      const bind = tryToBind(name, () => holderOfPort(host, address.port));
      const handle = bind(host, address.port, net.isIPv6(host) ? 6 : 4, options.backlog);
      const bound: { address?: string; port?: number } = {};
      handle.getsockname?.(bound);
      const at = printAddress({ kind: "tcp", host: bound.address ?? host, port: bound.port ?? address.port });
      return held(handle, at, true);
    }
    case "fd":
      if (!isListeningSocket(address.fd, env)) {
        throw new SettingError(
          "ERR_POSTERN_NO_LISTENER",
          `bind ${name}: descriptor ${address.fd} is not a listening socket; it must be opened by the process that starts this one`,
        );
      }
      return adopt(address.fd);
    default:
      throw new Error(`unreachable: ${parseAddress(name).kind}`);
  }
}

/** A listening socket that was inherited. */
function adopt(fd: number): HeldSocket {
  const handle = createHandle(null, null, null, fd);
  const bound: { address?: string; port?: number } = {};
  const isTcp =
    handle.getsockname !== undefined && handle.getsockname(bound) === 0 && bound.port !== undefined;
  const address = isTcp
    ? printAddress({ kind: "tcp", host: bound.address ?? "", port: bound.port ?? 0 })
    : `fd:${fd}`;
  return { ...held(handle, address, isTcp), isInherited: true };
}

type Bind = (address: string, port: number, type: number, backlog: number) => Handle;

/** Turns the error numbers of libuv into sentences. */
function tryToBind(name: string, holder: () => string): Bind {
  return (...args) => {
    try {
      return bindAndListen(...args);
    } catch (error) {
      throw listenError(name, error as NodeJS.ErrnoException, holder);
    }
  };
}

/** @throws {Error} with the `code` of the operating system */
function bindAndListen(address: string, port: number, type: number, backlog: number): Handle {
  const handle = createHandle(address, port, type);
  handle.onconnection = (_status, client) => client?.close(); // never, or `readStop` has not done what it does
  // In this order: `open` is refused once libuv watches the descriptor, and without it `readStart` is.
  for (const step of [
    () => handle.open(handle.fd),
    () => handle.listen(backlog),
    () => handle.readStart(),
    () => handle.readStop(),
  ]) {
    const result = step();
    if (result >= 0) continue;
    handle.close();
    throw systemError(result);
  }
  return handle;
}

function createHandle(address: string | null, port: number | null, type: number | null, fd?: number): Handle {
  const create = (net as unknown as { _createServerHandle?: CreateHandle })._createServerHandle;
  if (typeof create !== "function") {
    throw new SettingError(
      "ERR_POSTERN_NO_LISTENER",
      `this JavaScript runtime (${process.version}) cannot open a socket without accepting from it, which the manager needs; run postern with Node 20.19 or newer, or without workers: --workers 0`,
    );
  }
  const handle = create(address, port, type, fd);
  if (typeof handle === "number") throw systemError(handle);
  return handle;
}

/** What libuv answers, as the error that Node's own functions give. */
function systemError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${code}: the system refused it`), { code, errno });
}

function held(handle: Handle, address: string, isTcp: boolean, remove = (): void => {}): HeldSocket {
  const { fd } = handle;
  // A second handle on the same descriptor: reading from a listening socket fails as soon as a connection waits, and
  // takes none. It is never closed, for that would close the descriptor.
  let watcher: Handle | undefined;
  let isWatching = false;
  let isClosed = false;
  return {
    address,
    fd,
    isTcp,
    isInherited: false,
    watch(onWaiting): void {
      if (onWaiting === undefined || isClosed) {
        if (isWatching) watcher?.readStop();
        isWatching = false;
        return;
      }
      watcher ??= new (handle.constructor as new (type: number) => Handle)(0);
      watcher.onread = (): void => {
        if (!isWatching) return;
        isWatching = false;
        onWaiting();
      };
      if (isWatching) return;
      isWatching = watcher.open(fd) >= 0 && watcher.readStart() >= 0;
      watcher.unref();
      // Better one worker too early than a visitor who waits for ever.
      if (!isWatching) setImmediate(onWaiting);
    },
    setBlocking(): void {
      handle.setBlocking(true);
    },
    close(): void {
      if (isClosed) return;
      isClosed = true;
      if (isWatching) watcher?.readStop();
      isWatching = false;
      remove();
      handle.close();
    },
  };
}
