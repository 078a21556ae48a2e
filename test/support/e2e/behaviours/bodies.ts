/** Request bodies. */

import { expect } from "vitest";
import { connectHttp } from "../../http.ts";
import type { Echo } from "../probe.ts";
import {
  ask,
  type Behaviour,
  begin,
  type Context,
  echoOf,
  finalResponse,
  frameworkOnly,
  newId,
  patterned,
  post,
  sha256,
} from "./model.ts";

const UNSEEN = "not seen";

function expectBody(echo: Echo, body: Uint8Array): void {
  expect(echo).toMatchObject({ bodyBytes: body.length, bodySha256: sha256(body), complete: true });
}

const chunked = (...pieces: readonly Uint8Array[]): Buffer =>
  Buffer.concat([
    ...pieces.flatMap((piece) => [
      Buffer.from(`${piece.length.toString(16)}\r\n`),
      piece,
      Buffer.from("\r\n"),
    ]),
    Buffer.from("0\r\n\r\n"),
  ]);

/** A chunked body of so many bytes in pieces of 4000. */
async function sendChunked({ web, site, expected }: Context, bytes: number): Promise<string | undefined> {
  const body = patterned(bytes);
  const pieces = [];
  for (let at = 0; at < bytes; at += 4000) pieces.push(body.subarray(at, at + 4000));
  const head = `POST ${site.mount}/upload\nTransfer-Encoding: chunked`;
  const answer = await ask(web, head, chunked(...pieces)).catch((error: Error) => {
    // A server that refuses and closes while we send resets the connection, and the answer may be lost with it.
    if (expected !== undefined && /without a response head/.test(error.message)) return undefined;
    throw error;
  });
  if (answer === undefined) return expected;
  if (answer.status !== 200) return String(answer.status);
  return expectUnannounced(echoOf(answer), body, expected);
}

/** A body whose length the web server may not have said: not every framework in Python looks for such a one. */
function expectUnannounced(echo: Echo, body: Uint8Array, expected: string | undefined): string | undefined {
  if (expected === UNSEEN && echo.bodyBytes === 0 && echo.headers["content-length"] === undefined)
    return UNSEEN;
  expectBody(echo, body);
  return undefined;
}

