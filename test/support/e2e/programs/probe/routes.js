/**
 * What the probe answers, whatever form it is served in. Each route gets one call (see forms.js): the request as that
 * form shows it, and `head`, `write` and `end` for the answer. Any other path says what was seen of the request.
 */
import { createHash } from "node:crypto";

/** 1000 bytes, each different from its neighbours. */
const CONTENT = Array.from({ length: 100 }, (_, n) => `line ${String(n).padStart(4, "0")}\n`).join("");
const PIECE_BYTES = 65_536;
const MEBIBYTE = 1_048_576;

export const ROUTES = {
  /** `status`, `body`, and any number of `h=Name: value`. */
  async answer({ query, head, end }) {
    const headers = query.getAll("h").map((line) => line.split(": "));
    head(Number(query.get("status") ?? 200), headers);
    await end(query.get("body") ?? "");
  },

  /** Works until the gate opens, and answers then. */
  async wait({ query, journal, head, end }) {
    await journal.gate(query.get("gate"));
    head(200, []);
    await end("waited");
  },

  /** A second piece only when the gate opens. */
  async pieces({ query, journal, head, write, end }) {
    head(200, [["Content-Type", query.get("type")]]);
    await write("data: first\n\n");
    await journal.gate(query.get("gate"));
    await end("data: second\n\n");
  },

  /** So many bytes, no faster than they are taken; `gate` comes first. Each MiB is noted. */
  async flood(call) {
    const { query, id, journal, head, write, end } = call;
    if (query.has("gate")) await journal.gate(query.get("gate"));
    head(200, [["Content-Type", "application/octet-stream"]]);
    const bytes = Number(query.get("bytes"));
    const hash = createHash("sha256");
    let written = 0;
    for (let n = 0; written < bytes && !call.hasLeft(); n++) {
      const piece = Buffer.alloc(Math.min(PIECE_BYTES, bytes - written), n);
      hash.update(piece);
      await write(piece);
      written += piece.length;
      if (written % MEBIBYTE === 0) journal.write("wrote", { id, bytes: written });
    }
    if (call.hasLeft()) return;
    journal.write("flooded", { id, bytes: written, sha256: hash.digest("hex") });
    await end();
  },

  /** Begins to read when the gate opens. */
  async late(call) {
    await call.journal.gate(call.query.get("gate"));
    await ROUTES.echo(call);
  },

  /** Notes each piece of the body as it comes. */
  async watch(call) {
    await ROUTES.echo(call, (bytes) => call.journal.write("piece", { id: call.id, bytes }));
  },

  async unread({ head, end }) {
    head(200, []);
    await end("not interested");
  },

  async stderr({ query, side, head, end }) {
    side.stderr.write(`${query.get("text")}\n`);
    head(200, []);
    await end("noted");
  },

  async throw({ query }) {
    throw new Error(query.get("reason"));
  },

  /** An interim answer before the answer, where the form has a way to send one. */
  async early({ early, head, end }) {
    early?.({ link: "</style.css>; rel=preload" });
    head(200, [["X-Own", "final"]]);
    await end("after the hint");
  },

  /** Always the whole, with its length: what a web server makes of a Range is its own affair. */
  async whole({ head, end }) {
    head(200, [
      ["Content-Type", "text/plain"],
      ["Content-Length", String(CONTENT.length)],
    ]);
    await end(CONTENT);
  },

  /** The part that is asked for. */
  async range({ seen, head, end }) {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(seen().headers["range"] ?? "") ?? [];
    if (from === undefined) return ROUTES.whole({ head, end });
    head(206, [
      ["Content-Type", "text/plain"],
      ["Content-Range", `bytes ${from}-${to}/${CONTENT.length}`],
    ]);
    return end(CONTENT.slice(Number(from), Number(to) + 1));
  },

  /** A head of about so many bytes. */
  async head({ query, head, end }) {
    const bytes = Number(query.get("bytes"));
    const lines = Array.from({ length: Math.floor(bytes / 1000) }, (_, n) => [`X-Big-${n}`, "x".repeat(988)]);
    head(200, lines);
    await end("large head");
  },

  async echo({ seen, body, head, end }, onPiece = () => {}) {
    const hash = createHash("sha256");
    let bodyBytes = 0;
    for await (const piece of body) {
      hash.update(piece);
      bodyBytes += piece.length;
      onPiece(bodyBytes);
    }
    // What is bytes in a header is bytes in the answer.
    head(200, [["Content-Type", "application/json; charset=latin1"]]);
    const answer = { ...seen(), bodyBytes, bodySha256: hash.digest("hex") };
    await end(Buffer.from(JSON.stringify(answer), "latin1"));
  },
};

/** `/probe/NAME` → that route; everything else is echoed. */
export function routeOf(path) {
  const name = /^\/probe\/([a-z]+)$/.exec(path)?.[1];
  return (name !== undefined && ROUTES[name]) || ROUTES.echo;
}
