/** The body of an HTTP request: whether there is one, how much of it, and what to do with a rest nobody wants. */
import type { IncomingMessage, ServerResponse } from "node:http";

/** Bytes of an unwanted body that are read, so that the client sees the answer instead of a reset. */
const MAX_DRAIN_BYTES = 67_108_864;
/** Milliseconds that may take. */
const DRAIN_TIMEOUT_MS = 5000;

/** Whether a request announces a body. RFC 9112 §6.3. */
export function hasBody(req: IncomingMessage): boolean {
  if (req.headers["transfer-encoding"] !== undefined) return true;
  return Number(req.headers["content-length"] ?? 0) > 0;
}

/** Calls `tooLarge` once when more than `maxBytes` have come. The body waits until somebody resumes it. */
export function limitBody(req: IncomingMessage, maxBytes: number, tooLarge: () => void): void {
  let bytes = 0;
  const count = (piece: Buffer): void => {
    bytes += piece.length;
    if (bytes <= maxBytes) return;
    req.off("data", count);
    tooLarge();
  };
  req.on("data", count);
  req.pause(); // a listener alone would start the flow
}

/** The whole body, or undefined when it has more than `maxBytes`. @throws the error of the request */
export async function collectBody(req: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBytes) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/**
 * Reads and drops what is left of a body after the answer: the connection is of no use before, and closing it at once
 * would take the answer from a client that is still sending. Gives up on a client that sends too much for too long.
 */
export function drainRequest(req: IncomingMessage, res: ServerResponse): void {
  if (req.complete || req.destroyed || res.destroyed) return;
  const { socket } = req;
  const { destroySoon } = socket;
  let bytes = 0;
  let isLast = false;
  const giveUp = (): void => {
    socket.destroy();
  };
  const timer = setTimeout(giveUp, DRAIN_TIMEOUT_MS);
  // So node:http closes a connection that is not kept, behind the answer: until the rest has come, only our half of it.
  socket.destroySoon = (): void => {
    isLast = true;
    socket.end();
  };
  req.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > MAX_DRAIN_BYTES) giveUp();
  });
  const done = (): void => {
    clearTimeout(timer);
    socket.destroySoon = destroySoon;
    if (isLast) socket.destroySoon();
  };
  req.once("end", done);
  req.once("close", done);
  req.resume();
}
