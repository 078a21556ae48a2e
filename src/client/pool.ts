/**
 * Connections to one application, kept and shared, with the same `request()` as a single client.
 *
 * A request takes the connection that was used last (the others may then go idle and close), else a new one, else it
 * waits its turn. A connection the application has closed meanwhile is replaced without anyone noticing; when the
 * close crosses a request, that request is sent once more on a new connection if it is safe to: not one byte of an
 * answer has come, its method is idempotent, and its body is at hand.
 *
 * Invariant: #open.size <= maxConnections, aborted connections that are still closing included: on the other side
 * each of them still occupies a process.
 */
import { PosternError, UsageError } from "../base/errors.ts";
import { SlabPool } from "../protocol/record-writer.ts";
import { UnansweredError } from "./call.ts";
import { type ClientObserver, FastCGIClient } from "./client.ts";
import { isReplayable } from "./input.ts";
import { type ClientOptions, type RequestOptions, resolveClientOptions, wholeNumbers } from "./options.ts";
import { isRepeatable, methodOf, pairsOf } from "./request-params.ts";
import type { ClientResponse } from "./response.ts";
import type { ApplicationValues } from "./values.ts";

/** Options of a pool. */
export interface PoolOptions extends ClientOptions {
  /** Connections open at once. With php-fpm: at most `pm.max_children`. @default 64 */
  maxConnections?: number;
  /** Connections kept without a request. @default 16 */
  maxIdleConnections?: number;
  /** Milliseconds a connection is kept without a request; 0 keeps it for ever. @default 30000 */
  idleTimeoutMs?: number;
  /** Requests that wait for a connection; one more fails at once. @default 1024 */
  maxQueuedRequests?: number;
  /** Milliseconds a request waits for a connection; 0 waits for ever. @default 10000 */
  queueTimeoutMs?: number;
}

/** What a pool is doing. */
export interface PoolStats {
  readonly openConnections: number;
  readonly idleConnections: number;
  readonly queuedRequests: number;
}

const COUNTS = { maxConnections: 64, maxIdleConnections: 16, maxQueuedRequests: 1024 } as const;
const TIMES = { idleTimeoutMs: 30_000, queueTimeoutMs: 10_000 } as const;
/** What a pool takes besides the options of a client; the compiler compares it with the interface. */
const KNOWN = { ...COUNTS, ...TIMES } satisfies Readonly<
  Record<Exclude<keyof PoolOptions, keyof ClientOptions>, unknown>
>;

/** Methods a server may see twice without harm. RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

type Response = Promise<ClientResponse>;

/** A request that waits for a connection. */
interface Waiter {
  start(client: FastCGIClient): void;
  reject(error: unknown): void;
}