export const bodyBehaviours: readonly Behaviour[] = [
  {
    name: "bodies: with a length, byte for byte",
    async test(context) {
      const body = Buffer.from(Array.from({ length: 70_000 }, (_, at) => at % 256));
      const echo = echoOf(await post(context, "/upload", body, "Content-Type: application/x-bytes"));
      expectBody(echo, body);
      expect(echo.headers).toMatchObject({
        "content-type": "application/x-bytes",
        "content-length": "70000",
      });
      return undefined;
    },
  },
  {
    name: "bodies: chunked, of 11 bytes",
    test: (context) => sendChunked(context, 11),
  },
  {
    name: "bodies: chunked, of 400 KB",
    test: (context) => sendChunked(context, 400_000),
  },
  {
    name: "bodies: chunked and slow",
    async test({ web, site, expected }) {
      const client = await begin(web, `POST ${site.mount}/upload\nTransfer-Encoding: chunked`);
      await client.send("5\r\nhello\r\n");
      // Whoever looks at the beginning alone has had the time to.
      expect((await ask(web, `GET ${site.mount}/between`)).status).toBe(200);
      await client.send("6\r\n world\r\n0\r\n\r\n").catch(() => {});
      const answer = await finalResponse(client);
      client.close();
      if (answer.status !== 200) return String(answer.status);
      return expectUnannounced(echoOf(answer), Buffer.from("hello world"), expected);
    },
  },
  {
    name: "bodies: empty",
    async test(context) {
      expectBody(echoOf(await post(context, "/upload", "")), new Uint8Array(0));
      return undefined;
    },
  },
  {
    name: "bodies: a POST without any length is one without a body",
    async test({ web, site }) {
      const answer = await ask(web, `POST ${site.mount}/upload`);
      if (answer.status !== 200) return String(answer.status);
      expectBody(echoOf(answer), new Uint8Array(0));
      return undefined;
    },
  },
  {
    name: "bodies: of a GET",
    left: ({ form }) =>
      form === "fetch" ? "a Request of the fetch standard has no body with GET" : undefined,
    async test({ web, site }) {
      const answer = await ask(web, `GET ${site.mount}/upload\nContent-Length: 5`, "hello");
      if (answer.status !== 200) return String(answer.status);
      expectBody(echoOf(answer), Buffer.from("hello"));
      return undefined;
    },
  },
  {
    name: "bodies: of DELETE",
    async test({ web, site }) {
      const answer = await ask(web, `DELETE ${site.mount}/upload\nContent-Length: 5`, "hello");
      expectBody(echoOf(answer), Buffer.from("hello"));
      return undefined;
    },
  },
  {
    name: "bodies: after Expect: 100-continue",
    async test({ web, site }) {
      const client = await begin(web, `POST ${site.mount}/upload\nContent-Length: 5\nExpect: 100-continue`);
      expect((await client.nextResponse()).status).toBe(100);
      await client.send("hello");
      expectBody(echoOf(await finalResponse(client)), Buffer.from("hello"));
      client.close();
      return undefined;
    },
  },
  {
    name: "bodies: 5 MB",
    async test(context) {
      const body = patterned(5_000_000);
      expectBody(echoOf(await post(context, "/upload", body)), body);
      return undefined;
    },
  },
  {
    name: "bodies: JSON is parsed by the framework",
    left: frameworkOnly,
    async test(context) {
      const answer = await post(
        context,
        "/framework/json",
        '{"a":[1,"é"]}',
        "Content-Type: application/json",
      );
      expect(JSON.parse(answer.body.toString())).toEqual({ got: { a: [1, "é"] } });
      return undefined;
    },
  },
  {
    name: "bodies: nobody reads it, and the answer arrives all the same",
    async test(context) {
      const before = context.probe.entries().length;
      const answer = await post(context, "/probe/unread", new Uint8Array(3_000_000));
      expect([answer.status, answer.body.toString()]).toEqual([200, "not interested"]);
      expect(
        context.probe
          .entries()
          .slice(before)
          .filter(({ level }) => level === "error"),
      ).toEqual([]);
      return undefined;
    },
  },
  {
    name: "bodies: an upload in two pieces reaches the application piece by piece",
    async test({ web, site, probe, expected }) {
      const id = newId();
      const client = await begin(web, `POST ${site.mount}/probe/watch?id=${id}\nContent-Length: 200000`);
      await client.send(new Uint8Array(100_000));
      if (expected === undefined) {
        await probe.wait("the first piece", (entry) => entry.event === "piece" && entry.id === id);
      } else {
        expect((await ask(web, `GET ${site.mount}/between`)).status).toBe(200);
      }
      const isPassed = probe.entries().some((entry) => entry.event === "piece" && entry.id === id);
      await client.send(new Uint8Array(100_000));
      expectBody(echoOf(await finalResponse(client)), new Uint8Array(200_000));
      client.close();
      return isPassed ? undefined : "collected first";
    },
  },
  {
    name: "bodies: a client that leaves in the middle of its upload leaves no request open",
    async test(context) {
      const { web, site, probe } = context;
      const client = await connectHttp(web.origin);
      await client.send(
        `POST ${site.mount}/probe/watch?id=${newId()} HTTP/1.1\r\nHost: example.com\r\nContent-Length: 200000\r\n\r\n`,
      );
      await client.send(new Uint8Array(100_000));
      client.reset();
      expectBody(echoOf(await post(context, "/upload", "next")), Buffer.from("next"));
      await probe.waitUntilIdle();
      return undefined;
    },
  },
];
