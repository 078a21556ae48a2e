/** What an http.Server was made with and listens to: classes, options, events. */
import { expect } from "vitest";
import type { Subject, Variant } from "./subject.ts";

const variant: Variant = "configured";
const REFUSED = "throws ERR_HTTP_BODY_NOT_ALLOWED";

export function configuredTests(subject: Subject): void {
  subject.sees("requests and responses are of the server's own classes", "own-class", {
    variant,
    notes: ["/S/OWN-CLASS?ID=N", ["OwnRequest", "OwnResponse"]],
    headers: { "x-class": "own" },
    text: "hello\n",
  });
  subject.sees("every 'request' listener is called", "second-listener", {
    variant,
    notes: ["second listener"],
  });
  subject.sees("'connection' tells of connections", "connections", { variant, notes: [true] });
  subject.test("joinDuplicateHeaders", async () => {
    const visit = await subject.visit("joined", variant);
    const client = await visit.open("GET", "User-Agent: a\r\nUser-Agent: b\r\nX-Dup: a\r\nX-Dup: b\r\n");
    await client.nextResponse();
    client.close();
    expect(await visit.until("done")).toEqual(["a, b", "a, b", true, "done"]);
  });
  subject.sees("rejectNonStandardBodyWrites with HEAD", "rejects-bodies", {
    variant,
    request: { method: "HEAD" },
    notes: [REFUSED, REFUSED],
  });
  subject.sees("rejectNonStandardBodyWrites with 204", "rejects-bodies", {
    variant,
    notes: [REFUSED, REFUSED],
    status: 204,
  });
  subject.test("uniqueHeaders", async () => {
    const visit = await subject.visit("unique", variant);
    const client = await visit.open("GET", "Connection: close\r\n");
    const answer = await client.nextResponse();
    client.close();
    expect([answer.header("x-unique"), answer.header("x-many")]).toEqual([["a; b"], ["a", "b"]]);
  });
  subject.sees("highWaterMark", "high-water-mark", { variant, notes: [[8192, 8192, 8192]] });
  subject.test("'checkContinue' decides whether the client is to go on", async () => {
    const visit = await subject.visit("continued", variant);
    const client = await visit.open(
      "POST",
      "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n",
    );
    await client.waitForText(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    await client.send("body");
    await client.waitForText(/ok\n/);
    client.close();
    expect(await visit.until("done")).toEqual(["server checkContinue", ["body", true, true], "done"]);
  });
  subject.test("'checkExpectation' answers every other expectation", async () => {
    const visit = await subject.visit("method", variant);
    const client = await visit.open("GET", "Expect: miracles\r\nConnection: close\r\n");
    const answer = await client.nextResponse();
    client.close();
    expect([answer.status, answer.header("x-expectation")]).toEqual([417, ["refused"]]);
    expect(visit.notes()).toEqual(["server checkExpectation miracles"]);
  });
  subject.sees(
    "captureRejections: a rejected listener is answered 500 without its headers",
    "rejects-captured",
    {
      variant,
      status: 500,
      headers: { "x-secret": undefined },
      text: "Internal Server Error",
    },
  );
  subject.test("captureRejections: a listener that rejects in the middle is cut", async () => {
    const visit = await subject.visit("rejects-captured-late", variant);
    const client = await visit.open("GET", "Connection: close\r\n");
    await visit.until("done");
    const text = await client.waitForEnd();
    client.close();
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
  });
}
