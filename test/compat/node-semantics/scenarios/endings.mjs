/** How a request ends, and in which order request and response say so. */
import { attempt, REQUEST_EVENTS, RESPONSE_EVENTS, turn, watch } from "./tools.mjs";

function watchBoth(req, res, note) {
  watch(note, "req", req, REQUEST_EVENTS);
  watch(note, "res", res, RESPONSE_EVENTS);
}

/** Resolves when both are closed and everything that comes with it has come. */
async function bothClosed(req, res) {
  const closed = (stream) =>
    stream.closed === true ? undefined : new Promise((resolve) => stream.once("close", resolve));
  await Promise.all([closed(req), closed(res)]);
  await turn();
  await turn();
}

function states(req, res) {
  return {
    req: [req.complete, req.aborted, req.destroyed, req.readableEnded, req.errored?.code ?? null],
    res: [res.destroyed, res.writableEnded, res.writableFinished, res.errored?.code ?? null],
  };
}

async function finish(req, res, note) {
  await bothClosed(req, res);
  note(states(req, res));
  note("done");
}

export const endings = {
  /** Ends at once; the request's body, if any, is not touched. */
  "ends-unread"(req, res, { note }) {
    watchBoth(req, res, note);
    res.end("ok\n");
    void finish(req, res, note);
  },
  "ends-after-reading"(req, res, { note }) {
    watchBoth(req, res, note);
    req.resume();
    req.on("end", () => res.end("ok\n"));
    void finish(req, res, note);
  },
  async "ends-while-reading"(req, res, { note }) {
    watchBoth(req, res, note);
    for await (const _ of req);
    note("read");
    res.write("o");
    await turn();
    res.end("k\n");
    void finish(req, res, note);
  },
  /** Says that it waits, and reads nothing; the client leaves. */
  "left-unread"(req, res, { note }) {
    watchBoth(req, res, note);
    note("waiting");
    void finish(req, res, note);
  },
  "left-reading"(req, res, { note }) {
    watchBoth(req, res, note);
    req.once("data", () => note("waiting"));
    void finish(req, res, note);
  },
  "left-read"(req, res, { note }) {
    watchBoth(req, res, note);
    req.resume();
    req.on("end", () => note("waiting"));
    void finish(req, res, note);
  },
  /** Nobody listens for 'error': nothing is thrown. */
  "left-unheard"(req, res, { note }) {
    req.on("aborted", () => note("req aborted"));
    res.on("close", () => note("res close"));
    note("waiting");
    void finish(req, res, note);
  },
  async "left-answering"(req, res, { note }) {
    watchBoth(req, res, note);
    req.resume();
    await new Promise((resolve) => req.on("end", resolve));
    res.write("part of it\n");
    note("waiting");
    void finish(req, res, note);
  },
  /** Goes on writing after the client has left. */
  async "left-written"(_req, res, { note }) {
    res.on("error", (error) => note(`res error ${error.code}`));
    res.write("part of it\n");
    note("waiting");
    await new Promise((resolve) => res.on("close", resolve));
    note(attempt(() => res.write("more", (error) => note(`write ${error?.code}`))));
    await turn();
    note(attempt(() => res.end("end") === res));
    await turn();
    note([res.headersSent, res.writableEnded, res.destroyed]);
    note("done");
  },
  /** Ends after the client has left before anything was sent. */
  async "left-ended"(req, res, { note }) {
    res.on("error", (error) => note(`res error ${error.code}`));
    res.on("finish", () => note("res finish"));
    note("waiting");
    await new Promise((resolve) => res.on("close", resolve));
    note(attempt(() => res.setHeader("X-Late", "1") === res));
    note(attempt(() => res.end("end") === res));
    await turn();
    note([req.aborted, res.writableEnded, res.destroyed]);
    note("done");
  },
  "left-afterwards"(req, res, { note }) {
    watchBoth(req, res, note);
    res.end("whole\n");
    bothClosed(req, res).then(() => note("waiting"));
    process.once("noop", () => {});
  },
  "destroys-response-early"(req, res, { note }) {
    watchBoth(req, res, note);
    note(res.destroy() === res);
    void finish(req, res, note);
  },
  async "destroys-response-late"(req, res, { note, opened }) {
    watchBoth(req, res, note);
    res.write("part of it\n");
    await opened();
    res.destroy();
    void finish(req, res, note);
  },
  "destroys-response-with-error"(req, res, { note }) {
    watchBoth(req, res, note);
    res.write("part of it\n", () => {
      res.destroy(Object.assign(new Error("for a reason"), { code: "OWN" }));
      void finish(req, res, note);
    });
  },
  "destroys-request"(req, res, { note }) {
    watchBoth(req, res, note);
    note(req.destroy() === req);
    void finish(req, res, note);
  },
  "destroys-request-with-error"(req, res, { note }) {
    watchBoth(req, res, note);
    req.destroy(Object.assign(new Error("for a reason"), { code: "OWN" }));
    void finish(req, res, note);
  },
  "destroys-request-upload"(req, res, { note }) {
    watchBoth(req, res, note);
    req.once("data", () => {
      req.destroy();
      void finish(req, res, note);
    });
  },
  /** The request is over and read: destroying it destroys nothing else. */
  async "destroys-request-read"(req, res, { note }) {
    watchBoth(req, res, note);
    req.resume();
    await new Promise((resolve) => req.on("close", resolve));
    req.destroy();
    await turn();
    note([req.aborted, res.destroyed]);
    res.end("still here\n");
    void finish(req, res, note);
  },
  "destroys-socket"(req, res, { note }) {
    watchBoth(req, res, note);
    req.socket.on("close", () => note("socket close"));
    req.socket.destroy();
    note([req.socket.destroyed, res.socket === req.socket]);
    void finish(req, res, note);
  },
  async "socket-after"(req, res, { note }) {
    const { socket } = req;
    res.end("ok\n");
    await new Promise((resolve) => res.on("close", resolve));
    note([res.socket === null, req.socket === socket, res.connection === null]);
    note("done");
  },
  /** The connection is the web server's; to the application it ends with the response, as with Connection: close. */
  "socket-closes"(req, res, { note }) {
    const { signal } = req; // since Node 24
    req.socket.on("close", (hadError) => {
      note(["socket close", hadError, req.socket.destroyed, req.aborted, signal?.aborted ?? false]);
      note("done");
    });
    res.on("close", () => note("res close"));
    res.end("ok\n");
  },
  "signal-aborted"(req, res, { note }) {
    const { signal } = req;
    const aborted = signal ? new Promise((resolve) => signal.addEventListener("abort", resolve)) : undefined;
    note("waiting");
    res.on("close", async () => {
      await aborted;
      note("done");
    });
  },
  "destroyed-twice"(req, res, { note }) {
    res.on("close", () => note("res close"));
    req.on("close", () => note("req close"));
    res.destroy();
    res.destroy(new Error("again"));
    req.destroy();
    req.destroy();
    void bothClosed(req, res).then(() => note("done"));
  },
  /** Both sides are closed once, whatever comes afterwards. */
  async "ends-once"(req, res, { note }) {
    watchBoth(req, res, note);
    res.end("ok\n");
    await bothClosed(req, res);
    req.destroy();
    res.destroy();
    await turn();
    await turn();
    note("done");
  },
};
