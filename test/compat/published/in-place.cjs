/**
 * Postern in the place of node:http, for test suites that were written for node:http: preloaded with
 * `node --require in-place.cjs`, it makes every `http.Server` that listens be served over FastCGI.
 *
 *     test's client ──HTTP──▶ gateway, where the test asked to listen ──FastCGI──▶ Postern ──▶ the test's http.Server
 *
 * Test tooling: the product's own interception of listen (`postern/register`) opens no HTTP port. CommonJS, because a
 * preloaded ES module would change how the test file itself is loaded.
 */
"use strict";
const { mkdtempSync, rmSync } = require("node:fs");
const { Server } = require("node:http");
const net = require("node:net");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

const { createServer, ClientPool, createGateway } = quietly(() => ({
  ...require("../../../dist/index.js"),
  ...require("../../../dist/client/index.js"),
  ...require("../../../dist/gateway/index.js"),
}));

const own = {
  listen: Server.prototype.listen,
  close: Server.prototype.close,
  closeAllConnections: Server.prototype.closeAllConnections,
  closeIdleConnections: Server.prototype.closeIdleConnections,
  getConnections: Server.prototype.getConnections,
  address: Server.prototype.address,
  ref: Server.prototype.ref,
  unref: Server.prototype.unref,
};
const listening = Object.getOwnPropertyDescriptor(net.Server.prototype, "listening").get;

/** http.Server of a test → what serves it. */
const places = new WeakMap();
/** Those that must not keep their process, as a test may say before they listen. */
const unreferenced = new WeakSet();
/** The HTTP servers of our gateways. */
const fronts = new WeakSet();

let folder;
let count = 0;

class Place {
  constructor(server) {
    this.server = server;
    folder ??= makeFolder();
    const path = join(folder, `${++count}.sock`);
    throwAsNodeDoes(server);
    this.backend = createServer(server, { drainTimeoutMs: 100, development: false, logger: SILENT });
    // A listener of our own, so that it listens at once and can be unref'd, as a test may do with its server.
    this.listener = net.createServer({ allowHalfOpen: true }, (socket) => {
      if (this.isUnreferenced) socket.unref();
      this.backend.serveSocket(socket, "unix");
    });
    this.listener.listen(path);
    this.pool = new ClientPool({ connect: path, timeoutMs: 0 });
    const limits = { sendTimeoutMs: 0, drainTimeoutMs: 0 };
    this.gateway = createGateway({ pool: this.pool, underscoreHeaders: true, ...limits });
    this.front = this.gateway.server;
    this.isUnreferenced = unreferenced.has(server);
    fronts.add(this.front);
    if (this.isUnreferenced) {
      own.unref.call(this.front);
      this.listener.unref();
    }
    this.front.on("listening", () => server.emit("listening"));
    this.front.on("error", (error) => {
      if (!listening.call(this.front)) this.end();
      server.emit("error", error);
    });
    this.front.on("close", () => {
      this.end();
      server.emit("close");
    });
  }

  /** The HTTP side is closed: so is the rest. */
  end() {
    this.listener.close();
    void this.pool.close().then(() => this.backend.close());
  }
}

/**
 * An exception in a listener ends the process, as it does in node:http: a failed assertion must not turn into an error
 * page that nobody looks at.
 */
function throwAsNodeDoes(server) {
  const emit = server.emit;
  const wrapped = function (name, ...args) {
    if (name !== "request") return emit.call(this, name, ...args);
    try {
      return emit.call(this, name, ...args);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
      return true;
    }
  };
  Object.defineProperty(server, "emit", { value: wrapped, configurable: true, writable: true });
}

function makeFolder() {
  const made = mkdtempSync(join(tmpdir(), "postern-in-place-"));
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  return made;
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

Object.assign(Server.prototype, {
  listen(...args) {
    if (fronts.has(this)) return own.listen.apply(this, args);
    let place = places.get(this);
    if (place === undefined || !listening.call(place.front)) {
      place = new Place(this);
      places.set(this, place);
    }
    const callback = args.at(-1);
    if (typeof callback === "function") {
      this.once("listening", callback);
      args.pop();
    }
    own.listen.apply(place.front, args);
    return this;
  },
  close(callback) {
    const place = places.get(this);
    if (place === undefined) return own.close.call(this, callback);
    const isOpen = listening.call(place.front);
    if (typeof callback === "function") {
      this.once("close", isOpen ? callback : () => callback(notRunning()));
    }
    // As a gateway closes: a connection whose answer is still under way goes after it.
    if (isOpen) void place.gateway.close();
    else process.nextTick(() => this.emit("close"));
    return this;
  },
});

for (const name of ["closeAllConnections", "closeIdleConnections", "getConnections", "address"]) {
  Server.prototype[name] = function (...args) {
    return own[name].apply(places.get(this)?.front ?? this, args);
  };
}
for (const name of ["ref", "unref"]) {
  Server.prototype[name] = function () {
    const place = places.get(this);
    own[name].call(place?.front ?? this);
    unreferenced[name === "unref" ? "add" : "delete"](this);
    if (place !== undefined) {
      own[name].call(place.listener);
      place.isUnreferenced = name === "unref";
    }
    return this;
  };
}
Object.defineProperty(Server.prototype, "listening", {
  get() {
    return listening.call(places.get(this)?.front ?? this);
  },
  configurable: true,
  enumerable: true,
});

function notRunning() {
  return Object.assign(new Error("Server is not running."), { code: "ERR_SERVER_NOT_RUNNING" });
}

/** Node 20 warns that `require` of an ES module is experimental; tests look at warnings. */
function quietly(work) {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return work();
  } finally {
    process.emitWarning = emitWarning;
  }
}
