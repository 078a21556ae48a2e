import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import net from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import type { PosternError } from "../../../src/base/errors.ts";
import {
  type ClientOptions,
  ClientPool,
  FastCGIClient,
  type RequestOptions,
} from "../../../src/client/index.ts";
import { encodePairs, rawRecord, TYPE } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import {
  endRecord,
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

function client(connect: string, options: Omit<ClientOptions, "connect"> = {}): FastCGIClient {
  const made = new FastCGIClient({ connect, ...options });
  open.push({ [Symbol.asyncDispose]: async () => made.destroy() });
  return made;
}

/** The code of the error a promise ends in, and its message. */
async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as PosternError).code} ${(error as Error).message}`;
  }
  throw new Error("it did not fail");
}

/** One request to an application that answers with `answer`; the whole body, or its error. */
async function ask(
  answer: (request: StubRequest) => void,
  request: Partial<RequestOptions> = {},
  options: Omit<ClientOptions, "connect"> = {},
): Promise<string> {
  const { connect } = await stub(answer);
  const response = await client(connect, options).request({ params: params(), ...request });
  const text = await textOf(response.body);
  return `${response.status} ${text}`;
}

describe.each([
  ["unix", false],
  ["TCP", true],
])("a request over %s", (_name, tcp) => {
  it("sends parameters and body, and gives head, body and end", async () => {
    const { connect } = await stub(
      (request) => {
        request.stderr("careful\n");
        request.stdout(
          `Status: 201 Made\r\nX-A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 7\r\n\r\n`,
          3,
        );
        request.stdout(`<${request.stdin.toString()}>`);
        request.eof();
        request.end(5);
      },
      { tcp },
    );
    const pieces: string[] = [];
    const made = client(connect);
    const response = await made.request({
      params: [
        ["REQUEST_METHOD", "POST"],
        ["X", "\u00e9"],
      ],
      stdin: "hello",
      onStderr: (chunk) => pieces.push(chunk.toString()),
    });
    expect([response.status, response.statusText]).toEqual([201, "Made"]);
    expect(response.headers).toEqual([
      "X-A",
      "1",
      "Set-Cookie",
      "a",
      "Set-Cookie",
      "b",
      "Content-Length",
      "7",
    ]);
    expect(response.header("x-a")).toBe("1");
    expect(response.headerValues("SET-COOKIE")).toEqual(["a", "b"]);
    expect(await textOf(response.body)).toBe("<hello>");
    expect(await response.ended).toEqual({ appStatus: 5, protocolStatus: 0 });
    expect(response.stderr).toBe("careful\n");
    expect(pieces.join("")).toBe("careful\n");
    await made.close();
  });
});

describe("the request body", () => {
  const echo = (request: StubRequest): void =>
    request.answer(`X: y\r\n\r\n${request.stdinBytes} ${request.stdin.toString("latin1", 0, 20)}`);

  it.each<[string, () => NonNullable<RequestOptions["stdin"]>, string]>([
    ["nothing", () => "", "0 "],
    ["text", () => "h\u00e9", "3 h\u00c3\u00a9"],
    ["bytes", () => Buffer.from("bytes"), "5 bytes"],
    ["a large buffer", () => Buffer.alloc(1_000_000, "x"), `1000000 ${"x".repeat(20)}`],
    ["a Readable", () => Readable.from([Buffer.from("a"), Buffer.alloc(0), "b"]), "2 ab"],
    [
      "an async iterable",
      async function* () {
        yield "a";
        yield Buffer.from("b");
      },
      "2 ab",
    ],
    ["an array of bytes", () => [Buffer.from("a"), Buffer.from("b")], "2 ab"],
    ["a web stream", () => new Blob(["web"]).stream() as unknown as AsyncIterable<Uint8Array>, "3 web"],
    ["a Readable that was paused", () => Readable.from(["a"]).pause(), "1 a"],
  ])("may be %s", async (_name, stdin, expected) => {
    expect(await ask(echo, { stdin: stdin() })).toBe(`200 ${expected}`);
  });

  it("may be a Readable that has ended already", async () => {
    const ended = Readable.from(["gone"]);
    for await (const piece of ended) expect(piece).toBe("gone");
    expect(await ask(echo, { stdin: ended })).toMatch(/^200 0/);
  });

  it.each<[string, () => NonNullable<RequestOptions["stdin"]>, RegExp]>([
    [
      "fails",
      async function* () {
        yield "a";
        throw new Error("disk on fire");
      },
      /ERR_POSTERN_ABORTED .*disk on fire/,
    ],
    [
      "gives no bytes",
      async function* () {
        yield 7 as unknown as string;
      },
      /ERR_POSTERN_ABORTED .*number/,
    ],
    ["was destroyed", () => Readable.from(["a"]).destroy(), /ERR_POSTERN_ABORTED .*closed before its end/],
  ])("that %s aborts the request", async (_name, stdin, expected) => {
    const { connect, requests } = await stub(echo, { early: false });
    expect(await failure(client(connect).request({ params: params("POST"), stdin: stdin() }))).toMatch(
      expected,
    );
    await waitFor(() => requests.every((request) => request.aborted || request.socket.destroyed));
  });

  it("of a filter is followed by its data", async () => {
    const got = await ask(
      (request) => request.answer(`X: y\r\n\r\n${request.role} ${request.stdin} ${request.data}`),
      {
        role: "filter",
        stdin: "in",
        data: Readable.from(["da", "ta"]),
      },
    );
    expect(got).toBe("200 3 in data");
  });

  it("is left alone when the answer does not wait for it", async () => {
    const { connect } = await stub((request) => request.answer("Status: 413\r\n\r\nno"), { early: true });
    const made = client(connect);
    let isPulled = 0;
    const endless = new Readable({
      read() {
        isPulled++;
        this.push(Buffer.alloc(1000));
      },
    });
    const response = await made.request({ params: params("POST"), stdin: endless });
    expect(response.status).toBe(413);
    await textOf(response.body);
    const before = isPulled;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isPulled - before).toBeLessThan(3);
    expect(endless.destroyed).toBe(false);
    expect(made.hasRoom).toBe(false); // the rest of the body would be taken for the next request
    endless.destroy();
  });
});

describe("behaviours of applications in the captures", () => {
  const head = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n";
  const answers: readonly (readonly [string, (request: StubRequest) => void, string | RegExp])[] = [
    ["noheaders", (r) => r.end(), /^ERR_POSTERN_RESPONSE_MALFORMED .*app status 0.*without a header block/],
    [
      "emptystdout",
      (r) => {
        r.eof();
        r.end();
      },
      /^ERR_POSTERN_RESPONSE_MALFORMED/,
    ],
    [
      "garbage",
      (r) => r.answer("no colon, no blank line"),
      /^ERR_POSTERN_RESPONSE_MALFORMED .*inside the header block/,
    ],
    [
      "garbage2",
      (r) => r.answer("no colon\r\n\r\nbody"),
      /^ERR_POSTERN_RESPONSE_MALFORMED .*without a colon/,
    ],
    ["blankhdr", (r) => r.answer("\r\nbody"), /^ERR_POSTERN_RESPONSE_MALFORMED .*empty/],
    ["noctype", (r) => r.answer("X: y\r\n\r\nbody"), "200 body"],
    ["badname", (r) => r.answer("X Y: z\r\n\r\nbody"), /^ERR_POSTERN_RESPONSE_MALFORMED .*token/],
    [
      "badstatus",
      (r) => r.answer("Status: abc\r\n\r\nbody"),
      /^ERR_POSTERN_RESPONSE_MALFORMED .*three-digit/,
    ],
    ["lf", (r) => r.answer("Status: 203\nX: y\n\nbody"), "203 body"],
    ["nph", (r) => r.answer("HTTP/1.1 201 Created\r\n\r\n"), /^ERR_POSTERN_RESPONSE_MALFORMED .*nph/],
    ["folded", (r) => r.answer("X: a\r\n b\r\n\r\n"), /^ERR_POSTERN_RESPONSE_MALFORMED .*fold/],
    ["die_before", (r) => r.socket.end(), /^ERR_POSTERN_RESPONSE_CUT .*closed the connection/],
    ["rst_before", (r) => r.socket.destroy(), /^ERR_POSTERN_RESPONSE_CUT/],
    [
      "die_hdr",
      (r) => {
        r.stdout("Status: 2");
        r.socket.end();
      },
      /^ERR_POSTERN_RESPONSE_CUT/,
    ],
    [
      "die_mid",
      (r) => {
        r.stdout(`${head}half`);
        r.socket.end();
      },
      /^ERR_POSTERN_RESPONSE_CUT/,
    ],
    [
      "die_mid_cl",
      (r) => {
        r.stdout("Content-Length: 9\r\n\r\nhalf");
        r.socket.end();
      },
      /^ERR_POSTERN_RESPONSE_CUT/,
    ],
    [
      "noend",
      (r) => {
        r.stdout(`${head}whole?`);
        r.eof();
        r.socket.end();
      },
      /^ERR_POSTERN_RESPONSE_CUT/,
    ],
    [
      "noend_noeof",
      (r) => {
        r.stdout(`${head}whole?`);
        r.socket.end();
      },
      /^ERR_POSTERN_RESPONSE_CUT/,
    ],
    [
      "noend, Content-Length satisfied",
      (r) => {
        r.stdout("Content-Length: 4\r\n\r\nbody");
        r.socket.end();
      },
      "200 body",
    ],
    [
      "noeof",
      (r) => {
        r.stdout(`${head}body`);
        r.end();
      },
      "200 body",
    ],
    [
      "close",
      (r) => {
        r.answer(`${head}body`);
        r.socket.end();
      },
      "200 body",
    ],
    ["overloaded", (r) => r.end(0, 2), /^ERR_POSTERN_REQUEST_REFUSED .*FCGI_OVERLOADED/],
    ["cantmpx", (r) => r.end(0, 1), /^ERR_POSTERN_REQUEST_REFUSED .*FCGI_CANT_MPX_CONN/],
    ["unknownrole", (r) => r.end(0, 3), /^ERR_POSTERN_REQUEST_REFUSED .*FCGI_UNKNOWN_ROLE/],
    [
      "overloaded_body",
      (r) => {
        r.stdout("Status: 503\r\n\r\nbusy");
        r.end(0, 2);
      },
      "503 busy",
    ],
    [
      "app1",
      (r) => {
        r.stdout(`${head}body`);
        r.end(1);
      },
      "200 body",
    ],
    ["app1_empty", (r) => r.end(1), /^ERR_POSTERN_RESPONSE_MALFORMED .*app status 1/],
    [
      "stderr_only",
      (r) => {
        r.stderr("Traceback\n  boom");
        r.end(1);
      },
      /^ERR_POSTERN_RESPONSE_MALFORMED .*stderr: Traceback\\x0a {2}boom/,
    ],
    [
      "stderr_mid",
      (r) => {
        r.stdout(`${head}a`);
        r.stderr("x");
        r.stdout("b");
        r.end();
      },
      "200 ab",
    ],
    [
      "padding",
      (r) => {
        r.stdout(head, 255);
        r.stdout("body", 1);
        r.end();
      },
      "200 body",
    ],
    [
      "tiny",
      (r) => {
        for (const character of `${head}body`) r.stdout(character);
        r.end();
      },
      "200 body",
    ],
    ["wrongid", (r) => r.raw(rawRecord(TYPE.STDOUT, r.id + 1, head)), /^ERR_POSTERN_REQUEST_ID/],
    [
      "badversion",
      (r) => r.raw(rawRecord(TYPE.STDOUT, r.id, head, 0, 2)),
      /^ERR_POSTERN_NOT_FASTCGI|^ERR_POSTERN_RECORD_VERSION/,
    ],
    [
      "badversion later",
      (r) => {
        r.stdout(head);
        r.raw(rawRecord(TYPE.STDOUT, r.id, "x", 0, 2));
      },
      /^ERR_POSTERN_RECORD_VERSION/,
    ],
    ["mgmt", (r) => r.raw(rawRecord(TYPE.GET_VALUES_RESULT, 0)), /^ERR_POSTERN_RECORD_BODY/],
    ["unk", (r) => r.raw(rawRecord(TYPE.UNKNOWN_TYPE, 0, "12345678")), /^ERR_POSTERN_RECORD_BODY/],
    [
      "afterend",
      (r) => {
        r.answer(`${head}body`);
        r.stdout("late");
      },
      "200 body",
    ],
    [
      "clshort",
      (r) => r.answer("Content-Length: 9\r\n\r\nbody"),
      /^ERR_POSTERN_RESPONSE_CUT .*announced 9 bytes and sent 4/,
    ],
    [
      "cllong",
      (r) => r.answer("Content-Length: 2\r\n\r\nbody"),
      /^ERR_POSTERN_RESPONSE_MALFORMED .*more than its Content-Length/,
    ],
    ["clbad", (r) => r.answer("Content-Length: x\r\n\r\nbody"), /^ERR_POSTERN_RESPONSE_MALFORMED/],
    [
      "two lengths",
      (r) => r.answer("Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody"),
      /^ERR_POSTERN_RESPONSE_MALFORMED/,
    ],
    ["hdr20k", (r) => r.answer(`X: ${"y".repeat(20_000)}\r\n\r\nbody`), "200 body"],
    [
      "hdr70k",
      (r) => r.answer(`X: ${"y".repeat(70_000)}\r\n\r\nbody`),
      /^ERR_POSTERN_RESPONSE_MALFORMED .*exceeds 65536/,
    ],
    [
      "hdrmany",
      (r) => r.answer(`${"X: y\r\n".repeat(1001)}\r\nbody`),
      /^ERR_POSTERN_RESPONSE_MALFORMED .*more than 1000/,
    ],
    [
      "header injection",
      (r) => r.answer("X: a\rSet-Cookie: b\r\n\r\nbody"),
      /^ERR_POSTERN_RESPONSE_MALFORMED .*control/,
    ],
    ["204 with a body", (r) => r.answer("Status: 204\r\n\r\nbody"), "204 "],
    ["304 with a body", (r) => r.answer("Status: 304\r\nContent-Length: 4\r\n\r\nbody"), "304 "],
    ["redir_abs", (r) => r.answer("Location: http://x/\r\n\r\n"), "302 "],
    ["s999", (r) => r.answer("Status: 999 Odd\r\n\r\nbody"), "999 body"],
  ];

  it.each(answers)("%s", async (_name, answer, expected) => {
    const got = await ask(answer, {}, { timeoutMs: 2000 }).catch(
      (error: PosternError) => `${error.code} ${error.message}`,
    );
    if (typeof expected === "string") expect(got).toBe(expected);
    else expect(got).toMatch(expected);
  });

  it("tinywrite: 20-byte records written one byte at a time", async () => {
    const text = `${head}${"0123456789".repeat(5)}`;
    const got = await ask(async (request) => {
      const records = [...text.matchAll(/[\s\S]{1,20}/g)].map(([piece]) =>
        rawRecord(TYPE.STDOUT, request.id, piece),
      );
      for (const byte of Buffer.concat([...records, endRecord(request.id)])) {
        request.socket.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
    });
    expect(got).toBe(`200 ${"0123456789".repeat(5)}`);
  });

  it("keepanyway: a connection that is left open although KEEP_CONN was 0 is closed by us", async () => {
    const application = await stub((request) => {
      request.stdout(`${head}body`);
      request.raw(endRecord(request.id));
    });
    const made = client(application.connect, { keepConn: false });
    const response = await made.request({ params: params() });
    expect(await textOf(response.body)).toBe("body");
    await waitFor(() => application.sockets.size === 0);
    expect(made.hasRoom).toBe(false);
  });

  it.each([["HEAD"], ["GET"]])("a body in answer to %s is given for GET only", async (method) => {
    const got = await ask((r) => r.answer("Content-Length: 4\r\n\r\nbody"), { params: params(method) });
    expect(got).toBe(method === "HEAD" ? "200 " : "200 body");
  });

  it("early103: an interim head comes first, and apart", async () => {
    const interim: unknown[] = [];
    const got = await ask(
      (r) => r.answer("Status: 103 Early Hints\r\nLink: </a.css>\r\n\r\nStatus: 200 OK\r\n\r\nbody"),
      { onInterim: (status, headers) => interim.push(status, headers) },
    );
    expect(got).toBe("200 body");
    expect(interim).toEqual([103, ["Link", "</a.css>"]]);
  });

  it("redir_local: the path of an internal redirect is told apart", async () => {
    const { connect } = await stub((r) => r.answer("Location: /other?x\r\n\r\n"));
    const response = await client(connect).request({ params: params() });
    expect([response.status, response.localRedirect]).toEqual([302, "/other?x"]);
  });

  it("what arrived before a cut can be read before the error", async () => {
    const { connect } = await stub((r) => {
      r.stdout(`${head}half`);
      r.socket.end();
    });
    const response = await client(connect).request({ params: params() });
    await waitFor(() =>
      response.ended.then(
        () => false,
        () => true,
      ),
    );
    const pieces: string[] = [];
    const error = await failure(
      (async () => {
        for await (const piece of response.body) pieces.push(String(piece));
      })(),
    );
    expect(pieces.join("")).toBe("half");
    expect(error).toMatch(/^ERR_POSTERN_RESPONSE_CUT/);
    expect(await failure(response.ended)).toMatch(/^ERR_POSTERN_RESPONSE_CUT/);
  });

  it("stderr is kept up to a limit, and counted beyond", async () => {
    const { connect } = await stub((r) => {
      r.stderr("0123456789");
      r.stderr("0123456789");
      r.answer("X: y\r\n\r\n");
    });
    const response = await client(connect, { maxStderrBytes: 12 }).request({ params: params() });
    expect(response.stderr).toBe("012345678901… (8 more bytes)");
  });
});

describe("giving up", () => {
  const hang = (): void => {};

  it("an aborted request on a kept connection is aborted at the application, and the connection is not used again", async () => {
    const application = await stub(hang, { onAbort: (request) => request.end() });
    const controller = new AbortController();
    const made = client(application.connect);
    const asked = made.request({ params: params(), signal: controller.signal });
    await waitFor(() => application.requests.length === 1);
    controller.abort(new Error("enough"));
    expect(await failure(asked)).toMatch(/enough/);
    await waitFor(() => application.requests[0]!.aborted && application.sockets.size === 0);
    expect(made.hasRoom).toBe(false);
    expect(await failure(made.request({ params: params() }))).toMatch(/^ERR_POSTERN_CLIENT_CLOSED/);
  });

  it("an application that ignores the abort loses the connection", async () => {
    const application = await stub(hang);
    const controller = new AbortController();
    const asked = client(application.connect, { abortTimeoutMs: 20 }).request({
      params: params(),
      signal: controller.signal,
    });
    await waitFor(() => application.requests.length === 1);
    controller.abort();
    await expect(asked).rejects.toThrow(/abort/);
    await waitFor(() => application.requests[0]!.aborted && application.sockets.size === 0);
  });

  it("without KEEP_CONN the connection is closed at once", async () => {
    const application = await stub(hang);
    const controller = new AbortController();
    const asked = client(application.connect, { keepConn: false }).request({
      params: params(),
      signal: controller.signal,
    });
    await waitFor(() => application.requests.length === 1);
    controller.abort();
    await expect(asked).rejects.toThrow();
    await waitFor(() => application.sockets.size === 0);
    expect(application.requests[0]!.aborted).toBe(false);
  });

  it("an abort in the middle of the body fails the body", async () => {
    const application = await stub((request) => request.stdout("X: y\r\n\r\nsome"), {
      onAbort: (request) => request.end(),
    });
    const controller = new AbortController();
    const response = await client(application.connect).request({
      params: params(),
      signal: controller.signal,
    });
    controller.abort("no error object");
    expect(await failure(textOf(response.body))).toMatch(/^ERR_POSTERN_ABORTED .*no error object/);
  });

  it("a body that is destroyed is an abort", async () => {
    const application = await stub((request) => request.stdout("X: y\r\n\r\nsome"), {
      onAbort: (request) => request.end(),
    });
    const response = await client(application.connect).request({ params: params() });
    response.body.destroy();
    await waitFor(() => application.requests[0]!.aborted && application.sockets.size === 0);
    expect(await failure(response.ended)).toMatch(/^ERR_POSTERN_ABORTED/);
  });

  it("a body that is destroyed after its end is none", async () => {
    const application = await stub((request) => request.answer("X: y\r\n\r\nsome"));
    const made = client(application.connect);
    const response = await made.request({ params: params() });
    await response.ended;
    response.body.destroy();
    expect(made.hasRoom).toBe(true);
  });

  it("a signal that has aborted already sends nothing", async () => {
    const application = await stub(hang);
    await expect(
      client(application.connect).request({ params: params(), signal: AbortSignal.abort() }),
    ).rejects.toThrow(/abort/);
    expect(application.connections).toBe(0);
  });

  it("an application that says nothing is late", async () => {
    const { connect } = await stub(hang);
    expect(await failure(client(connect, { timeoutMs: 30 }).request({ params: params() }))).toMatch(
      /^ERR_POSTERN_CLIENT_TIMEOUT no response head .* for 30 ms/,
    );
  });

  it("an application that falls silent is late; one that drips is not", async () => {
    const { connect } = await stub(async (request) => {
      request.stdout("X: y\r\n\r\n");
      for (let count = 0; count < 6; count++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        request.stdout(".");
      }
    });
    const response = await client(connect, { timeoutMs: 1500 }).request({ params: params() });
    const pieces: string[] = [];
    const error = await failure(
      (async () => {
        for await (const piece of response.body) pieces.push(String(piece));
      })(),
    );
    expect(pieces.join("")).toBe("......");
    expect(error).toMatch(/^ERR_POSTERN_CLIENT_TIMEOUT no more of the response body/);
  });

  it("a slow reader is not the application's fault", async () => {
    const { connect } = await stub((request) => {
      request.stdout("X: y\r\n\r\n");
      request.stdout(Buffer.alloc(4_000_000));
      request.end();
    });
    const response = await client(connect, { timeoutMs: 400 }).request({ params: params() });
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect((await textOf(response.body)).length).toBe(4_000_000);
  });

  it("a slow reader is not its sibling's fault either", async () => {
    const application = await stub((request) => {
      if (request.params["N"] !== "large") return;
      request.stdout("X: y\r\n\r\n");
      request.stdout(Buffer.alloc(4_000_000));
      request.end();
    });
    const made = client(application.connect, { timeoutMs: 1500, maxRequestsPerConnection: 2 });
    const quiet = made.request({ params: params() });
    const large = await made.request({ params: params("GET", { N: "large" }) });
    await new Promise((resolve) => setTimeout(resolve, 2200));
    const body = textOf(large.body);
    application.requests.find((request) => request.params["N"] === undefined)!.answer("X: y\r\n\r\nfine");
    expect((await body).length).toBe(4_000_000);
    expect(await textOf((await quiet).body)).toBe("fine");
  });

  it("a body nobody listens to does not end the process when it fails", async () => {
    const application = await stub((request) => request.stdout("X: y\r\n\r\nsome"));
    const controller = new AbortController();
    const response = await client(application.connect, { abortTimeoutMs: 1 }).request({
      params: params(),
      signal: controller.signal,
    });
    controller.abort(new Error("left"));
    expect(await failure(response.ended)).toMatch(/left/);
    await waitFor(() => response.body.closed);
    expect(response.body.errored).toMatchObject({ message: "left" });
  });

  it("destroy fails what is open", async () => {
    const application = await stub(hang);
    const made = client(application.connect);
    const asked = made.request({ params: params() });
    await waitFor(() => application.requests.length === 1);
    made.destroy(new Error("that is it"));
    expect(await failure(asked)).toMatch(/that is it/);
    await made.close();
  });

  it("destroy while connecting fails the request", async () => {
    const application = await stub(hang);
    const made = client(application.connect);
    const asked = failure(made.request({ params: params() }));
    made.destroy();
    expect(await asked).toMatch(/^ERR_POSTERN_CLIENT_CLOSED/);
    await waitFor(() => application.sockets.size === 0);
  });

  it("close waits for what is open and refuses what comes", async () => {
    const application = await stub(hang);
    const made = client(application.connect);
    const asked = made.request({ params: params() });
    await waitFor(() => application.requests.length === 1);
    const closed = made.close();
    expect(await failure(made.request({ params: params() }))).toMatch(/^ERR_POSTERN_CLIENT_CLOSED/);
    application.requests[0]!.answer("X: y\r\n\r\nbody");
    expect(await textOf((await asked).body)).toBe("body");
    await closed;
  });

  it("close without a request made no connection", async () => {
    const application = await stub(hang);
    {
      await using made = new FastCGIClient({ connect: application.connect });
      expect(made.hasRoom).toBe(true);
    }
    expect(application.connections).toBe(0);
  });
});

describe("one connection", () => {
  it("is kept for the next request", async () => {
    const application = await stub((request) => request.answer(`X: y\r\n\r\n${request.connection}`));
    const made = client(application.connect);
    for (let count = 0; count < 3; count++) {
      expect(await textOf((await made.request({ params: params() })).body)).toBe("1");
    }
    expect(application.requests.every((request) => request.keepConn && request.id === 1)).toBe(true);
  });

  it("takes one request at a time, unless told otherwise", async () => {
    const application = await stub(() => {});
    const made = client(application.connect);
    const first = failure(made.request({ params: params() }));
    expect(await failure(made.request({ params: params() }))).toMatch(/^ERR_POSTERN_TOO_MANY_REQUESTS/);
    made.destroy();
    await first;
  });

  it("interleaves requests where that is allowed", async () => {
    const waiting: StubRequest[] = [];
    const application = await stub((request) => {
      waiting.push(request);
      if (waiting.length < 3) return;
      for (const one of waiting) one.stdout("X: y\r\n\r\n");
      for (const one of [...waiting].reverse()) one.answer(`${one.params["N"]}`);
    });
    const made = client(application.connect, { maxRequestsPerConnection: 3 });
    const bodies = await Promise.all(
      ["a", "b", "c"].map(async (N) => textOf((await made.request({ params: params("GET", { N }) })).body)),
    );
    expect(bodies).toEqual(["a", "b", "c"]);
    expect(application.connections).toBe(1);
    expect(application.requests.map((request) => request.id)).toEqual([1, 2, 3]);
  });

  it("an abort leaves its siblings alone", async () => {
    const application = await stub(() => {}, { onAbort: (request) => request.end() });
    const made = client(application.connect, { maxRequestsPerConnection: 2 });
    const controller = new AbortController();
    const first = failure(made.request({ params: params("GET", { N: "1" }), signal: controller.signal }));
    const second = made.request({ params: params("GET", { N: "2" }) });
    await waitFor(() => application.requests.length === 2);
    const [one, two] = ["1", "2"].map(
      (N) => application.requests.find((request) => request.params["N"] === N)!,
    );
    controller.abort();
    await first;
    await waitFor(() => one!.aborted);
    two!.answer("X: y\r\n\r\nfine");
    expect(await textOf((await second).body)).toBe("fine");
    await waitFor(() => application.sockets.size === 0);
  });

  it("a request whose answer breaks the protocol leaves its siblings alone", async () => {
    const application = await stub(() => {}, { onAbort: (request) => request.end() });
    const made = client(application.connect, { maxRequestsPerConnection: 2 });
    const first = failure(made.request({ params: params() }));
    const second = made.request({ params: params() });
    await waitFor(() => application.requests.length === 2);
    application.requests[0]!.eof();
    application.requests[0]!.stdout("after the end");
    expect(await first).toMatch(/^ERR_POSTERN_RECORD_BODY/);
    application.requests[1]!.answer("X: y\r\n\r\nfine");
    expect(await textOf((await second).body)).toBe("fine");
  });

  it("holds a slow reader's answer in the socket, not in memory", async () => {
    const total = 64 * 1024 * 1024;
    let sent = 0;
    const application = await stub((request) => {
      request.stdout("X: y\r\n\r\n");
      const piece = Buffer.alloc(65528);
      const more = (): void => {
        while (sent < total) {
          sent += piece.length;
          if (!request.socket.write(rawRecord(TYPE.STDOUT, request.id, piece))) {
            request.socket.once("drain", more);
            return;
          }
        }
        request.end();
      };
      more();
    });
    const response = await client(application.connect).request({ params: params() });
    const before = process.memoryUsage();
    let peak = 0;
    let inFlight = 0;
    let received = 0;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(sent).toBeLessThan(2_000_000); // nobody has read yet
    for await (const piece of response.body) {
      received += (piece as Buffer).length;
      if (received % 20 === 0) await new Promise(setImmediate);
      inFlight = Math.max(inFlight, sent - received);
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before.arrayBuffers);
    }
    expect(received).toBe(sent);
    const mebi = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`;
    console.log(
      `client, slow reader: ${mebi(total)} passed, ${mebi(inFlight)} in flight, buffers grew by ${mebi(peak)} before collection`,
    );
    expect(inFlight).toBeLessThan(2_000_000);
  });

  it("reads a body only as fast as the application takes it", async () => {
    let given = 0;
    const application = await stub(() => {}, {
      early: true,
      onConnection: (socket) => setImmediate(() => socket.pause()),
    });
    const stdin = new Readable({
      highWaterMark: 65536,
      read() {
        given += 65536;
        this.push(Buffer.alloc(65536));
      },
    });
    const made = client(application.connect);
    const asked = failure(made.request({ params: params("POST"), stdin }));
    await waitFor(() => given > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(given).toBeLessThan(4_000_000);
    made.destroy();
    await asked;
    stdin.destroy();
  });
});

