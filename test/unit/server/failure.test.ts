/** What becomes of a request when its application fails, its body is wrong, or its web server leaves. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Application } from "../../../src/adapters/app.ts";
import { fastcgi } from "../../../src/adapters/side.ts";
import type { ServerOptions } from "../../../src/server/options.ts";
import {
  abortRecord,
  beginRecord,
  PLAIN_GET,
  paramsRecords,
  rawRecord,
  stdinRecords,
  TYPE,
} from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer } from "../../support/wire.ts";

const POST = { ...PLAIN_GET, REQUEST_METHOD: "POST" };
const boom = new Error("boom\nsecond line");

describe("an application that fails before the header block", () => {
  const ways: Readonly<Record<string, Application>> = {
    "a Node listener throws": () => {
      throw boom;
    },
    "a Node listener rejects": async () => {
      throw boom;
    },
    "a fetch application throws": {
      fetch: () => {
        throw boom;
      },
    },
    "a fetch application rejects": { fetch: () => Promise.reject(boom) },
    "a raw handler throws": {
      raw: () => {
        throw boom;
      },
    },
    "a raw handler rejects": { raw: () => Promise.reject(boom) },
    "a listener of the body throws": (request: IncomingMessage, response: ServerResponse) => {
      request.on("data", () => {
        if (request.url === "/x?y") throw boom;
        response.writeHead(500).end();
      });
    },
  };
  for (const [name, application] of Object.entries(ways)) {
    it(`${name}: 500 without the reason, which both logs have`, async () => {
      await using server = await startServer(application);
      const wire = await server.connect();
      wire.send(
        beginRecord(1, { keepConn: true }),
        paramsRecords(1, { ...POST, REQUEST_URI: "/x?y", PATH_INFO: "/x", QUERY_STRING: "y" }),
      );
      // The body comes later, so that its listeners are called from the socket.
      await waitFor(() => server.server.stats.acceptedRequests === 1);
      await new Promise((resolve) => setImmediate(resolve));
      wire.send(stdinRecords(1, "body"));
      const answer = await wire.answer();
      expect(answer.head).toMatch(/^Status: 500 Internal Server Error\r\n/);
      expect(answer.body.toString()).toContain("500 Internal Server Error");
      expect(answer.stdout.toString()).not.toContain("boom");
      expect(answer.end).toEqual({ appStatus: 1, protocolStatus: 0 });
      expect(answer.stderr.toString()).toMatch(/^request \d+-\d+ POST \/x\?y: Error: boom\n$/);
      const errors = server.log.lines.filter((line) => line.level === "error");
      expect(errors).toHaveLength(1);
      expect(errors[0]!.fields).toMatchObject({ method: "POST", url: "/x?y", error: boom });
      expect(errors[0]!.fields["request"]).toMatch(/^\d+-\d+$/);
      // The connection and the server go on.
      wire.send(beginRecord(2, { keepConn: true }), paramsRecords(2, POST), stdinRecords(2, "body"));
      expect((await wire.answer(2)).head).toMatch(/^Status: 500 /);
    });
  }

  it("shows the stack in development, escaped, and never else", async () => {
    const fail = (): void => {
      throw new Error("<script>alert(1)</script>");
    };
    await using server = await startServer(fail, { development: true });
    const page = (await server.ask()).body.toString();
    expect(page).toContain("&#60;script&#62;alert(1)");
    expect(page).not.toContain("<script>");
    expect(page).toMatch(/at .*failure\.test\.ts/);
    await using production = await startServer(fail);
    expect((await production.ask()).body.toString()).not.toMatch(/script|failure\.test/);
  });

  it("escapes what it writes to the web server's error log", async () => {
    await using server = await startServer(() => {
      throw new Error("a\x1b[31mred\x00\x9b");
    });
    const { stderr } = await server.ask();
    expect(stderr.toString()).toMatch(/Error: a\\x1b\[31mred\\x00\\x9b\n$/);
  });

  it("whatever is thrown, and also when the error cannot be printed", async () => {
    for (const thrown of [undefined, null, "text", 7, Object.create(null)]) {
      for (const application of [
        () => {
          throw thrown;
        },
        () => Promise.reject(thrown),
        { fetch: () => Promise.reject(thrown) },
        { raw: () => Promise.reject(thrown) },
      ]) {
        await using server = await startServer(application);
        expect((await server.ask()).head, typeof thrown).toMatch(/^Status: 500 /);
      }
    }
  });
});

describe("a program that listens to nothing", () => {
  const uncaught: unknown[] = [];
  const note = (reason: unknown): void => void uncaught.push(reason);
  beforeEach(() => void process.on("uncaughtException", note).on("unhandledRejection", note));
  afterEach(() => {
    process.off("uncaughtException", note).off("unhandledRejection", note);
    expect(uncaught.splice(0)).toEqual([]);
  });
  const programs: Readonly<Record<string, readonly [Application, number]>> = {
    "a raw handler's stdin": [{ raw: (request) => void request.stdin.on("data", () => {}) }, 1],
    "a filter's data": [{ filter: (request) => void request.data!.on("data", () => {}) }, 3],
    "a fetch body": [{ fetch: (request) => request.body!.getReader().closed.then(() => new Response()) }, 1],
    "a Node request": [(request) => void request.resume(), 1],
  };
  for (const [name, [application, role]] of Object.entries(programs)) {
    for (const way of ["leaves", "aborts", "sends half a body"] as const) {
      it(`${name}: a client that ${way} does not end the process`, async () => {
        await using server = await startServer(application);
        const wire = await server.connect();
        wire.send(
          beginRecord(1, { role, keepConn: true }),
          paramsRecords(1, { ...POST, CONTENT_LENGTH: "10" }),
          stdinRecords(1, "12345", { open: true }),
        );
        if (role === 3) wire.send(stdinRecords(1), rawRecord(TYPE.DATA, 1, "half"));
        await waitFor(() => server.server.stats.acceptedRequests === 1);
        await new Promise((resolve) => setImmediate(resolve));
        if (way === "sends half a body") wire.send(stdinRecords(1));
        if (way === "aborts") await wire.send(abortRecord(1)).answer();
        wire.destroy();
        await server.gone();
        await new Promise((resolve) => setImmediate(resolve));
        expect(server.log.lines.filter(({ level }) => level === "error")).toEqual([]);
      });
    }
  }

  it("waiting for a body that breaks off is not a failure of the application", async () => {
    for (const application of [
      async (request: IncomingMessage) => {
        for await (const piece of request) void piece;
      },
      { fetch: async (request: Request) => new Response(await request.text()) },
      {
        raw: async (request: { stdin: AsyncIterable<Buffer> }) => {
          for await (const piece of request.stdin) void piece;
        },
      },
    ]) {
      await using server = await startServer(application as Application);
      const wire = await server.connect();
      wire.send(beginRecord(1), paramsRecords(1, POST), stdinRecords(1, "half", { open: true }));
      await waitFor(() => server.server.stats.acceptedRequests === 1);
      wire.destroy();
      await waitFor(() => server.log.text.includes("debug the application stopped"));
      expect(server.log.lines.filter(({ level }) => level !== "debug")).toEqual([]);
    }
  });
});

describe("a request that holds what none may hold", () => {
  const params = {
    "a method": { REQUEST_METHOD: "G\nT" },
    "a header": { HTTP_X: "a\nb" },
    "a URL": { REQUEST_URI: "/\x01" },
  };
  for (const [name, bad] of Object.entries(params)) {
    it(`${name}: 400 from every kind of application, also one that looks late`, async () => {
      for (const application of [
        (_request: IncomingMessage, response: ServerResponse) => void response.end("no"),
        {
          fetch: async (request: Request) => {
            await undefined;
            return new Response(request.method + request.url + [...request.headers].length);
          },
        },
        {
          raw: async (request: { method: string; url: string; headers: readonly string[] }) => {
            await undefined;
            return [request.method, request.url, request.headers];
          },
        },
      ]) {
        await using server = await startServer(application as Application);
        expect((await server.ask({ params: bad })).head).toMatch(/^Status: 400/);
        expect(server.log.text).toEqual([
          expect.stringMatching(/^warn request refused with 400: .* HTTP forbids/),
        ]);
      }
    });
  }
});

describe("a header named Status", () => {
  it("of a listener that passes on what somebody else answered does not reach the web server", async () => {
    await using server = await startServer((_request, response) => {
      response.setHeader("Status", "599 forged");
      response.setHeader("X-Status", "kept");
      response.end("ok");
    });
    const { head } = await server.ask();
    expect(head.match(/^status:.*$/gim)).toEqual(["Status: 200 OK"]);
    expect(head).toMatch(/^x-status: kept/im);
  });
});

describe("the log of a failure", () => {
  it("has the code of an error that is ours, and of no other", async () => {
    const failures: Application[] = [
      { fetch: () => "no response" as never },
      () => {
        throw Object.assign(new Error("no file"), { code: "ENOENT" });
      },
    ];
    const seen: unknown[] = [];
    for (const application of failures) {
      await using server = await startServer(application);
      expect((await server.ask()).head).toMatch(/^Status: 500 /);
      seen.push(server.log.lines.map(({ fields }) => fields["code"]));
    }
    expect(seen).toEqual([["ERR_POSTERN_BAD_APP"], [undefined]]);
  });
});

describe("a warning about the mount", () => {
  const warnings = async (
    options: ServerOptions,
    paths: readonly Record<string, string>[],
  ): Promise<unknown> => {
    await using server = await startServer((_request, response) => response.end("ok"), options);
    for (const params of paths) await server.ask({ params: { ...PLAIN_GET, ...params } });
    return server.log.lines.map(({ fields, message }) => [fields["rule"], /"([^"]*)"/.exec(message)?.[1]]);
  };

  it("is logged once per kind, not once per URL", async () => {
    const path = (one: string): Record<string, string> => ({
      REQUEST_URI: one,
      SCRIPT_NAME: "",
      PATH_INFO: one,
    });
    const rewritten = (one: string): Record<string, string> => ({ ...path(one), PATH_INFO: `/other${one}` });
    expect(await warnings({ base: "/m" }, ["/p1", "/p2", "/p3"].map(path))).toEqual([["base-added", "/p1"]]);
    const clash = { REQUEST_URI: "/mx/y", SCRIPT_NAME: "/m", PATH_INFO: "x/y" };
    expect(await warnings({}, [rewritten("/a"), clash, rewritten("/b"), clash])).toEqual([
      ["rewritten", "/a"],
      ["prefix-clash", "/mx/y"],
    ]);
  });
});

describe("an application that fails after the header block", () => {
  const ways: Readonly<Record<string, Application>> = {
    "a Node listener rejects": async (_request, response) => {
      response.writeHead(200);
      response.write("part");
      await new Promise((resolve) => setImmediate(resolve));
      throw boom;
    },
    "a Node listener destroys its response": (_request, response) => {
      response.write("part");
      setImmediate(() => response.destroy());
    },
    "a fetch body errors": {
      fetch: () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              controller.enqueue(new TextEncoder().encode("part"));
              setImmediate(() => controller.error(boom));
            },
          }),
        ),
    },
    "a raw handler rejects": {
      async raw(_request, response) {
        response.writeHead(200).stdout.write("part");
        await new Promise((resolve) => setImmediate(resolve));
        throw boom;
      },
    },
  };
  for (const [name, application] of Object.entries(ways)) {
    it(`${name}: the connection is cut without END_REQUEST, so that nobody takes the part for the whole`, async () => {
      await using server = await startServer(application);
      const wire = await server.connect();
      wire.request({ keepConn: true });
      await wire.end();
      const answer = await wire.answer();
      expect(answer.head).toMatch(/^Status: 200/);
      expect(answer.end).toBeUndefined();
      expect(answer.stdoutEnded).toBe(false);
      expect(server.log.lines.filter((line) => line.level === "error")).toHaveLength(1);
      await server.gone();
    });
  }
});

describe("a body that is not what CONTENT_LENGTH said", () => {
  const reader = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let bytes = 0;
    try {
      for await (const piece of request) bytes += (piece as Buffer).length;
      response.end(`whole ${bytes}`);
    } catch (error) {
      response.end(`cut ${bytes} ${(error as NodeJS.ErrnoException).code}`);
    }
  };
  it("shorter: the stream fails, and the answer is 400: the application is not at fault", async () => {
    const applications: Application[] = [
      reader,
      { fetch: async (request) => new Response(await request.text()) },
      { raw: async (request, response) => response.end(Buffer.concat(await request.stdin.toArray())) },
    ];
    for (const application of applications) {
      await using server = await startServer(application);
      const answer = await server.ask({ params: { ...POST, CONTENT_LENGTH: "10" }, stdin: "12345" });
      expect(answer.head).toMatch(/^Status: 400 Bad Request\r\n/);
      expect(server.log.text).toEqual(["warn the body ended after 5 of 10 bytes"]);
    }
  });
  it("longer: the rest is dropped, with one line", async () => {
    await using server = await startServer(reader);
    const wire = await server.connect();
    wire.send(beginRecord(1), paramsRecords(1, { ...POST, CONTENT_LENGTH: "3" }));
    for (let n = 0; n < 5; n++) wire.send(rawRecord(TYPE.STDIN, 1, "12"));
    wire.send(rawRecord(TYPE.STDIN, 1));
    expect((await wire.answer()).body.toString()).toBe("whole 3");
    expect(server.log.text).toEqual(["warn the body is longer than CONTENT_LENGTH (3): the rest is dropped"]);
  });
});

describe("a web server that gives up", () => {
  /** Notes everything an application can notice. */
  const watcher =
    (seen: string[]): Application =>
    (request: IncomingMessage, response: ServerResponse) => {
      request.on("error", (error) => seen.push(`request ${(error as NodeJS.ErrnoException).code}`));
      request.on("aborted", () => seen.push("aborted"));
      response.on("close", () => seen.push(`close ${response.writableFinished}`));
      response.on("error", (error) => seen.push(`response ${error.message}`));
      fastcgi(request).signal.addEventListener("abort", () => seen.push("signal"));
      response.write("begun");
    };
  const send: Readonly<Record<string, (wire: import("../../support/wire.ts").Wire) => void>> = {
    ABORT_REQUEST: (wire) => void wire.send(abortRecord(1)),
    "a closed connection": (wire) => void wire.socket.end(),
    "a reset connection": (wire) => wire.destroy(),
  };
  for (const [name, leave] of Object.entries(send)) {
    it(`${name} reaches the application in every way it may listen`, async () => {
      const seen: string[] = [];
      await using server = await startServer(watcher(seen));
      const wire = await server.connect();
      wire.send(beginRecord(1, { keepConn: true }), paramsRecords(1, POST));
      await wire.head();
      leave(wire);
      await waitFor(() => seen.includes("signal") && seen.includes("close false"), {
        evidence: () => seen.join(),
      });
      expect(seen).toContain("request ECONNRESET");
      expect(seen.filter((line) => line === "signal")).toHaveLength(1);
      expect(seen.filter((line) => line.startsWith("close"))).toHaveLength(1);
      expect(server.server.stats.openRequests).toBe(0);
    });
  }

  it("writing to what was aborted is dropped, and its callbacks are called", async () => {
    const responses: ServerResponse[] = [];
    await using server = await startServer((_request, response) => void responses.push(response));
    const wire = await server.connect();
    wire.request({ keepConn: true });
    await waitFor(() => responses.length === 1);
    wire.send(abortRecord(1));
    expect((await wire.answer()).records.map((record) => record.name)).toEqual(["END_REQUEST"]);
    const called = new Promise((resolve) => responses[0]!.write("late", resolve));
    responses[0]!.end("later");
    await called;
    wire.request({ id: 2, keepConn: true });
    await waitFor(() => responses.length === 2);
    responses[1]!.end("in time");
    await wire.answer(2);
    expect(wire.records.filter((record) => record.id === 1)).toHaveLength(1);
  });
});

