/** setTimeout on request, response and socket. */
import { done, turn, watch } from "./tools.mjs";

export const timeouts = {
  "timeout-response"(_req, res, { note }) {
    res.on("timeout", (socket) => note(["event", socket === res.socket]));
    note(
      res.setTimeout(20, () => {
        note("callback");
        note(res.destroyed);
        res.statusCode = 503;
        done(res, note, "late\n");
      }) === res,
    );
  },
  "timeout-request"(req, res, { note }) {
    note(
      req.setTimeout(20, () => {
        note([req.complete, req.destroyed]);
        res.statusCode = 408;
        done(res, note, "late\n");
      }) === req,
    );
  },
  /** The request is whole: its 'timeout' is not for it any more, the response's is. */
  async "timeout-request-complete"(req, res, { note }) {
    req.resume();
    await new Promise((resolve) => req.on("end", resolve));
    req.on("timeout", () => note("request"));
    res.on("timeout", () => {
      note("response");
      done(res, note);
    });
    req.setTimeout(20);
  },
  "timeout-socket"(req, res, { note }) {
    note(
      req.socket.setTimeout(20, () => {
        note(req.socket.destroyed);
        // Nobody else hears: node:http destroys the socket behind us.
      }) === req.socket,
    );
    res.on("close", () => note("done"));
  },
  "timeout-unheard"(req, res, { note }) {
    watch(note, "req", req, ["aborted"]);
    req.socket.setTimeout(20);
    res.on("close", () => {
      note([req.socket.destroyed, res.writableEnded]);
      note("done");
    });
  },
  async "timeout-off"(req, res, { note }) {
    res.on("timeout", () => note("timeout"));
    res.setTimeout(5);
    note(req.socket.timeout);
    res.setTimeout(0);
    note(req.socket.timeout);
    await new Promise((resolve) => setTimeout(resolve, 30));
    done(res, note);
  },
  async "timeout-over"(_req, res, { note }) {
    res.on("timeout", () => note("timeout"));
    res.setTimeout(60000);
    res.end("ok\n");
    await new Promise((resolve) => res.on("close", resolve));
    await turn();
    note(res.setTimeout(1) === res);
    note("done");
  },
  /** From now on connections are given this timeout by the server; 0 takes it off. */
  "timeout-set"(_req, res, { note, server, url }) {
    server.timeout = Number(url.searchParams.get("ms"));
    done(res, note);
  },
  "timeout-inherited"(req, res, { note }) {
    note(req.socket.timeout);
    res.on("timeout", () => done(res, note, "timed out\n"));
  },
  "timeout-server"(req, res, { note }) {
    req.socket.setTimeout(20);
    res.on("close", () => {
      note([req.socket.destroyed, res.writableEnded]);
      note("done");
    });
  },
};
