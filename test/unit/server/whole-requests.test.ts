/** The same request, cut in two at every byte: applications see no difference between input that has ended and input that will. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import { type Application, handlerFor } from "../../../src/adapters/app.ts";
import { Server } from "../../../src/server/server.ts";
import {
  answerOf,
  beginRecord,
  dataRecords,
  decodeRecords,
  type Pairs,
  paramsRecords,
  stdinRecords,
  TYPE,
} from "../../support/records.ts";
import { waitFor } from "../../support/wait.ts";
import { TestLog } from "../../support/wire.ts";

const GET = { REQUEST_METHOD: "GET", REQUEST_URI: "/", SERVER_PROTOCOL: "HTTP/1.1" };
const POST = { ...GET, REQUEST_METHOD: "POST" };
const SHORT = { ...POST, CONTENT_LENGTH: "5" };

/** A socket in memory: what is given to it arrives, and what is written to it is kept. */
class Line extends Duplex {
  readonly #written: Buffer[] = [];
  get written(): Buffer {
    return Buffer.concat(this.#written);
  }
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#written.push(Buffer.from(chunk)); // the memory is used again
    done();
  }
}

/** What an application says it saw; the last line is `done`. */
type Seen = string[];
type Case = (seen: Seen) => Application;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Serves `chunks`, each in a turn of its own, and returns everything there was to see, what the log says included. */
async function outcome(make: Case, chunks: readonly Uint8Array[], keepConn: boolean): Promise<unknown> {
  const seen: Seen = [];
  const log = new TestLog();
  const server = new Server(handlerFor(make(seen)), { bind: "unix:/never/listened/on", logger: log });
  const line = new Line();
  server.serveSocket(line, "memory");
  for (const chunk of chunks) {
    line.push(Buffer.from(chunk));
    await turn();
  }
  const isAnswered = (): boolean =>
    decodeRecords(line.written).records.some(({ type }) => type === TYPE.END_REQUEST);
  await waitFor(() => isAnswered() && seen.includes("done") && (keepConn || line.destroyed), {
    what: "the end of the request",
    evidence: () => JSON.stringify([seen, log.text, line.written.toString("latin1"), line.destroyed]),
  });
  await turn(); // for what comes too often, or too late
  const { head, body, end } = answerOf(line.written, 1);
  const wasDestroyed = line.destroyed;
  line.destroy();
  server.destroy();
  return {
    seen,
    head: head.replace(/^Date: .*$/m, "Date"),
    body: body.toString(),
    end,
    log: log.text,
    wasDestroyed,
  };
}

function node(
  seen: Seen,
  serve: (request: IncomingMessage, response: ServerResponse) => unknown,
): Application {
  return (request: IncomingMessage, response: ServerResponse): unknown => {
    seen.push(`starts ${request.complete} ${request.readableEnded}`);
    request.on("error", (error) => seen.push(`error ${(error as NodeJS.ErrnoException).code}`));
    request.on("end", () => seen.push("end"));
    request.on("close", () => seen.push(`close ${request.complete}`, "done"));
    return serve(request, response);
  };
}

async function read(seen: Seen, stream: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    let text = "";
    for await (const piece of stream) text += Buffer.from(piece).toString();
    seen.push(`read ${text}`);
  } catch (error) {
    seen.push(`fails ${(error as NodeJS.ErrnoException).code}`);
  }
}