describe("after the response", () => {
  it("work goes on, and so does reading the body", async () => {
    let bytes = 0;
    let isOver = false;
    await using server = await startServer(async (request, response) => {
      response.end("thank you");
      for await (const piece of request) bytes += (piece as Buffer).length;
      isOver = true;
    });
    for (const keepConn of [true, false]) {
      bytes = 0;
      isOver = false;
      const wire = await server.connect();
      wire.send(beginRecord(1, { keepConn }), paramsRecords(1, POST), rawRecord(TYPE.STDIN, 1, "abc"));
      expect((await wire.answer()).body.toString()).toBe("thank you");
      for (let n = 0; n < 10; n++) wire.send(rawRecord(TYPE.STDIN, 1, Buffer.alloc(50_000)));
      wire.send(rawRecord(TYPE.STDIN, 1));
      await waitFor(() => isOver, {
        what: `the whole body (keepConn ${keepConn})`,
        evidence: () => `${bytes} bytes`,
      });
      expect(bytes).toBe(500_003);
      if (!keepConn) await server.gone(1);
    }
  });

  it("an error is logged and harms nothing", async () => {
    await using server = await startServer(async (_request, response) => {
      response.end("ok");
      await new Promise((resolve) => setImmediate(resolve));
      throw boom;
    });
    const wire = await server.connect();
    wire.request({ keepConn: true });
    expect((await wire.answer()).body.toString()).toBe("ok");
    await waitFor(() => server.log.lines.length === 1);
    expect(server.log.lines[0]).toMatchObject({ level: "error", fields: { error: boom } });
    wire.request({ id: 2, keepConn: true });
    expect((await wire.answer(2)).body.toString()).toBe("ok");
  });
});

describe("a logger that throws", () => {
  it("does not kill the server", async () => {
    const logger = {
      debug(): void {},
      info(): void {},
      warn(): void {
        throw new Error("disk full");
      },
      error(): void {
        throw new Error("disk full");
      },
    };
    await using server = await startServer(
      (request, response) => {
        if (request.url === "/fail") throw boom;
        response.end("ok");
      },
      { logger },
    );
    const wire = await server.connect();
    wire.socket.write("GET / HTTP/1.1\r\n\r\n");
    await wire.end();
    await server.ask({ params: { REQUEST_URI: "/fail", PATH_INFO: "/fail" } });
    expect((await server.ask()).body.toString()).toBe("ok");
    await server.gone();
  });
});
