/** What a request says about itself. */
import { IncomingMessage, OutgoingMessage, ServerResponse } from "node:http";
import { Readable, Stream } from "node:stream";
import { attempt, done, turn } from "./tools.mjs";

/** The pairs of rawHeaders whose name begins with X-. */
function ownPairs(req) {
  const pairs = [];
  for (let n = 0; n < req.rawHeaders.length; n += 2) {
    if (/^x-/i.test(req.rawHeaders[n])) pairs.push([req.rawHeaders[n], req.rawHeaders[n + 1]]);
  }
  return pairs;
}

export const request = {
  line(req, res, { note }) {
    note([req.method, req.url.replace(/id=\d+/, "id=N")]);
    note([req.httpVersion, req.httpVersionMajor, req.httpVersionMinor]);
    done(res, note);
  },
  method(req, res, { note }) {
    note(req.method);
    done(res, note);
  },
  defaults(req, res, { note }) {
    note([req.aborted, req.destroyed, req.readable, req.readableEnded, req.readableFlowing]);
    note([req.statusCode, req.statusMessage, Boolean(req.upgrade)]);
    note([req.trailers, req.rawTrailers, req.trailersDistinct]);
    note([req.readableObjectMode, req.readableEncoding, req.readableLength, req.errored]);
    note(req.readableHighWaterMark === req.socket.readableHighWaterMark);
    note(res.statusCode);
    note([res.strictContentLength, res.finished, res.errored, res.sendDate]);
    note([res.shouldKeepAlive === true || res.shouldKeepAlive === false, res.useChunkedEncodingByDefault]);
    done(res, note);
  },
  async complete(req, res, { note }) {
    req.resume();
    await new Promise((resolve) => req.on("end", resolve));
    note([req.complete, req.readableEnded, req.aborted]);
    await turn();
    note(req.destroyed);
    done(res, note);
  },
  classes(req, res, { note }) {
    note([req instanceof IncomingMessage, req instanceof Readable, req instanceof Stream]);
    note([res instanceof ServerResponse, res instanceof OutgoingMessage, res instanceof Stream]);
    note([req.constructor.name, res.constructor.name]);
    done(res, note);
  },
  links(req, res, { note }) {
    note([res.req === req, req.socket === res.socket, req.connection === req.socket]);
    note([res.connection === res.socket, req.client === req.socket, req.socket._httpMessage === res]);
    note(typeof req.socket.server?.listen === "function");
    done(res, note);
  },
  prototypes(req, res, { note }) {
    // As Express does with every request.
    const ownRequest = Object.create(IncomingMessage.prototype, { own: { value: () => "own request" } });
    const ownResponse = Object.create(ServerResponse.prototype, {
      say: {
        value(text) {
          this.setHeader("X-Own", "1");
          return this.end(text);
        },
      },
    });
    Object.setPrototypeOf(req, ownRequest);
    Object.setPrototypeOf(res, ownResponse);
    note(req.own());
    note(req.headers.host !== undefined);
    note("done");
    res.say("said\n");
  },
  wrapped(_req, res, { note }) {
    // As compression and on-headers do with every response.
    const { write, end, writeHead } = res;
    res.writeHead = function (...args) {
      note("writeHead");
      this.setHeader("X-Wrapped", "1");
      return writeHead.apply(this, args);
    };
    res.write = function (chunk, ...args) {
      note("write");
      return write.call(this, String(chunk).toUpperCase(), ...args);
    };
    res.end = function (chunk, ...args) {
      note("end");
      return end.call(this, String(chunk).toUpperCase(), ...args);
    };
    res.write("small ");
    note("done");
    res.end("letters\n");
  },
  socket(req, res, { note }) {
    const { socket } = req;
    note([socket.remoteAddress, socket.remoteFamily, typeof socket.remotePort]);
    note([socket.localAddress, socket.localPort === Number(req.headers["x-port"]), typeof socket.address()]);
    note(Boolean(socket.encrypted));
    note([socket.setNoDelay(true) === socket, socket.setKeepAlive(true) === socket]);
    note([socket.ref() === socket, socket.unref() === socket, socket.setTimeout(0) === socket]);
    note([
      socket.readable,
      socket.writable,
      socket.destroyed,
      socket.connecting,
      socket.pending,
      socket.readyState,
    ]);
    done(res, note);
  },
  headers(req, res, { note }) {
    const pick = (name) => req.headers[name];
    note([pick("x-one"), pick("x-empty"), pick("x-latin1"), pick("x-none") === undefined]);
    note(
      Object.getPrototypeOf(req.headers) === Object.prototype || Object.getPrototypeOf(req.headers) === null,
    );
    req.headers["x-added"] = "by middleware";
    delete req.headers["x-one"];
    note([req.headers["x-added"], "x-one" in req.headers]);
    req.url = "/rewritten";
    note(req.url);
    done(res, note);
  },
  repeated(req, res, { note }) {
    note(req.headers["x-dup"]);
    note(req.headers.cookie);
    done(res, note);
  },
  "repeated-once"(req, res, { note }) {
    note(req.headers["user-agent"]);
    done(res, note);
  },
  distinct(req, res, { note }) {
    note(req.headersDistinct["x-dup"]);
    note(req.headersDistinct["x-one"]);
    note(Object.getPrototypeOf(req.headersDistinct) === null);
    done(res, note);
  },
  "distinct-shape"(req, res, { note }) {
    note(req.headersDistinct["x-one"]);
    note(Object.getPrototypeOf(req.headersDistinct) === null);
    done(res, note);
  },
  raw(req, res, { note }) {
    note(req.rawHeaders.length % 2);
    note(ownPairs(req).map(([name, value]) => [name.toLowerCase(), value]));
    done(res, note);
  },
  "raw-names"(req, res, { note }) {
    note(ownPairs(req).map(([name]) => name));
    done(res, note);
  },
  "raw-values"(req, res, { note }) {
    const at = req.rawHeaders.findIndex((text) => text.toLowerCase() === "x-one");
    note(req.rawHeaders[at + 1]);
    note(req.rawHeaders.length % 2);
    done(res, note);
  },
  "header-count"(req, res, { note }) {
    note(Object.keys(req.headers).filter((name) => name.startsWith("x-many-")).length);
    note(req.headers["x-many-79"]);
    done(res, note);
  },
  assign(_req, res, { note }) {
    const { socket } = res;
    note(attempt(() => res.assignSocket(socket)));
    res.detachSocket(socket);
    note([res.socket, socket._httpMessage]);
    res.assignSocket(socket);
    note([res.socket === socket, socket._httpMessage === res]);
    done(res, note);
  },
  /** Written while it has no socket; sent when it gets one. */
  buffered(_req, res, { note }) {
    const { socket } = res;
    res.detachSocket(socket);
    note(res.write("written without a socket, "));
    note(res.writableLength > 0);
    res.assignSocket(socket);
    done(res, note, "sent with one\n");
  },
  async expects(req, res, { note }) {
    let text = "";
    for await (const piece of req) text += piece;
    note(text);
    done(res, note);
  },
  "expects-early"(req, res, { note }) {
    note(res._expect_continue);
    note(req.headers.expect);
    done(res, note, "no need\n");
  },
};
