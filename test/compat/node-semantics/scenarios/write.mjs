/** Writing the body: forms, callbacks, back-pressure, cork, states. */
import { attempt, done, turn, watch } from "./tools.mjs";

const MEBIBYTE = 1048576;

function states(res) {
  const { writable, writableEnded, writableFinished, finished, headersSent, destroyed, closed } = res;
  return { writable, writableEnded, writableFinished, finished, headersSent, destroyed, closed };
}

export const write = {
  "write-forms"(_req, res, { note }) {
    const results = [
      res.write("plain "),
      res.write("68657820", "hex"),
      res.write("YmFzZTY0IA==", "base64"),
      res.write("\u00e9 ", "latin1"),
      res.write("\u00e9 ", "utf8"),
      res.write("\u00e9", "utf16le"),
      res.write(Buffer.from("buffer ")),
      res.write(new Uint8Array([98, 121, 116, 101, 115, 32])),
      res.write("callback ", () => note("called back")),
      res.write("both ", "utf8", () => note("called back")),
    ];
    note(results.every((result) => result === true));
    res.end("end\n", () => note("done"));
  },
  "write-first-encoded"(_req, res, { note }) {
    res.write("6869206865780a", "hex");
    done(res, note, "");
  },
  "write-first-latin1"(_req, res, { note }) {
    res.write("\u00e9", "latin1");
    done(res, note, "");
  },
  "write-first-utf16"(_req, res, { note }) {
    res.write("hi", "utf16le");
    done(res, note, "");
  },
  "write-empty"(_req, res, { note }) {
    note(attempt(() => res.write("")));
    note(res.headersSent);
    note(attempt(() => res.write(Buffer.alloc(0))));
    done(res, note);
  },
  "write-refused"(_req, res, { note }) {
    note(attempt(() => res.write(null)));
    note(attempt(() => res.write(undefined)));
    note(attempt(() => res.write(42)));
    note(attempt(() => res.write({})));
    note(attempt(() => res.write(["a"])));
    note(attempt(() => res.end(42)));
    note(attempt(() => res.end({})));
    done(res, note);
  },
  "write-unknown-encoding"(_req, res, { note }) {
    note(attempt(() => res.write("a", "no-such-encoding") && "written"));
    res.destroy();
    note("done");
  },
  "write-callbacks"(_req, res, { note }) {
    const say = (what) => (error) => note(error ? `${what} ${error.code}` : what);
    res.write("a", say("a"));
    res.write(Buffer.from("b"), say("b"));
    res.write("c", "latin1", say("c"));
    res.end("d", say("done"));
    note("returned");
  },
  "end-callback"(_req, res, { note }) {
    note(res.end(() => note("done")) === res);
  },
  "end-chunk-callback"(_req, res, { note }) {
    note(res.end("chunk\n", () => note("done")) === res);
  },
  "end-encoding-callback"(_req, res, { note }) {
    res.end("6865780a", "hex", () => note("done"));
  },
  "end-buffer"(_req, res, { note }) {
    note("done");
    res.end(Buffer.from("buffer\n"));
  },
  "end-null"(_req, res, { note }) {
    note("done");
    res.end(null);
  },
  "end-after-write"(_req, res, { note }) {
    res.write("written ");
    res.end("and ended\n", "utf8", () => note("done"));
  },
  async "end-twice"(_req, res, { note }) {
    watch(note, "res", res, ["error"]);
    res.on("close", () => note("res close"));
    res.end("once\n");
    note(res.end() === res);
    res.end(() => note("second"));
    await turn();
    await turn();
    res.end((error) => note(`third ${error?.code}`));
    await turn();
    note("done");
  },
  async "end-twice-chunk"(_req, res, { note }) {
    watch(note, "res", res, ["error"]);
    res.end("once\n");
    note(res.end("again", (error) => note(`callback ${error?.code}`)) === res);
    await turn();
    note("done");
  },
  async "write-after-end"(_req, res, { note }) {
    watch(note, "res", res, ["error"]);
    res.end("whole\n");
    note(attempt(() => res.write("more", (error) => note(`callback ${error?.code}`))));
    await turn();
    note("done");
  },
  async "write-after-close"(_req, res, { note }) {
    res.on("error", (error) => note(`res error ${error.code}`));
    res.end("whole\n");
    await new Promise((resolve) => res.on("close", resolve));
    note(attempt(() => res.write("more", (error) => note(`callback ${error?.code}`))));
    await turn();
    note(attempt(() => res.end("x") === res));
    await turn();
    note("done");
  },
  async "write-after-destroy"(_req, res, { note }) {
    res.on("error", (error) => note(`res error ${error.code}`));
    res.write("part");
    res.destroy();
    note(attempt(() => res.write("more", (error) => note(`callback ${error?.code}`))));
    await turn();
    note(attempt(() => res.end("x") === res));
    await turn();
    note("done");
  },
  states(_req, res, { note }) {
    note(states(res));
    res.on("prefinish", () => note({ at: "prefinish", ended: res.writableEnded }));
    res.on("finish", () => note({ at: "finish", ...states(res) }));
    res.on("close", () => {
      note({ at: "close", ...states(res) });
      note("done");
    });
    res.write("a");
    note({ at: "write", ...states(res) });
    res.end("b\n");
    note({ at: "end", ended: res.writableEnded, finished: res.finished, writable: res.writable });
  },
  async lengths(_req, res, { note }) {
    note(res.writableLength);
    note(res.writableHighWaterMark === res.socket.writableHighWaterMark);
    note(res.writableHighWaterMark >= 16384);
    note([res.writableObjectMode, res.writableCorked, res.writableNeedDrain]);
    res.write("abc");
    note(res.writableLength >= 3);
    await new Promise((resolve) => res.write("def\n", resolve));
    note(res.writableLength);
    done(res, note, "");
  },
  async drain(_req, res, { note }) {
    res.on("drain", () => note("drain"));
    note(res.write("small"));
    note(res.write(Buffer.alloc(4 * MEBIBYTE, "x")));
    note(res.writableNeedDrain);
    note(res.writableLength > 0);
    await new Promise((resolve) => res.once("drain", resolve));
    note([res.writableNeedDrain, res.writableLength]);
    note(res.write("after"));
    done(res, note, "end");
  },
  /** Writes until it is told to stop; the client reads nothing before that. */
  async "slow-reader"(_req, res, { note }) {
    const piece = Buffer.alloc(65536, "y");
    let pieces = 0;
    let drains = 0;
    res.on("drain", () => drains++);
    // The kernels and the web server between us take some megabytes, but not everything.
    while (pieces < 1600) {
      pieces++;
      if (res.write(piece)) continue;
      const drained = await Promise.race([
        new Promise((resolve) => res.once("drain", () => resolve(true))),
        new Promise((resolve) => setTimeout(resolve, 1000, false)),
      ]);
      if (!drained) break;
    }
    note(["blocked", pieces < 1600, res.writableNeedDrain]);
    note("blocked");
    await new Promise((resolve) => res.once("drain", resolve));
    note(["drained", res.writableNeedDrain]);
    res.end(() => {
      note({ bytes: pieces * piece.length });
      note("done");
    });
  },
  cork(_req, res, { note }) {
    res.cork();
    res.cork();
    note(res.writableCorked);
    res.write("a");
    res.write("b", () => note("b called back"));
    res.uncork();
    note(res.writableCorked);
    res.write("c");
    res.uncork();
    note(res.writableCorked);
    res.end("d\n", () => note("done"));
  },
  async "cork-holds"(_req, res, { note, opened }) {
    res.write("first ");
    await turn();
    res.cork();
    res.write("held ");
    res.write("back ");
    note("corked");
    await opened();
    res.uncork();
    note("done");
    res.end("last\n");
  },
  "end-corked"(_req, res, { note }) {
    res.cork();
    res.write("corked ");
    res.end("and ended\n", () => note("done"));
    note(res.writableCorked);
  },
  async stream(_req, res, { note, opened }) {
    res.write("first ");
    note("first");
    await opened();
    done(res, note, "second\n");
  },
  "many-writes"(_req, res, { note }) {
    for (let n = 0; n < 1000; n++) res.write(`${n},`);
    done(res, note, "end\n");
  },
  async "many-turns"(_req, res, { note }) {
    for (let n = 0; n < 100; n++) {
      res.write(`${n},`);
      await turn();
    }
    done(res, note, "end\n");
  },
  "big-string"(_req, res, { note }) {
    done(res, note, "é".repeat(MEBIBYTE));
  },
  "big-buffer"(_req, res, { note }) {
    done(res, note, Buffer.alloc(3 * MEBIBYTE, "0123456789"));
  },
  async "async-end"(_req, res, { note }) {
    await turn();
    res.setHeader("X-Late", "1");
    await turn();
    done(res, note);
  },
  "socket-write"(_req, res, { note }) {
    const { socket } = res;
    note([socket.writable, socket.destroyed, socket.writableEnded]);
    note(typeof socket.writableLength);
    done(res, note);
  },
};
