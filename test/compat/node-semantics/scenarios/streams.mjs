/** Request and response among other streams: pipe, pipeline, finished. */
import { finished, PassThrough, pipeline, Readable, Transform, Writable } from "node:stream";
import { pipeline as pipelinePromise } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { done, turn, watch } from "./tools.mjs";

function upperCase() {
  return new Transform({
    transform(piece, _encoding, callback) {
      callback(null, piece.toString().toUpperCase());
    },
  });
}

/** Fails after `count` pieces, when it may. */
function failing(count, mayFail) {
  let sent = 0;
  return new Readable({
    read() {
      if (sent++ < count) setImmediate(() => this.push("piece "));
      else mayFail.then(() => this.destroy(Object.assign(new Error("source failed"), { code: "SOURCE" })));
    },
  });
}

/** Never ends by itself. */
function endless(note) {
  const source = new Readable({
    read() {
      setImmediate(() => this.push(Buffer.alloc(1024, "z")));
    },
  });
  source.on("close", () => note("source close"));
  return source;
}

const outcome = (error) => (error ? (error.code ?? error.message) : "fine");

export const streams = {
  pipe(_req, res, { note }) {
    watch(note, "res", res, ["pipe", "unpipe"]);
    const source = Readable.from(["one ", "two ", "three\n"]);
    res.on("pipe", (from) => note(from === source));
    res.on("finish", () => note("done"));
    note(source.pipe(res) === res);
  },
  async "pipe-twice"(_req, res, { note }) {
    for (const text of ["first ", "second "]) {
      const source = Readable.from([text]);
      source.pipe(res, { end: false });
      await new Promise((resolve) => source.on("end", resolve));
    }
    note(res.writableEnded);
    done(res, note, "third\n");
  },
  async unpipe(_req, res, { note }) {
    const source = new PassThrough();
    res.on("unpipe", (from) => note(["unpipe", from === source]));
    source.pipe(res);
    source.write("piped ");
    await turn();
    source.unpipe(res);
    source.write("lost");
    await turn();
    done(res, note, "by hand\n");
  },
  "pipe-error"(_req, res, { note }) {
    const source = failing(2, turn());
    res.on("unpipe", () => note("unpipe"));
    source.on("error", (error) => {
      note(error.code);
      // pipe() leaves the response alone: it is the application's to end.
      note([res.destroyed, res.writableEnded]);
      done(res, note, "and no more\n");
    });
    source.pipe(res);
  },
  "pipe-error-unheard"(_req, res, { note }) {
    const source = failing(1, turn());
    source.on("error", () => {
      res.destroy();
      note("done");
    });
    source.pipe(res);
  },
  pipeline(_req, res, { note }) {
    pipeline(Readable.from(["a ", "b ", "c\n"]), res, (error) => {
      note([outcome(error), res.writableFinished]);
      note("done");
    });
  },
  async "pipeline-promise"(_req, res, { note }) {
    await pipelinePromise(Readable.from(["a ", "b\n"]), upperCase(), res);
    note(res.writableEnded);
    note("done");
  },
  async "pipeline-generator"(req, res, { note }) {
    await pipelinePromise(
      req,
      async function* (source) {
        for await (const piece of source) yield `[${piece}]`;
      },
      res,
    );
    note("done");
  },
  async "pipeline-echo"(req, res, { note }) {
    await pipelinePromise(req, upperCase(), res);
    note([req.complete, req.destroyed, res.writableFinished]);
    note("done");
  },
  "pipeline-gzip"(_req, res, { note }) {
    res.setHeader("Content-Encoding", "gzip");
    pipeline(Readable.from(["squeezed ".repeat(1000)]), createGzip(), res, (error) => {
      note(outcome(error));
      note("done");
    });
  },
  "pipeline-error-early"(_req, res, { note }) {
    const closed = new Promise((resolve) => res.on("close", resolve));
    pipeline(failing(0, turn()), res, (error) => {
      note([outcome(error), res.destroyed, res.headersSent]);
      closed.then(() => note("done"));
    });
  },
  "pipeline-error-late"(_req, res, { note, opened }) {
    const closed = new Promise((resolve) => res.on("close", resolve));
    pipeline(failing(3, opened()), res, (error) => {
      note([outcome(error), res.destroyed, res.headersSent, res.writableFinished]);
      closed.then(() => note("done"));
    });
  },
  "pipeline-left"(_req, res, { note }) {
    pipeline(endless(note), res, (error) => {
      note([outcome(error), res.destroyed]);
      setImmediate(() => note("done"));
    });
    note("waiting");
  },
  "pipeline-upload-left"(req, _res, { note }) {
    const sink = new Writable({
      write(_piece, _encoding, callback) {
        note("waiting");
        callback();
      },
    });
    sink.on("close", () => note("sink close"));
    pipeline(req, sink, (error) => {
      note([outcome(error), req.aborted]);
      setImmediate(() => note("done"));
    });
  },
  "pipeline-sink-fails"(req, res, { note }) {
    const sink = new Writable({
      write(_piece, _encoding, callback) {
        callback(Object.assign(new Error("full"), { code: "FULL" }));
      },
    });
    pipeline(req, sink, (error) => {
      note([outcome(error), req.destroyed]);
      note("done");
    });
    void res;
  },
  "finished-request"(req, res, { note }) {
    finished(req, (error) => {
      note(outcome(error));
      note("done");
    });
    req.resume();
    req.on("end", () => res.end("ok\n"));
  },
  "finished-response"(_req, res, { note }) {
    finished(res, (error) => {
      note(outcome(error));
      note("done");
    });
    res.end("ok\n");
  },
  "finished-left"(req, res, { note }) {
    finished(req, (error) => note(`req ${outcome(error)}`));
    finished(res, (error) => {
      note(`res ${outcome(error)}`);
      setImmediate(() => note("done"));
    });
    req.resume();
    res.write("part");
    note("waiting");
  },
  "finished-left-upload"(req, res, { note }) {
    finished(req, (error) => {
      note(`req ${outcome(error)}`);
      setImmediate(() => note("done"));
    });
    finished(res, () => {});
    req.once("data", () => note("waiting"));
  },
  async "finished-late"(_req, res, { note }) {
    res.end("ok\n");
    await new Promise((resolve) => res.on("close", resolve));
    finished(res, (error) => {
      note(outcome(error));
      note("done");
    });
  },
  "finished-destroyed"(_req, res, { note }) {
    finished(res, (error) => {
      note(outcome(error));
      note("done");
    });
    res.write("part");
    res.destroy();
  },
  "from-web"(_req, res, { note }) {
    const web = new Response("from a web stream\n").body;
    pipeline(Readable.fromWeb(web), res, (error) => {
      note(outcome(error));
      note("done");
    });
  },
  async "pipe-big"(_req, res, { note }) {
    const piece = Buffer.alloc(65536, "p");
    let sent = 0;
    const source = new Readable({
      read() {
        this.push(sent++ < 128 ? piece : null);
      },
    });
    await pipelinePromise(source, res);
    note(sent);
    note("done");
  },
  /** `for await` over a generator, awaiting drain by hand. */
  async "drain-by-hand"(_req, res, { note }) {
    let waits = 0;
    for (let n = 0; n < 64; n++) {
      if (!res.write(Buffer.alloc(65536, "d"))) {
        waits++;
        await new Promise((resolve) => res.once("drain", resolve));
      }
    }
    note(waits > 0);
    done(res, note, "");
  },
};
