/**
 * Whether one connection is read. It is not while a request's body piles up unread, and while the peer does not
 * take the answers it asked for; it is again when no reason is left.
 */
import { RemoteProtocolError } from "../base/errors.ts";
import { ProtocolStatus } from "../protocol/records.ts";
import type { Exchange } from "./exchange.ts";
import type { Wire } from "./wire.ts";

/** A peer that asks for more and does not take the answers is not read beyond this many bytes of them. */
const MAX_BACKLOG_BYTES = 262144;
/** Answers left when it is read again. */
const RESUME_BACKLOG_BYTES = 65536;

export interface GateHost {
  /** The connection is read again: nobody was late meanwhile. */
  onOpen(): void;
}

export class Gate {
  readonly #wire: Wire;
  readonly #host: GateHost;
  #isPaused = false;
  #isClogged = false;
  #stalled: Set<Exchange> | undefined = undefined; // those whose unread body is a reason

  constructor(wire: Wire, host: GateHost) {
    this.#wire = wire;
    this.#host = host;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Whether the peer does not take the answers it asked for. */
  get isClogged(): boolean {
    return this.#isClogged;
  }

  /**
   * The peer has asked for more. Only then: a web server may send a whole body before it looks at the answer.
   * @param backlogBytes of answers that it has not taken
   */
  onAsked(backlogBytes: number): void {
    if (backlogBytes < MAX_BACKLOG_BYTES || this.#isClogged) return;
    this.#isClogged = true;
    this.#update();
  }

  /** The peer has taken answers. @param backlogBytes that are left */
  onTaken(backlogBytes: number): void {
    if (backlogBytes >= RESUME_BACKLOG_BYTES) return;
    this.#isClogged = false;
    this.#update();
  }

  /** The unread body of an exchange has grown or shrunk. @param most bytes of it that are no reason */
  onQueued(exchange: Exchange, change: number, most: number): void {
    const queued = exchange.stdin.queuedBytes + (exchange.data?.queuedBytes ?? 0);
    if (queued >= most) {
      this.#stalled ??= new Set();
      this.#stalled.add(exchange);
      if (change < 0) exchange.stalledSince = 0; // it makes progress
      this.#update();
    } else if (this.#stalled?.delete(exchange)) {
      exchange.stalledSince = 0;
      this.#update();
    }
  }

  /** Ends, with 503, what has kept its siblings waiting for `timeoutMs`; says so beforehand. */
  refuseStalled(now: number, timeoutMs: number): void {
    for (const exchange of [...(this.#stalled ?? [])]) {
      const unreadBytes = exchange.stdin.queuedBytes;
      if (exchange.stalledSince === 0) {
        exchange.stalledSince = now;
        exchange.log("warn", "the body is not read and its siblings on the connection wait", { unreadBytes });
      } else if (now - exchange.stalledSince >= timeoutMs) {
        const message = `the application left ${unreadBytes} bytes of the body unread for ${timeoutMs} ms`;
        exchange.log("warn", `${message}: answered 503`, { code: "ERR_POSTERN_BODY_UNREAD" });
        const error = new RemoteProtocolError("ERR_POSTERN_BODY_UNREAD", message, "request");
        exchange.refuse(503, "Service Unavailable", error, ProtocolStatus.Overloaded);
      }
    }
  }

  /** Reads on whatever the reasons: the connection is over, and the rest is dropped. */
  open(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#host.onOpen();
    this.#wire.resume();
  }

  #update(): void {
    if (!this.#isClogged && (this.#stalled === undefined || this.#stalled.size === 0)) this.open();
    else if (!this.#isPaused) {
      this.#isPaused = true;
      this.#wire.pause();
    }
  }
}
