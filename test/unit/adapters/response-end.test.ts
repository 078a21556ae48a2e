/** `response.end(body)` takes a short way; nobody may be able to tell. */
import { once } from "node:events";
import { createServer, type IncomingMessage, OutgoingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { Duplex, finished } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { startServer } from "../../support/wire.ts";

/** Answers one request and returns what arrived, once the response is closed. */
async function answer(listener: (request: IncomingMessage, response: ServerResponse) => void): Promise<{
  head: string;
  body: string;
}> {
  let closed: Promise<unknown> = Promise.resolve();
  await using server = await startServer(
    createServer((request, response) => {
      closed = new Promise((resolve) => response.on("close", resolve));
      listener(request, response);
    }),
  );
  const { head, body } = await server.ask();
  await closed;
  return { head, body: String(body) };
}

describe("a response that is ended with its whole body", () => {
  it("says prefinish, finish and close, in this order and with node:http's state", async () => {
    const heard: string[] = [];
    const { head, body } = await answer((_request, response) => {
      const note = (event: string): void => {
        const { writableEnded, writableFinished, headersSent, closed, destroyed } = response;
        const has = Object.entries({ writableEnded, writableFinished, headersSent, closed, destroyed });
        const names = has.filter(([, value]) => value).map(([name]) => name);
        heard.push(`${event}: ${names.join(" ")}${response.socket === null ? "" : " socket"}`);
      };
      for (const event of ["prefinish", "finish", "close"]) response.on(event, () => note(event));
      response.end("whole");
      note("after end");
    });
    expect(head).toMatch(/^Content-Length: 5\r?$/m);
    expect(body).toBe("whole");
    expect(heard[0]).toMatch(/^prefinish: writableEnded.* headersSent socket$/);
    expect(heard[1]).toMatch(/^after end: writableEnded.* headersSent socket$/);
    expect(heard.slice(2)).toEqual([
      "finish: writableEnded writableFinished headersSent",
      "close: writableEnded writableFinished headersSent closed destroyed",
    ]);
  });

  it("calls who asks for its end later", async () => {
    const heard: string[] = [];
    await answer((_request, response) => {
      response.on("close", () => heard.push("close"));
      response.end("whole");
      response.end(() => heard.push("end")); // with an error in Node 20, as over TCP: it is finished already
    });
    expect(heard).toEqual(["end", "close"]);
  });

  it("refuses a second body", async () => {
    const heard: unknown[] = [];
    const { body } = await answer((_request, response) => {
      response.on("error", (error: NodeJS.ErrnoException) => heard.push(error.code));
      response.end("whole");
      response.end("more");
    });
    expect(body).toBe("whole");
    expect(heard).toEqual(["ERR_STREAM_WRITE_AFTER_END"]);
  });

  it.each([
    ["text", "größe", undefined, "größe"],
    ["latin1", Buffer.from("größe").toString("latin1"), "latin1", "größe"],
    ["hexadecimal text", "6162", "hex", "ab"],
    ["bytes", new Uint8Array([97, 98]), undefined, "ab"],
    ["nothing", undefined, undefined, ""],
    ["empty text", "", "utf8", ""],
  ] as const)("carries %s", async (_what, chunk, encoding, expected) => {
    const { head, body } = await answer((_request, response) => {
      response.end(chunk, encoding as BufferEncoding);
    });
    expect(body).toBe(expected);
    expect(head).toMatch(new RegExp(`^Content-Length: ${Buffer.byteLength(expected)}\r?$`, "m"));
  });

  it("has the head that writeHead was given", async () => {
    const { head, body } = await answer((_request, response) => {
      response.writeHead(404, { "X-A": "1", "content-length": 5 }).end("whole");
      expect(response.headersSent).toBe(true);
    });
    expect(head).toMatch(/^Status: 404 Not Found\r\nX-A: 1\r\ncontent-length: 5\r\nDate: /);
    expect(body).toBe("whole");
  });

  it("goes through the `end` of a prototype that an application put there", async () => {
    const { body } = await answer((_request, response) => {
      const under = Object.getPrototypeOf(response) as ServerResponse;
      const own = Object.assign(Object.create(under), {
        end(this: ServerResponse, text: string): unknown {
          return Reflect.apply(under.end, this, [`${text} and more`]);
        },
      });
      Object.setPrototypeOf(response, own as object);
      response.end("whole");
    });
    expect(body).toBe("whole and more");
  });

  it("goes through an `end` that was wrapped for all responses", async () => {
    const plainEnd = OutgoingMessage.prototype.end;
    onTestFinished(() => {
      OutgoingMessage.prototype.end = plainEnd;
    });
    OutgoingMessage.prototype.end = function (this: OutgoingMessage, ...args: unknown[]) {
      (this as ServerResponse).setHeader("X-Wrapped", "yes");
      return Reflect.apply(plainEnd, this, args) as OutgoingMessage;
    } as typeof plainEnd;
    const { head } = await answer((_request, response) => response.end("whole"));
    expect(head).toMatch(/^X-Wrapped: yes\r?$/m);
  });

  it("is seen by who looks at what the socket writes", async () => {
    let seen = "";
    await answer((_request, response) => {
      const socket = response.socket!;
      const { write } = socket;
      socket.write = ((data: string, ...rest: unknown[]) => {
        seen += data;
        return Reflect.apply(write, socket, [data, ...rest]) as boolean;
      }) as typeof write;
      response.end("whole");
    });
    expect(seen).toMatch(/Content-Length: 5\r\n\r\nwhole$/);
  });

  it("ends its request, which is closed and read to its end for whoever asks afterwards", async () => {
    let request: IncomingMessage | undefined;
    await answer((received, response) => {
      request = received;
      response.end("whole");
    });
    expect(request).toMatchObject({ complete: true, destroyed: true, closed: true, readableEnded: true });
    expect(request?.aborted).toBe(false);
    await new Promise<void>((resolve, reject) => {
      finished(request!, (error) => (error ? reject(error) : resolve()));
    });
  });

  it("ends its request aloud for who listens", async () => {
    const heard: string[] = [];
    let done: Promise<unknown> = Promise.resolve();
    await answer((request, response) => {
      for (const event of ["end", "close"]) request.on(event, () => heard.push(`request ${event}`));
      done = once(request, "close");
      response.on("close", () => heard.push("response close"));
      response.end("whole");
    });
    await done;
    // Node 26 says that the request has ended before the response is closed.
    expect(heard.filter((event) => event.startsWith("request"))).toEqual(["request end", "request close"]);
    expect(heard).toContain("response close");
  });
});

describe("the bytes of a head that is not ASCII", () => {
  /** The line of `X-Odd` as node:http itself sends it, a character for a byte. */
  async function overHttp(
    listener: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<string> {
    const server = createServer(listener);
    onTestFinished(() => void server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.setEncoding("latin1");
    let got = "";
    socket.on("data", (text: string) => {
      got += text;
    });
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await once(socket, "end");
    socket.destroy();
    return /^X-Odd:.*$/m.exec(got)?.[0].trim() ?? "";
  }

  it.each([
    ["no body", (response: ServerResponse) => response.end()],
    ["empty text", (response: ServerResponse) => response.end("")],
    ["text", (response: ServerResponse) => response.end("größe")],
    ["latin1", (response: ServerResponse) => response.end("größe", "latin1")],
    ["bytes", (response: ServerResponse) => response.end(Buffer.from("größe"))],
    ["a status without a body", (response: ServerResponse) => response.writeHead(205).end()],
    ["a body in two pieces", (response: ServerResponse) => response.end("b"), "write"],
    ["a head before the body", (response: ServerResponse) => response.end("b"), "flushHeaders"],
  ] as const)("are node:http's, with %s", async (_what, end, before?: "write" | "flushHeaders") => {
    const listener = (_request: IncomingMessage, response: ServerResponse): void => {
      response.setHeader("X-Odd", "grüße");
      if (before === "write") response.write("a");
      else if (before !== undefined) response[before]();
      end(response);
    };
    const { head } = await answer(listener);
    const line = /^X-Odd:.*$/m.exec(head)?.[0].trim() ?? "";
    expect(line).toMatch(/^X-Odd: gr/);
    expect(line).toBe(await overHttp(listener));
  });
});

describe("the socket of a request", () => {
  it("is a Duplex, also before anybody has touched its streams", async () => {
    const seen: unknown[] = [];
    await answer((request, response) => {
      const { socket } = request;
      seen.push(socket instanceof Duplex, socket.destroyed, socket.readable, socket.writable);
      seen.push(Object.hasOwn(socket, "_writableState"), socket.writableCorked, socket.writableEnded);
      seen.push(Object.hasOwn(socket, "_writableState"), socket.readableFlowing, socket.allowHalfOpen);
      response.end();
    });
    expect(seen).toEqual([true, false, true, true, false, 0, false, true, null, true]);
  });
});