describe("GET_VALUES", () => {
  it("is asked and answered", async () => {
    const application = await stub(() => {}, {
      onGetValues: (_names, socket) => {
        socket.write(
          rawRecord(
            TYPE.GET_VALUES_RESULT,
            0,
            encodePairs({ FCGI_MAX_CONNS: "5", FCGI_MPXS_CONNS: "0", FCGI_MAX_REQS: "many" }),
          ),
        );
        socket.end(); // as php-fpm does
      },
    });
    expect(await client(application.connect).getValues()).toEqual({
      maxConnections: 5,
      maxRequests: undefined,
      canMultiplex: false,
    });
  });

  it("may be unknown to the application", async () => {
    const application = await stub(() => {}, {
      onGetValues: (_names, socket) => socket.write(rawRecord(TYPE.UNKNOWN_TYPE, 0, "\x09\0\0\0\0\0\0\0")),
    });
    const values = await client(application.connect).getValues();
    expect(values).toEqual({ maxConnections: undefined, maxRequests: undefined, canMultiplex: undefined });
  });

  it("has a deadline, and fails with the connection", async () => {
    const application = await stub(() => {});
    expect(await failure(client(application.connect, { timeoutMs: 20 }).getValues())).toMatch(
      /^ERR_POSTERN_CLIENT_TIMEOUT/,
    );
    const closing = await stub(() => {}, { onGetValues: (_names, socket) => socket.destroy() });
    expect(await failure(client(closing.connect).getValues())).toMatch(/^ERR_POSTERN_RESPONSE_CUT/);
  });
});

