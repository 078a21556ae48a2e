/** What a request says about itself. */
import { expect } from "vitest";
import type { Subject } from "./subject.ts";

export function requestTests(subject: Subject): void {
  line(subject);
  shape(subject);
  headers(subject);
  expectations(subject);
}

function line(subject: Subject): void {
  subject.test("method, url and version are those of the request line", async () => {
    const visit = await subject.visit("line", "plain", "&a=%2F%20+b&c=%C3%A9&c=&d");
    await visit.fetch();
    expect(await visit.until("done")).toEqual([
      ["GET", "/s/line?id=N&a=%2F%20+b&c=%C3%A9&c=&d"],
      ["1.1", 1, 1],
      "done",
    ]);
  });
  for (const method of ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"]) {
    subject.sees(`the method ${method} arrives`, "method", { request: { method }, notes: [method] });
  }
  subject.sees("a body comes with any method", "body-framing", {
    request: { method: "DELETE", body: "because" },
    notes: [[null, "7"], "because"],
  });
}

function shape(subject: Subject): void {
  subject.sees("a request begins as Node's does", "defaults", {
    notes: [
      [false, false, true, false, null],
      [null, null, false],
      [{}, [], {}],
      [false, null, 0, null],
      true,
      200,
      [false, false, null, true],
      [true, true],
    ],
  });
  subject.sees("complete, readableEnded and destroyed change at the end", "complete", {
    notes: [[true, true, false], true],
  });
  subject.sees("request and response are instances of Node's classes", "classes", {
    notes: [
      [true, true, true],
      [true, true, true],
      ["IncomingMessage", "ServerResponse"],
    ],
  });
  subject.sees("request, response, socket and server refer to each other", "links", {
    notes: [[true, true, true], [true, true, true], true],
  });
  subject.sees("their prototypes can be replaced", "prototypes", {
    notes: ["own request", true],
    headers: { "x-own": "1" },
    text: "said\n",
  });
  subject.sees("their methods can be wrapped", "wrapped", {
    notes: ["write", "writeHead"],
    headers: { "x-wrapped": "1" },
    text: "SMALL LETTERS\n",
  });
  subject.test("the socket says who and where", async () => {
    const visit = await subject.visit("socket");
    const port = new URL(visit.url).port;
    await visit.fetch({ headers: { "X-Port": port } });
    expect(await visit.until("done")).toEqual([
      ["127.0.0.1", "IPv4", "number"],
      ["127.0.0.1", true, "object"],
      false,
      [true, true],
      [true, true, true],
      [true, true, false, false, false, "open"],
      "done",
    ]);
  });
  subject.sees("a response can be taken off its socket and put back", "assign", {
    notes: ["throws ERR_HTTP_SOCKET_ASSIGNED", [null, null], [true, true]],
    text: "ok\n",
  });
  subject.sees("what is written without a socket waits for one", "buffered", {
    notes: [true, true],
    text: "written without a socket, sent with one\n",
  });
}

function headers(subject: Subject): void {
  subject.sees("headers are there, may be empty or hold any byte, and can be changed", "headers", {
    request: { headers: { "X-One": "1", "X-Empty": "", "X-Latin1": "\u00e9" } },
    notes: [["1", "", "\u00e9", true], true, ["by middleware", false], "/rewritten"],
  });
  const twice =
    "X-Dup: a\r\nX-Dup: b\r\nCookie: a=1\r\nCookie: b=2\r\nUser-Agent: one\r\nUser-Agent: two\r\nX-One: 1\r\n";
  const all = (name: string, scenario: string, notes: readonly unknown[]): void =>
    subject.test(name, async () => {
      const visit = await subject.visit(scenario);
      const client = await visit.open("GET", twice);
      await client.nextResponse();
      client.close();
      expect(await visit.until("done")).toEqual([...notes, "done"]);
    });
  all("headers sent twice are joined", "repeated", ["a, b", "a=1; b=2"]);
  all("of a header that may come once the first counts", "repeated-once", ["one"]);
  all("headersDistinct keeps what was sent twice apart", "distinct", [["a", "b"], ["1"], true]);
  all("headersDistinct has no prototype", "distinct-shape", [["1"], true]);
  all("rawHeaders has every pair, in order", "raw", [
    0,
    [
      ["x-dup", "a"],
      ["x-dup", "b"],
      ["x-one", "1"],
    ],
  ]);
  all("rawHeaders is a flat list of names and values", "raw-values", ["1", 0]);
  all("rawHeaders keeps names as they were written", "raw-names", [["X-Dup", "X-Dup", "X-One"]]);
  subject.test("eighty headers arrive", async () => {
    const visit = await subject.visit("header-count");
    const many = Object.fromEntries(Array.from({ length: 80 }, (_, n) => [`X-Many-${n}`, `value ${n}`]));
    await visit.fetch({ headers: many });
    expect(await visit.until("done")).toEqual([80, "value 79", "done"]);
  });
}

function expectations(subject: Subject): void {
  subject.test("a client that expects 100-continue is told to, before its body", async () => {
    const visit = await subject.visit("expects");
    const client = await visit.open(
      "POST",
      "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n",
    );
    await client.waitForText(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    await client.send("body");
    await client.waitForText(/ok\n/);
    client.close();
    expect(await visit.until("done")).toEqual(["body", "done"]);
  });
  subject.test("res knows that the client expects to be told", async () => {
    const visit = await subject.visit("expects-early");
    const client = await visit.open(
      "POST",
      "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n",
    );
    await client.send("body");
    await client.waitForText(/no need\n/);
    client.close();
    expect(await visit.until("done")).toEqual([true, "100-continue", "done"]);
  });
  subject.test("an expectation that nobody knows is answered 417 without the application", async () => {
    const visit = await subject.visit("method");
    const client = await visit.open("GET", "Expect: miracles\r\nConnection: close\r\n");
    const answer = await client.nextResponse();
    client.close();
    expect(answer.status).toBe(417);
    await visit.settle();
    expect(visit.notes()).toEqual([]);
  });
}