const CASES: Readonly<Record<string, Case>> = {
  "a listener that answers at once": (seen) => node(seen, (_, response) => response.end("hello")),
  "a listener that answers later": (seen) =>
    node(seen, (_, response) => setImmediate(() => response.end("hello"))),
  "a listener that answers, then reads": (seen) =>
    node(seen, async (request, response) => {
      response.end("hello");
      await read(seen, request);
    }),
  "a listener that reads late, then answers": (seen) =>
    node(seen, async (request, response) => {
      await turn();
      await turn();
      await read(seen, request);
      response.end("hello");
    }),
  "a listener that pipes the request into the response": (seen) =>
    node(seen, (request, response) => request.pipe(response)),
  "a fetch application that answers at once": (seen) => ({
    fetch: () => {
      seen.push("done");
      return new Response("hello");
    },
  }),
  "a fetch application that reads late": (seen) => ({
    fetch: async (request) => {
      await turn();
      seen.push(`text ${await request.text()}`, "done");
      return new Response("hello");
    },
  }),
  "a raw application that reads, then answers": (seen) => ({
    raw: async (request, response) => {
      await read(seen, request.stdin);
      seen.push("done");
      response.writeHead(200).end("hello");
    },
  }),
  "a raw application that answers, then reads": (seen) => ({
    raw: async (request, response) => {
      response.writeHead(200).end("hello");
      await read(seen, request.stdin);
      seen.push("done");
    },
  }),
};

async function expectSame(make: Case, bytes: Buffer, keepConn: boolean, status = 200): Promise<void> {
  const whole = await outcome(make, [bytes], keepConn);
  expect(whole).toMatchObject({ head: expect.stringMatching(`^Status: ${status} `) });
  for (let at = 1; at < bytes.length; at++) {
    const parts = [bytes.subarray(0, at), bytes.subarray(at)];
    expect(await outcome(make, parts, keepConn), `cut at ${at}`).toEqual(whole);
  }
}

function requestBytes(params: Pairs, keepConn: boolean, stdin = ""): Buffer {
  return Buffer.concat([beginRecord(1, { keepConn }), paramsRecords(1, params), stdinRecords(1, stdin)]);
}

describe("a request without a body", () => {
  for (const [name, make] of Object.entries(CASES)) {
    it(`is the same to ${name}, however it is cut`, async () => {
      for (const keepConn of [true, false]) await expectSame(make, requestBytes(POST, keepConn), keepConn);
    });
  }

  it("is the same to a filter, however it is cut", async () => {
    const make: Case = (seen) => ({
      filter: async (request, response) => {
        await read(seen, request.stdin);
        await read(seen, request.data!);
        seen.push("done");
        response.writeHead(200).end("filtered");
      },
    });
    const bytes = Buffer.concat([
      beginRecord(1, { role: 3, keepConn: true }),
      paramsRecords(1, GET),
      stdinRecords(1),
      dataRecords(1, "file"),
    ]);
    await expectSame(make, bytes, true);
  });

  it("leaves nothing to look at in the next turn once it is answered", async () => {
    const immediates = (): number =>
      process.getActiveResourcesInfo().filter((kind) => kind === "Immediate").length;
    let [before, after] = [0, 0];
    const make: Case = (seen) => ({
      raw: (_request, response) => {
        before = immediates();
        response.writeHead(200).end("hello");
        after = immediates();
        seen.push("done");
      },
    });
    await outcome(make, [requestBytes(GET, true)], true);
    expect(after).toBe(before);
    await outcome(make, [requestBytes(POST, true, "body").subarray(0, -8)], true);
    expect(after).toBe(before + 1); // which shows that it can be seen
  });
});

describe("a body that was announced and did not come", () => {
  it("is reported once, behind the handler, and answered with 400", async () => {
    const late: Case = (seen) =>
      node(seen, async (request, response) => {
        await read(seen, request);
        response.end("hello");
      });
    const found = (await outcome(late, [requestBytes(SHORT, true)], true)) as { seen: Seen; log: string[] };
    expect(found).toMatchObject({
      head: expect.stringMatching(/^Status: 400/),
      log: ["warn the body ended after 0 of 5 bytes"],
    });
    expect(found.seen[0]).toBe("starts false false");
    await expectSame(late, requestBytes(SHORT, true), true, 400);
  });

  it("is reported once to an application that has answered without it", async () => {
    const early = CASES["a listener that answers at once"]!;
    const found = await outcome(early, [requestBytes(SHORT, true)], true);
    expect(found).toMatchObject({ body: "hello", log: ["warn the body ended after 0 of 5 bytes"] });
  });
});