describe("connecting", () => {
  it("says what is wrong and what to do", async () => {
    const folder = temporaryFolder("no");
    const ask = (connect: string): Promise<string> =>
      failure((async () => client(connect).request({ params: params() }))());
    expect(await ask(join(folder, "none.sock"))).toMatch(
      /^ERR_POSTERN_CONNECT cannot connect to unix:.*none.sock: there is no such socket \(ENOENT\)/,
    );
    expect(await ask("127.0.0.1:1")).toMatch(
      /^ERR_POSTERN_CONNECT .*nobody listens on that port \(ECONNREFUSED\)/,
    );
    expect(await ask(`unix:/${"x".repeat(200)}`)).toMatch(/^ERR_POSTERN_ADDRESS .*longer than/);
    expect(await ask("nonsense.invalid:9")).toMatch(/^ERR_POSTERN_CONNECT .*cannot be resolved/);
  });

  it("knows a stale socket from a missing one", async () => {
    const path = join(temporaryFolder("stale"), "s.sock");
    // A child that dies without closing its listener leaves the file behind.
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(await failure(client(path).request({ params: params() }))).toMatch(
      /nobody listens on that socket any more/,
    );
  });

  it("knows what is no socket at all", async () => {
    const folder = temporaryFolder("file");
    const path = join(folder, "app.sock");
    writeFileSync(path, "");
    expect(await failure(client(path).request({ params: params() }))).toMatch(
      /^ERR_POSTERN_CONNECT cannot connect to unix:.*app.sock: that file is not a socket/,
    );
    expect(await failure(client(folder).request({ params: params() }))).toMatch(
      /: that is a directory, not a socket/,
    );
  });

  it("waits for a unix socket whose backlog is full, for a while", async () => {
    const path = join(temporaryFolder("full"), "s.sock");
    const script = `
      const server = require("net").createServer((socket) => socket.end());
      server.listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => process.stdout.write("up"));`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(child.stdout, "data");
      child.kill("SIGSTOP"); // it accepts nothing any more
      const asked = Array.from({ length: 4 }, () =>
        failure(client(path, { connectTimeoutMs: 150, timeoutMs: 1000 }).request({ params: params() })),
      );
      const late = await Promise.race(asked);
      expect(late).toMatch(
        /^ERR_POSTERN_CLIENT_TIMEOUT no connection to .* within 150 ms: its queue of new connections is full/,
      );
      const controller = new AbortController();
      const leaving = failure(client(path).request({ params: params(), signal: controller.signal }));
      controller.abort(new Error("left"));
      expect(await leaving).toMatch(/left/);
      const patient = failure(client(path, { connectTimeoutMs: 5000 }).request({ params: params() }));
      child.kill("SIGCONT");
      expect(await patient).toMatch(/^ERR_POSTERN_RESPONSE_CUT/); // connected, at last
      await Promise.all(asked);
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  });

  it("recognises an HTTP server by its answer", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as net.AddressInfo;
    const error = await failure(client(`127.0.0.1:${port}`).request({ params: params() }));
    expect(error).toMatch(/^ERR_POSTERN_NOT_FASTCGI .*speaks HTTP, not FastCGI \(record version 72/);
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    ["SSH-2.0-x\r\n", /SSH/],
    ["\x00\x06", /byte 0/],
  ])("recognises %j", async (hello, name) => {
    const server = net
      .createServer((socket) => {
        socket
          .on("error", () => {})
          .resume()
          .end(hello, "latin1");
      })
      .listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as net.AddressInfo;
    const error = await failure(client(`127.0.0.1:${port}`).request({ params: params() }));
    expect(error).toMatch(/^ERR_POSTERN_NOT_FASTCGI .*does not speak FastCGI/);
    expect(error).toMatch(name);
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    [{ connect: "fd:3" }, /ERR_POSTERN_ADDRESS .*only unix and TCP/],
    [{ connect: "9000" }, /ERR_POSTERN_ADDRESS/],
    [{ connect: "/x", timeoutMs: -1 }, /ERR_POSTERN_BAD_SETTING option timeoutMs: -1/],
    [{ connect: "/x", maxHeadBytes: 0.5 }, /ERR_POSTERN_BAD_SETTING option maxHeadBytes/],
    [{ connect: "/x", keepConn: "no" }, /ERR_POSTERN_BAD_SETTING option keepConn: "no" .* true or false/],
    [{}, /ERR_POSTERN_BAD_SETTING option connect, the address, is missing; write connect: "127.0.0.1:9000"$/],
    [
      { connect: null },
      /ERR_POSTERN_BAD_SETTING option connect: null cannot be used, .*; write connect: "127/,
    ],
    [{ connect: 9000 }, /option connect: 9000 cannot be used, .*; write connect: "127.0.0.1:9000"$/],
    [{ connect: { host: "h", port: 9 } }, /option connect: {"host":"h","port":9} .*; write connect: "h:9"$/],
    [{ connect: { path: "/s" } }, /option connect: {"path":"\/s"} .*; write connect: "unix:\/s"$/],
    [{ connect: "/x", timeout: 5 }, /client options: there is no option "timeout"; did you mean timeoutMs\?/],
    [{ port: 9000 }, /client options: there is no option "port"; write connect: "127.0.0.1:9000"/],
    [
      "unix:./q.sock",
      /client options: "unix:.\/q.sock" is not an object of options; write { connect: "unix:/,
    ],
    [
      undefined,
      /client options: undefined is not an object of options; write { connect: "127.0.0.1:9000" }$/,
    ],
  ])("refuses the options %j", async (options, expected) => {
    for (const Class of [FastCGIClient, ClientPool]) {
      expect(await failure(Promise.resolve().then(() => new Class(options as never)))).toMatch(expected);
    }
  });

  it("takes the options of a pool for a mistake, and an address that was parsed before", async () => {
    const options = { connect: "/x", maxIdleConnections: 1 };
    expect(() => new FastCGIClient(options)).toThrow(
      /client options: there is no option "maxIdleConnections"/,
    );
    await new ClientPool(options).close();
    for (const connect of [
      { kind: "unix", path: "/x" },
      { kind: "abstract", name: "x" },
      { kind: "tcp", host: "h", port: 1 },
    ] as const) {
      expect(() => new FastCGIClient({ connect })).not.toThrow();
    }
    expect(() => new FastCGIClient({ connect: { kind: "fd", fd: 3 } })).toThrow(/only unix and TCP/);
  });

  it("refuses parameters that are not bytes, and stays usable", async () => {
    const application = await stub((request) => request.answer("X: y\r\n\r\nfine"));
    const made = client(application.connect);
    await expect(made.request({ params: { X: "\u20ac" } })).rejects.toThrow(/U\+00FF/);
    expect(await textOf((await made.request({ params: params() })).body)).toBe("fine");
  });
});
