/** Reading the body of a request. */
import { createHash, randomBytes } from "node:crypto";
import { expect } from "vitest";
import type { Subject } from "./subject.ts";

const MEBIBYTE = 1048576;
const BIG = randomBytes(4 * MEBIBYTE);
const CHUNKED = "Transfer-Encoding: chunked\r\nConnection: close\r\n";

export function bodyTests(subject: Subject): void {
  whole(subject);
  iterated(subject);
  flow(subject);
  answered(subject);
}

function whole(subject: Subject): void {
  subject.sees("'data' and 'end' give the whole body", "body-events", {
    request: { body: "all of the body" },
    notes: [
      [15, "all of the body"],
      [true, true, true],
    ],
  });
  subject.sees("a body of four megabytes", "body-iterated", {
    request: { body: BIG },
    notes: [BIG.length, [true, false]],
  });
  subject.sees("a request without a body ends", "body-none", { notes: ["req end", "req close", 0] });
  subject.sees("a body of length zero ends", "body-none", {
    request: { body: "" },
    notes: ["req end", "req close", 0],
  });
  subject.test("a body in chunks is whole and has no length", async () => {
    const visit = await subject.visit("body-chunked");
    const client = await visit.open("POST", CHUNKED);
    await client.send("5\r\nfirst\r\n");
    await visit.until("begun"); // nginx counts the bytes of a body that comes all at once
    await client.send("7\r\n second\r\n0\r\n\r\n");
    await client.nextResponse();
    client.close();
    expect(await visit.until("done")).toEqual(["begun", ["chunked", null], "first second", "done"]);
  });
  subject.test("trailers of a request arrive", async () => {
    const visit = await subject.visit("body-trailers");
    const client = await visit.open("POST", `Trailer: X-Sum\r\n${CHUNKED}`);
    await client.send("4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n");
    await client.nextResponse();
    client.close();
    expect(await visit.until("done")).toEqual([{ "x-sum": "1" }, "done"]);
  });
  subject.sees("setEncoding gives whole characters", "body-encoding", {
    request: { body: "€".repeat(100_000) },
    notes: [true, ["utf8", 100_000, true]],
  });
  subject.sees("setEncoding hex", "body-hex", { request: { body: "hex" }, notes: ["686578"] });
  subject.sees("stream/consumers: json", "body-consumers", {
    query: "&how=json",
    request: { body: '{"a":[1]}' },
    notes: [[true, false, false], { a: [1] }, [false, true, false]],
  });
  subject.sees("stream/consumers: text", "body-consumers", {
    query: "&how=text",
    request: { body: "grün" },
    notes: [[true, false, false], "grün", [false, true, false]],
  });
  subject.sees("stream/consumers: buffer", "body-consumers", {
    query: "&how=buffer",
    request: { body: BIG },
    notes: [[true, false, false], BIG.length, [false, true, false]],
  });
  subject.sees("Readable.toWeb makes a web stream of a request", "body-web", {
    request: { body: '{"web":true}' },
    notes: [{ web: true }],
  });
  subject.sees("the helpers of Readable work", "body-helpers", {
    request: { body: "upper" },
    notes: ["UPPER"],
  });
  subject.sees("a body piped to two streams reaches both", "body-tee", {
    request: { body: "x".repeat(300_000) },
    notes: [[300_000, 300_000]],
  });
}

function iterated(subject: Subject): void {
  for (const [name, scenario, first] of [
    ["breaking out of for await ends the request and not the response", "body-iteration-left", "left"],
    ["throwing inside for await ends the request and not the response", "body-iteration-thrown", "own"],
  ] as const) {
    subject.test(name, async () => {
      const visit = await subject.visit(scenario);
      const client = await visit.open("POST", "Content-Length: 1000\r\nConnection: close\r\n");
      await client.send("abc");
      await client.waitForText(/enough\n/);
      client.close();
      expect(await visit.until("done")).toEqual([first, [true, true, true, false], "done"]);
    });
  }
  subject.sees("an iterator that is told not to destroy does not", "body-iteration-kept", {
    request: { body: BIG },
    notes: [true, false, BIG.length],
  });
}

function flow(subject: Subject): void {
  subject.test("pause stops 'data' and resume goes on", async () => {
    const visit = await subject.visit("body-paused");
    const answer = visit.fetch({ body: BIG });
    await visit.until("paused");
    await visit.settle();
    await visit.go();
    await answer;
    expect(await visit.until("done")).toEqual([[true, false], "paused", BIG.length, "done"]);
  });
  subject.sees("'readable' and read()", "body-readable", { request: { body: BIG }, notes: [BIG.length] });
  subject.sees("read(n) gives n bytes and then the rest", "body-sized-reads", {
    request: { body: "abcdefghij" },
    notes: [["abcd", "efgh", "ij"]],
  });
  subject.sees("unshift puts back", "body-unshift", { request: { body: "put back" }, notes: ["put back"] });
  subject.sees("a body that is read late is all there", "body-late", {
    request: { body: BIG },
    notes: [false, BIG.length],
  });
  subject.sees("a slow consumer holds the upload back and gets everything", "body-slow", {
    request: { body: BIG },
    notes: [BIG.length, createHash("sha256").update(BIG).digest("hex"), true],
  });
  subject.test("an upload that is not read does not pile up in the application", async () => {
    const visit = await subject.visit("body-held");
    const answer = visit.fetch({ body: Buffer.alloc(32 * MEBIBYTE) });
    await visit.until("waiting");
    await visit.settle();
    await visit.go();
    await answer;
    expect(await visit.until("done")).toEqual(["waiting", true, 32 * MEBIBYTE, "done"]);
  });
}

function answered(subject: Subject): void {
  subject.sees("an upload that nobody reads is answered all the same", "body-unread", {
    // node:http closes one that is not kept at once behind the answer, and resets who is still sending.
    request: { body: "x".repeat(200_000), headers: { Connection: "keep-alive" } },
    text: "no thanks\n",
  });
  subject.test(
    "after an upload that nobody read the client's connection serves the next request",
    async () => {
      const visit = await subject.visit("body-unread");
      const client = await visit.open("POST", "Content-Length: 100000\r\n");
      await client.send("x".repeat(100_000));
      expect((await client.nextResponse()).body.toString()).toBe("no thanks\n");
      await client.send(`GET /go?id=none HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n`);
      expect((await client.nextResponse()).body.toString()).toBe("gone\n");
      client.close();
    },
  );
  subject.test("req.pipe(res) echoes four megabytes", async () => {
    const visit = await subject.visit("body-echo");
    const { body } = await visit.fetch({ body: BIG });
    expect(body.equals(BIG)).toBe(true);
    await visit.until("done");
  });
  subject.sees("a body can be read after the answer", "body-after-answer", {
    request: { body: "read later" },
    notes: ["read later"],
    text: "answered\n",
  });
}
