/**
 * The listening sockets of all pools, by the address that was asked for: a reload that names the same address gets the
 * same socket, so nothing is closed and nobody is refused. A socket is closed when its last user lets go of it.
 */
import { type Address, parseAddress, printAddress } from "../base/address.ts";
import type { PoolSettings } from "../config/types.ts";
import { type HeldSocket, holdSocket, holdSockets } from "../server/held-socket.ts";
import { isListeningSocket, LISTEN_FD, systemdSockets } from "../server/inherited.ts";
import type { PoolSockets } from "./pool-host.ts";

interface Entry {
  readonly sockets: readonly HeldSocket[];
  users: number;
}

export class SocketStore {
  readonly #env: NodeJS.ProcessEnv;
  readonly #entries = new Map<string, Entry>();
  readonly #keys = new Map<PoolSockets, readonly string[]>();

  /** @param env says which sockets systemd passed */
  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /**
   * The sockets of a pool: those of `bind`, else the inherited ones; none is a valid answer. All or none.
   * @throws {SettingError} naming the address and the remedy
   */
  async open(pool: PoolSettings): Promise<PoolSockets> {
    const asked = pool.bind.length > 0 ? pool.bind : pool.http === undefined ? this.#inherited() : [];
    const keys: string[] = [];
    try {
      const fastcgi: HeldSocket[] = [];
      for (const address of asked) fastcgi.push(...(await this.#use(address, pool, keys)));
      const http = pool.http === undefined ? undefined : await this.#useHttp(pool.http, pool, keys);
      const wsHttp = pool.wsHttp === undefined ? undefined : await this.#useWsHttp(pool.wsHttp, pool, keys);
      if (pool.program.kind === "command") for (const socket of fastcgi) socket.setBlocking();
      const sockets: PoolSockets = { fastcgi, http, wsHttp };
      this.#keys.set(sockets, keys);
      return sockets;
    } catch (error) {
      for (const key of keys) this.#letGo(key);
      throw error;
    }
  }

  /** The pool does not need them any more. Safe to call again. */
  release(sockets: PoolSockets): void {
    const keys = this.#keys.get(sockets) ?? [];
    this.#keys.delete(sockets);
    for (const key of keys) this.#letGo(key);
  }

  closeAll(): void {
    for (const { sockets } of this.#entries.values()) for (const socket of sockets) socket.close();
    this.#entries.clear();
    this.#keys.clear();
  }

  #inherited(): Address[] {
    if (isListeningSocket(LISTEN_FD, this.#env)) return [{ kind: "fd", fd: LISTEN_FD }];
    return systemdSockets(this.#env).length > 0 ? [{ kind: "systemd", name: undefined }] : [];
  }

  async #use(
    address: Address,
    pool: PoolSettings,
    keys: string[],
    key: string = printAddress(address),
  ): Promise<readonly HeldSocket[]> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const sockets = await holdSockets(address, optionsOf(pool), this.#env);
      entry = { sockets, users: 0 };
      this.#entries.set(key, entry);
    }
    entry.users++;
    keys.push(key);
    return entry.sockets;
  }

  /** The web server comes here, as to FastCGI, so the same rules hold. */
  async #useWsHttp(text: string, pool: PoolSettings, keys: string[]): Promise<HeldSocket | undefined> {
    return (await this.#use(parseAddress(text, "wsHttp"), pool, keys, `wsHttp ${text}`))[0];
  }

  /** Visitors come here themselves, so unlike FastCGI's it may be open to all. */
  async #useHttp(text: string, pool: PoolSettings, keys: string[]): Promise<HeldSocket> {
    const key = `http ${text}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const address = parseAddress(text, "http");
      if (address.kind === "systemd") throw new Error("unreachable: the configuration refuses it");
      const options = { ...optionsOf(pool), allowedClients: { isStated: true } };
      entry = { sockets: [await this.#holdHttp(address, options, pool.development === true)], users: 0 };
      this.#entries.set(key, entry);
    }
    entry.users++;
    keys.push(key);
    return entry.sockets[0]!;
  }

  #holdHttp(
    address: Exclude<Address, { kind: "systemd" }>,
    options: Parameters<typeof holdSocket>[1],
    isDevelopment: boolean,
  ): Promise<HeldSocket> {
    const at = (host: string): Promise<HeldSocket> =>
      holdSocket({ ...address, host } as Address & { kind: "tcp" }, options, this.#env);
    if (address.kind !== "tcp" || address.host !== "") return holdSocket(address, options, this.#env);
    if (isDevelopment) return at("localhost");
    // Every interface, IPv4 too, as Node does it; a machine without IPv6 has another address for that.
    return at("::").catch((error: { cause?: NodeJS.ErrnoException }) => {
      const code = error.cause?.code;
      if (code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL" || code === "EINVAL") return at("0.0.0.0");
      throw error;
    });
  }

  #letGo(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || --entry.users > 0) return;
    this.#entries.delete(key);
    for (const socket of entry.sockets) socket.close();
  }
}

function optionsOf(pool: PoolSettings): Parameters<typeof holdSocket>[1] {
  return {
    mode: pool.listenMode,
    owner: pool.listenOwner,
    group: pool.listenGroup,
    backlog: pool.listenBacklog,
    allowedClients: { isStated: pool.allowedClients !== undefined },
  };
}
