import { Readable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import type { PosternError } from "../../../src/base/errors.ts";
import { ClientPool, type PoolOptions } from "../../../src/client/index.ts";
import { rawRecord, TYPE } from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import {
  params,
  type Stub,
  type StubOptions,
  type StubRequest,
  startStub,
  textOf,
} from "./stub-application.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]();
});

async function stub(handler: (request: StubRequest) => void, options?: StubOptions): Promise<Stub> {
  const started = await startStub(handler, options);
  open.push(started);
  return started;
}

function pool(connect: string, options: Omit<PoolOptions, "connect"> = {}): ClientPool {
  const made = new ClientPool({ connect, ...options });
  open.push({ [Symbol.asyncDispose]: async () => made.destroy() });
  return made;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "none",
    (error: PosternError) => error.code ?? error.message,
  );
}

/** Answers with the number of its connection. */
const tell = (request: StubRequest): void => request.answer(`X: y\r\n\r\n${request.connection}`);

const get = async (from: ClientPool, method = "GET", more: object = {}): Promise<string> => {
  const response = await from.request({ params: params(method), ...more });
  return await textOf(response.body);
};

describe("a pool", () => {
  it("keeps one connection for requests in a row, and makes more for requests at once", async () => {
    const application = await stub((request) => setTimeout(() => tell(request), 5));
    const made = pool(application.connect);
    for (let count = 0; count < 3; count++) expect(await get(made)).toBe("1");
    expect((await Promise.all([get(made), get(made), get(made)])).sort()).toEqual(["1", "2", "3"]);
    expect(made.stats).toEqual({ openConnections: 3, idleConnections: 3, queuedRequests: 0 });
  });

  it("without KEEP_CONN makes a connection per request", async () => {
    const application = await stub(tell);
    const made = pool(application.connect, { keepConn: false });
    for (const expected of ["1", "2", "3"]) expect(await get(made)).toBe(expected);
    await waitFor(() => made.stats.openConnections === 0);
  });

  it("lets requests beyond its connections wait, in order", async () => {
    const order: string[] = [];
    const application = await stub((request) => {
      order.push(request.params["N"]!);
      setTimeout(() => tell(request), 5);
    });
    const made = pool(application.connect, { maxConnections: 2 });
    const all = Array.from({ length: 8 }, (_, index) =>
      get(made, "GET", { params: params("GET", { N: `${index}` }) }),
    );
    expect(made.stats.queuedRequests).toBe(6);
    await Promise.all(all);
    expect(order.slice(2)).toEqual(["2", "3", "4", "5", "6", "7"]);
    expect(application.connections).toBe(2);
  });

  it("refuses a request when too many wait, and one that waits too long", async () => {
    const application = await stub(() => {});
    const made = pool(application.connect, { maxConnections: 1, maxQueuedRequests: 1, queueTimeoutMs: 30 });
    const busy = codeOf(made.request({ params: params() }));
    const late = codeOf(made.request({ params: params() }));
    expect(await codeOf(made.request({ params: params() }))).toBe("ERR_POSTERN_CLIENT_LIMIT");
    expect(await late).toBe("ERR_POSTERN_CLIENT_TIMEOUT");
    made.destroy();
    expect(await busy).toBe("ERR_POSTERN_CLIENT_CLOSED");
  });

  it("forgets a waiting request that is aborted", async () => {
    const application = await stub(() => {});
    const made = pool(application.connect, { maxConnections: 1 });
    const busy = codeOf(made.request({ params: params() }));
    const controller = new AbortController();
    const waiting = codeOf(made.request({ params: params(), signal: controller.signal }));
    controller.abort(new Error("left"));
    expect(await waiting).toBe("left");
    expect(made.stats.queuedRequests).toBe(0);
    made.destroy();
    await busy;
  });

  it("does not keep more idle connections than it may, nor longer", async () => {
    const application = await stub((request) => setTimeout(() => tell(request), 5));
    const made = pool(application.connect, { maxIdleConnections: 1, idleTimeoutMs: 40 });
    await Promise.all([get(made), get(made), get(made)]);
    expect(made.stats).toMatchObject({ openConnections: 1, idleConnections: 1 });
    await waitFor(() => made.stats.openConnections === 0 && application.sockets.size === 0);
  });

  it("gives the connection back when a request fails before using it", async () => {
    const application = await stub(tell);
    const made = pool(application.connect, { maxConnections: 1 });
    await get(made);
    await expect(made.request({ params: { X: "\u20ac" } })).rejects.toThrow(/U\+00FF/);
    expect(made.stats.idleConnections).toBe(1);
    expect(await get(made)).toBe("1");
  });

  it("gives the connection back when a request is aborted while it is being made", async () => {
    const application = await stub(tell);
    const made = pool(application.connect, { maxConnections: 1 });
    const controller = new AbortController();
    const asked = codeOf(made.request({ params: params(), signal: controller.signal }));
    controller.abort(new Error("left"));
    expect(await asked).toBe("left");
    expect(await get(made)).toBe("1");
  });

  it("replaces a connection the application closed while it was idle", async () => {
    const application = await stub(tell);
    const made = pool(application.connect);
    await get(made);
    for (const socket of application.sockets) socket.destroy();
    await waitFor(() => made.stats.openConnections === 0);
    expect(await get(made)).toBe("2");
  });

  it("replaces a connection that broke the protocol while it was idle", async () => {
    const application = await stub(tell);
    const made = pool(application.connect);
    await get(made);
    for (const socket of application.sockets) socket.write(rawRecord(TYPE.STDOUT, 1, "late"));
    await waitFor(() => made.stats.openConnections === 0);
    expect(await get(made)).toBe("2");
  });

  it("interleaves where it may", async () => {
    const application = await stub((request) => setTimeout(() => tell(request), 10));
    const made = pool(application.connect, { maxConnections: 1, maxRequestsPerConnection: 4 });
    expect(await Promise.all([1, 2, 3, 4, 5, 6].map(() => get(made)))).toEqual(
      Array.from({ length: 6 }, () => "1"),
    );
    expect(Math.max(...application.requests.map((request) => request.id))).toBe(4);
  });

  it("passes connection errors on, to each request", async () => {
    const made = pool("127.0.0.1:1", { maxConnections: 1 });
    const codes = await Promise.all([1, 2, 3].map(() => codeOf(made.request({ params: params() }))));
    expect(codes).toEqual(Array.from({ length: 3 }, () => "ERR_POSTERN_CONNECT"));
    expect(made.stats).toEqual({ openConnections: 0, idleConnections: 0, queuedRequests: 0 });
  });

  it("asks for values on a connection of its own", async () => {
    const application = await stub(tell, {
      onGetValues: (_names, socket) => socket.end(rawRecord(TYPE.GET_VALUES_RESULT, 0)),
    });
    const made = pool(application.connect);
    expect((await made.getValues()).maxConnections).toBeUndefined();
    expect(made.stats.openConnections).toBe(0);
  });
});

