/** Context that is kept, channels that are published, failures of listeners. */
import { AsyncLocalStorage, executionAsyncId } from "node:async_hooks";
import diagnostics from "node:diagnostics_channel";
import { Server } from "node:http";
import { connectionCount } from "../configured.mjs";
import { attempt, done, turn } from "./tools.mjs";

const storage = new AsyncLocalStorage();

/** What channels have published, by the id of the request. */
const published = new Map();
function record(channel) {
  diagnostics.subscribe(channel, (message) => {
    const id = /id=(\d+)/.exec(message.request?.url ?? "")?.[1];
    const all = published.get(id) ?? [];
    all.push({ channel, message });
    published.set(id, all);
  });
}
for (const name of ["request.start", "response.created", "response.finish"]) record(`http.server.${name}`);

/** Ids of requests that came through Server#emit, which is what instrumentation wraps. */
const emitted = new Set();
const { emit } = Server.prototype;
Server.prototype.emit = function (event, ...args) {
  if (event === "request") emitted.add(/id=(\d+)/.exec(args[0].url)?.[1]);
  return emit.call(this, event, ...args);
};

export const context = {
  instrumented(_req, res, { note, url }) {
    note(emitted.has(url.searchParams.get("id")));
    done(res, note);
  },
  async "context-kept"(req, res, { note }) {
    const seen = [];
    const see = (what) => () => seen.push(`${what} ${storage.getStore() ?? "lost"}`);
    await storage.run("own", async () => {
      req.on("data", see("data"));
      req.on("end", see("end"));
      res.on("finish", see("finish"));
      res.on("close", see("close"));
      await new Promise((resolve) => req.on("end", resolve));
      see("await")();
      await new Promise((resolve) => {
        res.write("written", () => {
          see("write")();
          resolve();
        });
      });
      res.end("\n", see("ended"));
      await new Promise((resolve) => res.on("close", resolve));
    });
    note([...new Set(seen.filter((entry) => /^(?:await|write|ended|finish|close)/.test(entry)))].sort());
    note("done");
  },
  /** A store that is entered must not be there for the next request. */
  "context-entered"(_req, res, { note, url }) {
    note(storage.getStore() ?? "none");
    storage.enterWith(url.searchParams.get("id"));
    note(storage.getStore() === url.searchParams.get("id"));
    done(res, note);
  },
  "context-id"(_req, res, { note }) {
    note(executionAsyncId() > 0);
    done(res, note);
  },
  async channels(req, res, { note, url }) {
    req.resume();
    res.end("ok\n");
    await new Promise((resolve) => res.on("close", resolve));
    await turn();
    const all = published.get(url.searchParams.get("id")) ?? [];
    for (const { channel, message } of all) {
      const { request, response, socket, server } = message;
      const parts = [request === req, response === res];
      if (channel !== "http.server.response.created") {
        parts.push(socket === req.socket, typeof server?.listen === "function");
      }
      note([channel.slice("http.server.".length), ...parts]);
    }
    note("done");
  },
  throws(_req, _res, { note }) {
    note("done");
    throw Object.assign(new Error("thrown by a listener"), { code: "THROWN" });
  },
  async rejects(_req, _res, { note }) {
    await turn();
    note("done");
    throw Object.assign(new Error("rejected by a listener"), { code: "REJECTED" });
  },
  "throws-later"(_req, res, { note }) {
    setImmediate(() => {
      setImmediate(() => done(res, note));
      throw Object.assign(new Error("thrown in a timer"), { code: "TIMER" });
    });
  },
  "throws-in-finish"(_req, res, { note }) {
    res.on("finish", () => {
      note("done");
      throw Object.assign(new Error("thrown in finish"), { code: "FINISH" });
    });
    res.end("whole\n");
  },
  /** A listener of the configured server, which captures rejections. */
  async "second-listener"(_req, res, { note }) {
    await turn();
    done(res, note);
  },
  connections(_req, res, { note }) {
    note(connectionCount() > 0);
    done(res, note);
  },
  async "rejects-captured"(_req, res, { note }) {
    res.setHeader("X-Secret", "1");
    await turn();
    note("done");
    throw new Error("captured");
  },
  async "rejects-captured-late"(_req, res, { note }) {
    res.write("part");
    await turn();
    note("done");
    throw new Error("captured");
  },
  async "works-on"(_req, res, { note, opened }) {
    res.end("answered\n");
    await opened();
    note("worked on after the answer");
    note("done");
  },
  "own-events"(req, res, { note }) {
    res.on("own", (value) => note(value));
    res.emit("own", 42);
    note(attempt(() => res.listenerCount("own")));
    note(req.eventNames().every((name) => typeof name === "string" || typeof name === "symbol"));
    done(res, note);
  },
  "own-class"(req, res, { note }) {
    note(req.shout.replace(/ID=\d+/, "ID=N"));
    note([req.constructor.name, res.constructor.name]);
    note("done");
    res.sayHello();
  },
  joined(req, res, { note }) {
    note(req.headers["user-agent"]);
    note(req.headers["x-dup"]);
    note(req.joinDuplicateHeaders);
    done(res, note);
  },
  "rejects-bodies"(req, res, { note }) {
    if (req.method !== "HEAD") res.statusCode = 204;
    note(attempt(() => res.write("not allowed")));
    note(attempt(() => res.end("not allowed")));
    note("done");
    res.end();
  },
  unique(_req, res, { note }) {
    res.setHeader("X-Unique", ["a", "b"]);
    res.setHeader("X-Many", ["a", "b"]);
    done(res, note);
  },
  "high-water-mark"(req, res, { note }) {
    note([req.readableHighWaterMark, res.writableHighWaterMark, req.socket.writableHighWaterMark]);
    done(res, note);
  },
  async continued(req, res, { note }) {
    let text = "";
    for await (const piece of req) text += piece;
    note([text, res._sent100, res._expect_continue]);
    done(res, note);
  },
};
