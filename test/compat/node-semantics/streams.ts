/** Request and response among other streams. */
import { gunzipSync } from "node:zlib";
import { expect } from "vitest";
import type { Subject } from "./subject.ts";

const PREMATURE = "ERR_STREAM_PREMATURE_CLOSE";

export function streamTests(subject: Subject): void {
  piped(subject);
  pipelines(subject);
  failures(subject);
  finishing(subject);
}

function piped(subject: Subject): void {
  subject.sees("a stream piped into a response: 'pipe' and the body", "pipe", {
    notes: ["res pipe", true, true],
    text: "one two three\n",
  });
  subject.sees("two streams after each other, with end: false", "pipe-twice", {
    notes: [false],
    text: "first second third\n",
  });
  subject.sees("unpipe", "unpipe", { notes: [["unpipe", true]], text: "piped by hand\n" });
  subject.sees("a piped stream that fails leaves the response to the application", "pipe-error", {
    notes: ["SOURCE", [false, false]],
    text: "piece piece and no more\n",
  });
  subject.test("eight megabytes through pipeline", async () => {
    const visit = await subject.visit("pipe-big");
    const { body } = await visit.fetch();
    expect(body.length).toBe(8_388_608);
    expect(await visit.until("done")).toEqual([129, "done"]);
  });
  subject.test("awaiting 'drain' by hand", async () => {
    const visit = await subject.visit("drain-by-hand");
    const { body } = await visit.fetch();
    expect(body.length).toBe(4_194_304);
    expect(await visit.until("done")).toEqual([true, "done"]);
  });
  subject.sees("a web stream as the body", "from-web", { notes: ["fine"], text: "from a web stream\n" });
}

function pipelines(subject: Subject): void {
  subject.sees("pipeline into a response", "pipeline", { notes: [["fine", true]], text: "a b c\n" });
  subject.sees("pipeline with promises and a transform", "pipeline-promise", {
    notes: [true],
    text: "A B\n",
  });
  subject.sees("pipeline with a generator between request and response", "pipeline-generator", {
    request: { body: "wrapped" },
    text: "[wrapped]",
  });
  subject.sees("pipeline from request to response", "pipeline-echo", {
    request: { body: "small letters" },
    notes: [[true, true, true]],
    text: "SMALL LETTERS",
  });
  subject.test("pipeline through gzip", async () => {
    const visit = await subject.visit("pipeline-gzip");
    const { body } = await visit.fetch();
    expect(gunzipSync(body).toString()).toBe("squeezed ".repeat(1000));
    expect(await visit.until("done")).toEqual(["fine", "done"]);
  });
}

/** A request whose answer breaks off: what the client got, and what was noted. */
async function broken(subject: Subject, scenario: string): Promise<{ text: string; notes: unknown[] }> {
  const visit = await subject.visit(scenario);
  const client = await visit.open("GET", "Connection: close\r\n");
  const notes = await visit.until("done");
  const text = await client.waitForEnd();
  client.close();
  return { text, notes };
}

function failures(subject: Subject): void {
  subject.test("a pipeline that fails before the head: no answer of the application goes out", async () => {
    const { text, notes } = await broken(subject, "pipeline-error-early");
    expect(text).not.toMatch(/^HTTP\/1\.1 2/);
    expect(notes).toEqual([["SOURCE", true, false], "done"]);
  });
  subject.test("a pipeline that fails in the middle: the client sees that the body is cut", async () => {
    const visit = await subject.visit("pipeline-error-late");
    const client = await visit.open("GET", "Connection: close\r\n");
    await client.waitForText(/piece /);
    await visit.go();
    const notes = await visit.until("done");
    const text = await client.waitForEnd();
    client.close();
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
    expect(notes).toEqual([["SOURCE", true, true, false], "done"]);
  });
  subject.test("a response destroyed because its source failed is cut", async () => {
    const { text } = await broken(subject, "pipe-error-unheard");
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
  });
  subject.test("a client that leaves ends the pipeline and destroys its source", async () => {
    const visit = await subject.visit("pipeline-left");
    const client = await visit.open();
    await client.waitForText(/zzz/);
    client.reset();
    expect(await visit.until("done")).toEqual(["waiting", "source close", [PREMATURE, true], "done"]);
  });
  subject.test(
    "a client that leaves in the middle of an upload fails the pipeline that reads it",
    async () => {
      const visit = await subject.visit("pipeline-upload-left");
      const client = await visit.open("POST", "Content-Length: 1000\r\n");
      await client.send("part");
      await visit.until("waiting");
      client.reset();
      const notes = await visit.until("done");
      expect(notes).toContainEqual(["ECONNRESET", true]);
      expect(notes).toContain("sink close");
    },
  );
  subject.test("a pipeline whose end fails destroys the request", async () => {
    const visit = await subject.visit("pipeline-sink-fails");
    const client = await visit.open("POST", "Content-Length: 1000\r\n");
    await client.send("part");
    expect(await visit.until("done")).toEqual([["FULL", true], "done"]);
    client.close();
  });
}

function finishing(subject: Subject): void {
  subject.sees("finished of a request calls back without an error", "finished-request", {
    request: { body: "abc" },
    notes: ["fine"],
  });
  subject.sees("finished of a response calls back without an error", "finished-response", {
    notes: ["fine"],
  });
  subject.test("finished of a response whose client left", async () => {
    const visit = await subject.visit("finished-left");
    const client = await visit.open();
    await client.waitForText(/part/);
    client.reset();
    const notes = await visit.until("done");
    expect(notes).toContain(`res ${PREMATURE}`);
  });
  subject.test("finished of a request whose client left", async () => {
    const visit = await subject.visit("finished-left-upload");
    const client = await visit.open("POST", "Content-Length: 1000\r\n");
    await client.send("part");
    await visit.until("waiting");
    client.reset();
    expect(await visit.until("done")).toEqual(["waiting", "req ECONNRESET", "done"]);
  });
  subject.sees("finished of a response that is over", "finished-late", { notes: ["fine"] });
  subject.test("finished of a response that is destroyed", async () => {
    const { notes } = await broken(subject, "finished-destroyed");
    expect(notes).toEqual([PREMATURE, "done"]);
  });
}
