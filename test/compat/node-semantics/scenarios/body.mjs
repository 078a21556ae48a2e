/** Reading the body of a request, in every way there is. */
import { createHash } from "node:crypto";
import { isDisturbed, isErrored, isReadable, PassThrough, Readable, Writable } from "node:stream";
import { buffer, json, text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { attempt, done, REQUEST_EVENTS, turn, watch } from "./tools.mjs";

/** As POST bodies come: all pieces together. */
function collected(req) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    req.on("data", (piece) => pieces.push(piece));
    req.on("end", () => resolve(Buffer.concat(pieces)));
    req.on("error", reject);
  });
}

export const body = {
  async "body-events"(req, res, { note }) {
    const bytes = await collected(req);
    note([bytes.length, bytes.toString("latin1", 0, 20)]);
    note([req.complete, req.readableEnded, req.readableDidRead]);
    done(res, note);
  },
  async "body-framing"(req, res, { note }) {
    const bytes = await collected(req);
    note([req.headers["transfer-encoding"] ?? null, req.headers["content-length"] ?? null]);
    note(bytes.toString());
    done(res, note);
  },
  async "body-chunked"(req, res, { note }) {
    req.once("data", () => note("begun"));
    const bytes = await collected(req);
    note([req.headers["transfer-encoding"] ?? null, req.headers["content-length"] ?? null]);
    note(bytes.toString());
    done(res, note);
  },
  async "body-trailers"(req, res, { note }) {
    await collected(req);
    note(req.trailers);
    done(res, note);
  },
  async "body-none"(req, res, { note }) {
    watch(note, "req", req, REQUEST_EVENTS);
    const bytes = await collected(req);
    note(bytes.length);
    done(res, note);
  },
  async "body-iterated"(req, res, { note }) {
    let bytes = 0;
    for await (const piece of req) {
      if (!Buffer.isBuffer(piece)) note("not a Buffer");
      bytes += piece.length;
    }
    note(bytes);
    note([req.destroyed, req.aborted]);
    done(res, note);
  },
  async "body-iteration-left"(req, res, { note }) {
    for await (const _ of req) break;
    note("left");
    note([req.destroyed, req.aborted, req.socket === null, res.destroyed]);
    done(res, note, "enough\n");
  },
  async "body-iteration-thrown"(req, res, { note }) {
    try {
      for await (const _ of req) throw new Error("own");
    } catch (error) {
      note(error.message);
    }
    note([req.destroyed, req.aborted, req.socket === null, res.destroyed]);
    done(res, note, "enough\n");
  },
  /** `destroyOnReturn: false` keeps the request alive. */
  async "body-iteration-kept"(req, res, { note }) {
    let first = 0;
    for await (const piece of req.iterator({ destroyOnReturn: false })) {
      first = piece.length;
      break;
    }
    note(first > 0);
    note(req.destroyed);
    let rest = 0;
    for await (const piece of req) rest += piece.length;
    note(first + rest);
    done(res, note);
  },
  async "body-encoding"(req, res, { note }) {
    note(req.setEncoding("utf8") === req);
    let string = "";
    for await (const piece of req) {
      if (typeof piece !== "string") note("not a string");
      string += piece;
    }
    note([req.readableEncoding, string.length, [...string].every((character) => character === "€")]);
    done(res, note);
  },
  async "body-hex"(req, res, { note }) {
    req.setEncoding("hex");
    let string = "";
    for await (const piece of req) string += piece;
    note(string);
    done(res, note);
  },
  async "body-paused"(req, res, { note, opened }) {
    let bytes = 0;
    let isPaused = false;
    req.on("data", (piece) => {
      if (isPaused) note("data while paused");
      bytes += piece.length;
      if (bytes < 100000 || isPaused) return;
      req.pause();
      isPaused = true;
      note([req.isPaused(), req.readableFlowing]);
      note("paused");
      opened().then(() => {
        isPaused = false;
        bytes -= 1e9;
        req.resume();
      });
    });
    await new Promise((resolve) => req.on("end", resolve));
    note(bytes + 1e9);
    done(res, note);
  },
  async "body-readable"(req, res, { note }) {
    let bytes = 0;
    req.on("readable", () => {
      for (let piece = req.read(); piece !== null; piece = req.read()) bytes += piece.length;
    });
    await new Promise((resolve) => req.on("end", resolve));
    note(bytes);
    done(res, note);
  },
  async "body-sized-reads"(req, res, { note }) {
    const pieces = [];
    req.on("readable", () => {
      for (let piece = req.read(4); piece !== null; piece = req.read(4)) pieces.push(piece.toString());
    });
    await new Promise((resolve) => req.on("end", resolve));
    note(pieces);
    done(res, note);
  },
  async "body-unshift"(req, res, { note }) {
    const whole = await new Promise((resolve) => {
      req.once("readable", () => {
        req.unshift(req.read());
        resolve(collected(req));
      });
    });
    note(whole.toString());
    done(res, note);
  },
  async "body-late"(req, res, { note }) {
    for (let n = 0; n < 5; n++) await turn();
    await new Promise((resolve) => setTimeout(resolve, 20));
    note(req.readableDidRead);
    note((await collected(req)).length);
    done(res, note);
  },
  async "body-slow"(req, res, { note }) {
    let bytes = 0;
    let most = 0;
    const hash = createHash("sha256");
    const sink = new Writable({
      highWaterMark: 16384,
      write(piece, _encoding, callback) {
        bytes += piece.length;
        hash.update(piece);
        most = Math.max(most, req.readableLength);
        setImmediate(callback);
      },
    });
    await pipeline(req, sink);
    note(bytes);
    note(hash.digest("hex"));
    note(most < 1048576);
    done(res, note);
  },
  /** Reads nothing until it is told to: the client cannot send everything. */
  async "body-held"(req, res, { note, opened }) {
    req.once("readable", () => note("waiting"));
    await opened();
    note(req.readableLength < 1048576);
    let bytes = 0;
    for await (const piece of req) bytes += piece.length;
    note(bytes);
    done(res, note);
  },
  async "body-consumers"(req, res, { note }) {
    note(attempt(() => [isReadable(req), isDisturbed(req), isErrored(req)]));
    const how = new URL(req.url, "http://localhost").searchParams.get("how");
    if (how === "json") note(await json(req));
    else if (how === "text") note(await text(req));
    else note((await buffer(req)).length);
    note(attempt(() => [isReadable(req), isDisturbed(req), isErrored(req)]));
    done(res, note);
  },
  async "body-web"(req, res, { note }) {
    const response = new Response(Readable.toWeb(req));
    note(await response.json());
    done(res, note);
  },
  async "body-helpers"(req, res, { note }) {
    note(
      await req
        .map((piece) => piece.toString().toUpperCase())
        .toArray()
        .then((all) => all.join("")),
    );
    done(res, note);
  },
  /** Answers without reading; what comes is thrown away. */
  "body-unread"(_req, res, { note }) {
    done(res, note, "no thanks\n");
  },
  "body-echo"(req, res, { note }) {
    res.on("finish", () => note("done"));
    req.pipe(res);
  },
  async "body-tee"(req, res, { note }) {
    const [one, two] = [new PassThrough(), new PassThrough()];
    req.pipe(one);
    req.pipe(two);
    const sizes = await Promise.all([buffer(one), buffer(two)]);
    note(sizes.map((bytes) => bytes.length));
    done(res, note);
  },
  /** Answers first and reads then. */
  async "body-after-answer"(req, res, { note }) {
    const bytes = collected(req);
    res.end("answered\n");
    note((await bytes).toString());
    note("done");
  },
};
