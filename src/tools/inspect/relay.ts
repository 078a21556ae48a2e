/**
 * Two sockets joined: what one side sends, the other is sent, byte for byte and no faster than it takes it. Ends, half
 * ends and resets are passed on as well. What goes by is shown to a sink after it was passed on.
 *
 * Invariants: 1. bytes are passed on in the turn in which they came, uncopied; 2. a side that takes no more does not keep
 * what it has already said from being delivered; 3. a side that has gone altogether takes the other with it, once that has
 * been sent everything.
 */
import type { Socket } from "node:net";
import type { Side } from "../capture/conversation.ts";

export interface RelaySink {
  /** Bytes that this side has sent. They are only lent, and on their way already. */
  onBytes(side: Side, chunk: Buffer): void;
  /** This side sends nothing more. */
  onEnd(side: Side, how: "end" | "reset"): void;
  /** This side takes nothing more. */
  onDeaf(side: Side): void;
  /** Both are closed. */
  onClose(): void;
}

/** A socket, and whether it can be reset: only TCP can. */
export interface RelayEnd {
  readonly socket: Socket;
  readonly isTcp: boolean;
}

interface Leg extends RelayEnd {
  readonly side: Side;
  /** It sends nothing more. */
  isMute: boolean;
  /** It takes nothing more: a write failed. */
  isDeaf: boolean;
  /** It was reset: the system tells that once, here to a write. */
  isReset: boolean;
  isClosed: boolean;
}

const NOTHING = Buffer.alloc(0);

export class Relay {
  readonly #sink: RelaySink;
  readonly #near: Leg;
  readonly #far: Leg;

  constructor(near: RelayEnd, far: RelayEnd, sink: RelaySink) {
    this.#sink = sink;
    const leg = (end: RelayEnd, side: Side): Leg => ({
      ...end,
      side,
      isMute: false,
      isDeaf: false,
      isReset: false,
      isClosed: false,
    });
    this.#near = leg(near, "web server");
    this.#far = leg(far, "application");
    this.#join(this.#near, this.#far);
    this.#join(this.#far, this.#near);
  }

  /** Ends both sides, once they have been sent what is on its way. */
  end(): void {
    for (const { socket, isDeaf } of [this.#near, this.#far]) if (!isDeaf) socket.end();
  }

  /** Cuts both. */
  destroy(): void {
    this.#near.socket.destroy();
    this.#far.socket.destroy();
  }

  #join(from: Leg, to: Leg): void {
    const { socket } = from;
    socket.allowHalfOpen = true;
    toleratingBrokenWrites(socket, (error) => {
      if ("code" in error && error.code === "ECONNRESET") from.isReset = true;
      this.#deaf(from, to);
    });
    socket.on("data", (chunk: Buffer) => {
      if (to.isDeaf) return;
      if (!to.socket.write(chunk)) socket.pause();
      this.#sink.onBytes(from.side, chunk);
    });
    socket.on("drain", () => {
      if (!from.isDeaf) to.socket.resume();
    });
    const ended = (): void => {
      from.isMute = true;
      this.#sink.onEnd(from.side, from.isReset ? "reset" : "end");
      if (from.isDeaf) this.#leave(to, from.isReset);
      else if (!to.isDeaf) to.socket.end();
    };
    // Who has connected and hung up at once, as a health check does, has ended before we were here.
    if (socket.readableEnded) process.nextTick(ended);
    else socket.on("end", ended);
    socket.on("error", () => {
      const wasMute = from.isMute;
      from.isMute = true;
      from.isDeaf = true;
      if (!wasMute) this.#sink.onEnd(from.side, "reset");
      this.#leave(to, true);
    });
    socket.on("close", () => {
      from.isClosed = true;
      if (to.isClosed) this.#sink.onClose();
      // Cut by us, or what is left at the other end takes nothing more.
      else if (!from.isMute || to.isDeaf) to.socket.destroy();
    });
  }

  /** What `other` sent cannot be delivered to `leg`. */
  #deaf(leg: Leg, other: Leg): void {
    if (leg.isDeaf) return;
    leg.isDeaf = true;
    other.socket.pause();
    this.#sink.onDeaf(leg.side);
    // Who has closed both ways is gone. A web server whose bytes wait for an application that waits itself is so too.
    if (leg.isMute) this.#leave(other, leg.isReset);
    else if (leg.side === "web server" && leg.socket.isPaused()) this.#leave(other, true);
  }

  /** The other side is gone: this one is sent what was on its way, and then closed as the other was. */
  #leave(leg: Leg, isReset = false): void {
    const { socket } = leg;
    const close = (): void => {
      if (isReset && leg.isTcp && !socket.destroyed) socket.resetAndDestroy();
      else socket.destroy();
    };
    if (leg.isDeaf || socket.destroyed || socket.writableLength === 0) close();
    else if (socket.writableEnded) socket.once("finish", close);
    else socket.write(NOTHING, close);
  }
}

/**
 * A failed write destroys a socket of Node, with everything in it that was not read yet: the answer of an application
 * that did not want to read a whole body. Here a failed write counts as done, and is told; reading goes on to the end.
 */
function toleratingBrokenWrites(socket: Socket, onBroken: (error: Error) => void): void {
  const tolerant =
    (callback: (error?: Error | null) => void) =>
    (error?: Error | null): void => {
      if (error) onBroken(error);
      callback();
    };
  const { _write, _writev, _final } = socket;
  socket._write = (chunk, encoding, callback) => _write.call(socket, chunk, encoding, tolerant(callback));
  if (_writev !== undefined) {
    socket._writev = (chunks, callback) => _writev.call(socket, chunks, tolerant(callback));
  }
  // An end that cannot be sent: whoever it was for has gone.
  socket._final = (callback) => _final.call(socket, tolerant(callback));
}