export class ClientPool {
  readonly #clientOptions: ClientOptions;
  readonly #name: string;
  readonly #limits: Readonly<Record<keyof typeof COUNTS, number>>;
  readonly #times: Readonly<Record<keyof typeof TIMES, number>>;
  readonly #slabs = new SlabPool();
  readonly #open = new Set<FastCGIClient>();
  readonly #idle: FastCGIClient[] = []; // the one used last at the end
  readonly #idleTimers = new Map<FastCGIClient, NodeJS.Timeout>();
  readonly #queue = new Set<Waiter>();
  readonly #observer: ClientObserver = {
    onRoom: (client) => this.#onRoom(client),
    onClosed: (client) => this.#onClosed(client),
  };
  #isClosed = false;
  #whenEmpty: (() => void)[] = [];

  /** @throws {SettingError} `ERR_POSTERN_ADDRESS`, `ERR_POSTERN_BAD_SETTING` */
  constructor(options: PoolOptions) {
    const { address, name, ...resolved } = resolveClientOptions(options, KNOWN);
    this.#clientOptions = { ...resolved, connect: address };
    this.#name = name;
    this.#limits = wholeNumbers(COUNTS, options, 1);
    this.#times = wholeNumbers(TIMES, options, 0);
  }

  /** Connections and waiting requests, now. */
  get stats(): PoolStats {
    return {
      openConnections: this.#open.size,
      idleConnections: this.#idle.length,
      queuedRequests: this.#queue.size,
    };
  }

  /**
   * Sends a request on some connection. See {@link FastCGIClient.request} for what it resolves to and throws.
   * @throws {PosternError} `ERR_POSTERN_CLIENT_LIMIT` when too many wait, `ERR_POSTERN_CLIENT_TIMEOUT` after waiting
   *   too long, `ERR_POSTERN_CLIENT_CLOSED`
   */
  async request(options: RequestOptions): Response {
    let wasUsed = false;
    try {
      return await this.#run(options.signal, (client) => {
        wasUsed = client.isUsed;
        return client.request(options);
      });
    } catch (error) {
      if (!wasUsed || !(error instanceof UnansweredError) || !canRepeat(options) || this.#isClosed)
        throw error;
    }
    // The other idle connections are probably as dead (the application was restarted): use none of them.
    this.#dropIdle();
    return await this.#run(options.signal, (client) => client.request(options));
  }

  /** Asks the application for its limits, on a connection of its own: php-fpm closes it afterwards. */
  async getValues(): Promise<ApplicationValues> {
    if (this.#isClosed) throw this.#closedError();
    await using client = new FastCGIClient(this.#clientOptions);
    return await client.getValues();
  }

  /** Refuses new requests, lets open and waiting ones finish, closes every connection. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#dropIdle();
    if (this.#open.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Closes every connection at once; open and waiting requests fail. */
  destroy(error: Error = this.#closedError()): void {
    this.#isClosed = true;
    for (const waiter of [...this.#queue]) waiter.reject(error);
    for (const client of [...this.#open]) client.destroy(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Runs a request on some connection. It is begun in the turn that finds the connection, so nobody else can take it. */
  async #run(signal: AbortSignal | undefined, begin: (client: FastCGIClient) => Response): Response {
    signal?.throwIfAborted();
    if (this.#isClosed) throw this.#closedError();
    const client = this.#takeIdle() ?? this.#takeShared() ?? this.#make();
    return await (client !== undefined ? this.#begin(client, begin) : this.#wait(signal, begin));
  }

  async #begin(client: FastCGIClient, begin: (client: FastCGIClient) => Response): Response {
    try {
      return await begin(client);
    } catch (error) {
      // It failed before it had used the connection, which is as good as before.
      if (client.openRequests === 0 && client.hasRoom) this.#onRoom(client);
      throw error;
    }
  }

  #takeIdle(): FastCGIClient | undefined {
    const client = this.#idle.pop();
    if (client !== undefined) this.#wake(client);
    return client;
  }

  /** Room beside other requests, where the application interleaves them. */
  #takeShared(): FastCGIClient | undefined {
    if ((this.#clientOptions.maxRequestsPerConnection ?? 1) === 1) return undefined;
    for (const client of this.#open) if (client.hasRoom) return client;
    return undefined;
  }

  #make(): FastCGIClient | undefined {
    if (this.#open.size >= this.#limits.maxConnections) return undefined;
    const client = new FastCGIClient(this.#clientOptions, this.#observer, this.#slabs);
    this.#open.add(client);
    return client;
  }

  #wait(signal: AbortSignal | undefined, begin: (client: FastCGIClient) => Response): Response {
    const { maxQueuedRequests, maxConnections } = this.#limits;
    const queueTimeoutMs = this.#times.queueTimeoutMs;
    if (this.#queue.size >= maxQueuedRequests) {
      const message = `${maxQueuedRequests} requests already wait for one of ${maxConnections} connections to ${this.#name}`;
      throw new PosternError("ERR_POSTERN_CLIENT_LIMIT", message);
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#queue.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener("abort", cancel);
      };
      const waiter: Waiter = {
        start: (client) => {
          leave();
          resolve(this.#begin(client, begin));
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const cancel = (): void => waiter.reject(signal!.reason);
      const late = (): void => {
        const message = `all ${maxConnections} connections to ${this.#name} were busy for ${queueTimeoutMs} ms`;
        waiter.reject(new PosternError("ERR_POSTERN_CLIENT_TIMEOUT", message));
      };
      const timer = queueTimeoutMs > 0 ? setTimeout(late, queueTimeoutMs) : undefined;
      signal?.addEventListener("abort", cancel);
      this.#queue.add(waiter);
    });
  }

  #onRoom(client: FastCGIClient): void {
    const [waiter] = this.#queue;
    if (waiter !== undefined) waiter.start(client);
    else if (client.openRequests === 0) this.#rest(client);
  }

  #onClosed(client: FastCGIClient): void {
    this.#open.delete(client);
    const at = this.#idle.indexOf(client);
    if (at >= 0) this.#idle.splice(at, 1);
    clearTimeout(this.#idleTimers.get(client));
    this.#idleTimers.delete(client);
    const [waiter] = this.#queue;
    if (waiter !== undefined) {
      const next = this.#make();
      if (next !== undefined) waiter.start(next);
    } else if (this.#open.size === 0) {
      for (const resolve of this.#whenEmpty.splice(0)) resolve();
    }
  }

  /** Nobody needs the connection: keep it for a while. It does not keep the process alive. */
  #rest(client: FastCGIClient): void {
    if (this.#idle.includes(client)) return;
    if (this.#isClosed || this.#idle.length >= this.#limits.maxIdleConnections) {
      void client.close();
      return;
    }
    this.#idle.push(client);
    client.setRef(false);
    const idleTimeoutMs = this.#times.idleTimeoutMs;
    if (idleTimeoutMs > 0) {
      this.#idleTimers.set(client, setTimeout(() => void client.close(), idleTimeoutMs).unref());
    }
  }

  #wake(client: FastCGIClient): void {
    client.setRef(true);
    clearTimeout(this.#idleTimers.get(client));
    this.#idleTimers.delete(client);
  }

  #dropIdle(): void {
    for (const client of [...this.#idle]) void client.close();
  }

  #closedError(): UsageError {
    return new UsageError("ERR_POSTERN_CLIENT_CLOSED", `the pool of connections to ${this.#name} is closed`);
  }
}

/** Whether sending the request twice does no harm. */
function canRepeat(options: RequestOptions): boolean {
  if (!isReplayable(options.stdin) || !isReplayable(options.data)) return false;
  return isRepeatable(options.params) && IDEMPOTENT.has(methodOf(pairsOf(options.params)));
}