describe("a kept connection that is closed as a request crosses it", () => {
  /** Answers the first request of a connection, and hangs up on the second without a word. */
  const hangsUp = (request: StubRequest, all: readonly StubRequest[]): void => {
    const isSecond = all.filter((one) => one.connection === request.connection).length > 1;
    if (isSecond) request.socket.end();
    else tell(request);
  };
  const start = async (options?: StubOptions): Promise<Stub> => {
    const application: Stub = await stub((request) => hangsUp(request, application.requests), options);
    return application;
  };

  it.each([["GET"], ["HEAD"], ["PUT"], ["DELETE"], ["OPTIONS"]])("%s is sent once more", async (method) => {
    const application = await start();
    const made = pool(application.connect);
    await get(made);
    const response = await made.request({ params: params(method), stdin: "body" });
    await textOf(response.body);
    expect(application.requests.map((request) => request.connection)).toEqual([1, 1, 2]);
    expect(application.requests[2]!.stdin.toString()).toBe("body");
  });

  it.each<[string, string, object]>([
    ["POST", "POST", {}],
    ["a body that is read only once", "PUT", { stdin: () => Readable.from(["x"]) }],
    ["a GET after an answer that was begun", "GET", { begin: true }],
  ])("%s is not", async (_name, method, { stdin, begin }: { stdin?: () => Readable; begin?: boolean }) => {
    const application: Stub = await stub((request) => {
      if (application.requests.length === 1) tell(request);
      else {
        if (begin === true) request.stderr("x");
        request.socket.end();
      }
    });
    const made = pool(application.connect);
    await get(made);
    const asked = made.request({ params: params(method), stdin: stdin?.() });
    expect(await codeOf(asked)).toBe("ERR_POSTERN_RESPONSE_CUT");
    expect(application.requests).toHaveLength(2);
  });

  it("parameters from a generator are not sent twice", async () => {
    const application = await start();
    const made = pool(application.connect);
    await get(made);
    const once = (function* (): Generator<[string, string]> {
      yield ["REQUEST_METHOD", "GET"];
    })();
    expect(await codeOf(made.request({ params: once }))).toBe("ERR_POSTERN_RESPONSE_CUT");
  });

  it("a second failure is final", async () => {
    const application: Stub = await stub((request) => {
      if (application.requests.length === 1) tell(request);
      else request.socket.end();
    });
    const made = pool(application.connect);
    await get(made);
    expect(await codeOf(made.request({ params: params() }))).toBe("ERR_POSTERN_RESPONSE_CUT");
    expect(application.requests).toHaveLength(3);
  });

  it("a request on a new connection is not repeated", async () => {
    const application = await stub((request) => request.socket.end());
    expect(await codeOf(pool(application.connect).request({ params: params() }))).toBe(
      "ERR_POSTERN_RESPONSE_CUT",
    );
    expect(application.requests).toHaveLength(1);
  });
});

describe("closing a pool", () => {
  it("finishes what is open and what waits, and refuses what comes", async () => {
    const application = await stub((request) => setTimeout(() => tell(request), 10));
    const made = pool(application.connect, { maxConnections: 1 });
    const all = [get(made), get(made)];
    const closed = made.close();
    expect(await codeOf(made.request({ params: params() }))).toBe("ERR_POSTERN_CLIENT_CLOSED");
    expect(await codeOf(made.getValues())).toBe("ERR_POSTERN_CLIENT_CLOSED");
    await closed;
    expect(await Promise.all(all)).toEqual(["1", "1"]);
    await waitFor(() => application.sockets.size === 0);
  });

  it("closes idle connections at once", async () => {
    const application = await stub(tell);
    {
      await using made = new ClientPool({ connect: application.connect });
      await get(made);
    }
    await waitFor(() => application.sockets.size === 0);
  });

  it("destroy fails what is open and what waits", async () => {
    const application = await stub(() => {});
    const made = pool(application.connect, { maxConnections: 1 });
    const all = [codeOf(made.request({ params: params() })), codeOf(made.request({ params: params() }))];
    await waitFor(() => application.requests.length === 1);
    made.destroy(new Error("over"));
    expect(await Promise.all(all)).toEqual(["over", "over"]);
  });
});
