/** How a request ends, and in which order request and response say so. */
import { expect } from "vitest";
import type { HttpConnection } from "../../support/http.ts";
import { waitFor } from "../../support/wait.ts";
import type { Subject, Visit } from "./subject.ts";

const FINE = { req: [true, false, true, true, null], res: [true, true, true, null] };
const FINISHES = ["res prefinish", "res finish", "res close"];
const ABORTED = ["req aborted", "res close", "req error ECONNRESET", "req close"];
const RESET = "ECONNRESET";

export function endingTests(subject: Subject): void {
  normal(subject);
  left(subject);
  destroyed(subject);
}

/**
 * What a request with and without a body gives. Request and response say each for itself how they end; which is first
 * to close depends on how fast the answer leaves, and on the version of Node.
 */
function both(
  subject: Subject,
  name: string,
  scenario: string,
  expected: {
    readonly req: readonly string[];
    readonly res: readonly string[];
    readonly others: readonly unknown[];
  },
): void {
  for (const body of [undefined, "abcdef"]) {
    subject.test(`${name}, ${body === undefined ? "without" : "with"} a body`, async () => {
      const visit = await subject.visit(scenario);
      const answer = await visit.fetch(body === undefined ? {} : { body });
      expect(answer.text).toBe("ok\n");
      expect(byEmitter((await visit.until("done")).slice(0, -1))).toEqual(expected);
    });
  }
}

/** Notes of the request, of the response, and the others. */
function byEmitter(notes: readonly unknown[]): Record<"req" | "res" | "others", unknown[]> {
  const of = (name: string): unknown[] => notes.filter((note) => String(note).startsWith(`${name} `));
  const [req, res] = [of("req"), of("res")];
  return { req, res, others: notes.filter((note) => !req.includes(note) && !res.includes(note)) };
}

function normal(subject: Subject): void {
  const ends = { req: ["req end", "req close"], res: FINISHES };
  both(subject, "a request that is not read ends and closes", "ends-unread", { ...ends, others: [FINE] });
  both(subject, "a request that is answered at its end ends and closes", "ends-after-reading", {
    ...ends,
    others: [FINE],
  });
  both(subject, "a request that is read first ends and closes", "ends-while-reading", {
    ...ends,
    others: ["read", FINE],
  });
  both(subject, "destroying both after the end changes nothing", "ends-once", { ...ends, others: [] });
  subject.sees("the socket closes behind the response, without an error or an abort", "socket-closes", {
    notes: ["res close", ["socket close", false, true, false, false]],
    text: "ok\n",
  });
  subject.sees("the response has no socket afterwards, the request keeps it", "socket-after", {
    notes: [[true, true, true]],
  });
}

/** Opens a request, waits until the application waits, hangs up, and gives what was noted afterwards. */
async function leave(
  subject: Subject,
  scenario: string,
  how: { readonly upload?: "part" | "whole"; readonly answered?: RegExp } = {},
): Promise<unknown[]> {
  const visit = await subject.visit(scenario);
  const client = await opened(visit, how.upload);
  await visit.until("waiting");
  if (how.answered !== undefined) await client.waitForText(how.answered);
  client.reset();
  const notes = await visit.until("done");
  return notes.slice(notes.indexOf("waiting") + 1, -1);
}

async function opened(visit: Visit, upload?: "part" | "whole"): Promise<HttpConnection> {
  if (upload === undefined) return visit.open();
  const client = await visit.open("POST", `Content-Length: ${upload === "part" ? 1000 : 6}\r\n`);
  await client.send("abcdef");
  return client;
}

function left(subject: Subject): void {
  const gone = (complete: boolean, ended = false): unknown => ({
    req: [complete, true, true, false, RESET],
    res: [true, ended, ended, null],
  });
  subject.test("a client that leaves before the answer: aborted, close, error, close", async () => {
    expect(await leave(subject, "left-unread")).toEqual([...ABORTED, gone(true)]);
  });
  subject.test("a client that leaves in the middle of its upload, which nobody reads", async () => {
    expect(await leave(subject, "left-unread", { upload: "part" })).toEqual([...ABORTED, gone(false)]);
  });
  subject.test("a client that leaves in the middle of its upload, which is read", async () => {
    expect(await leave(subject, "left-reading", { upload: "part" })).toEqual([...ABORTED, gone(false)]);
  });
  const read = { req: [true, false, true, true, null], res: [true, false, false, null] };
  subject.test("a client that leaves when its request was read: the response closes", async () => {
    const notes = await leave(subject, "left-read", { upload: "whole" });
    expect(notes.filter((note) => note !== "req close")).toEqual(["res close", read]);
  });
  subject.test(
    "a client that leaves in the middle of the answer: the response closes unfinished",
    async () => {
      const notes = await leave(subject, "left-answering", { answered: /part of it/ });
      expect(notes.filter((note) => note !== "req close")).toEqual(["res close", read]);
    },
  );
  subject.test("req.signal, where Node has it, is aborted when the client leaves", async () => {
    expect(await leave(subject, "signal-aborted")).toEqual([]);
  });
  subject.test("a client that leaves is no exception when nobody listens for errors", async () => {
    const reset = { req: [true, true, true, false, RESET], res: [true, false, false, null] };
    expect(await leave(subject, "left-unheard")).toEqual(["req aborted", "res close", reset]);
  });
  subject.test("writing after the client has left is no exception", async () => {
    expect(await leave(subject, "left-written", { answered: /part of it/ })).toEqual([
      false,
      "write ERR_STREAM_DESTROYED",
      true,
      [true, true, true],
    ]);
  });
  subject.test("ending after the client has left before the answer is no exception", async () => {
    expect(await leave(subject, "left-ended")).toEqual([true, true, [true, true, true]]);
  });
  subject.test("a client that leaves after the answer is not noticed", async () => {
    const visit = await subject.visit("left-afterwards");
    const client = await visit.open();
    await client.waitForText(/whole/);
    await visit.until("waiting");
    client.reset();
    await visit.settle();
    const { req, res, others } = byEmitter(visit.notes());
    expect([req, res, others]).toEqual([["req end", "req close"], FINISHES, ["waiting"]]);
  });
}

/** Requests what the application destroys, and gives all notes. */
async function cut(subject: Subject, scenario: string, upload?: "part" | "whole"): Promise<unknown[]> {
  const visit = await subject.visit(scenario);
  const client = await opened(visit, upload);
  const notes = await visit.until("done");
  // An error page of whatever is in front, or nothing: never an answer.
  await waitFor(() => client.ended ?? /^HTTP\/1\.1 5/.test(client.text()), {
    what: "the end of the request",
  });
  expect(client.text()).not.toMatch(/^HTTP\/1\.1 2/);
  client.close();
  return notes.slice(0, -1);
}

function destroyed(subject: Subject): void {
  const state = (complete: boolean, req: string | null, res: string | null = null): unknown => ({
    req: [complete, true, true, false, req],
    res: [true, false, false, res],
  });
  subject.test("res.destroy before the head", async () => {
    expect(await cut(subject, "destroys-response-early")).toEqual([true, ...ABORTED, state(true, RESET)]);
  });
  subject.test("res.destroy in the middle of the body: the client sees that it is cut", async () => {
    const visit = await subject.visit("destroys-response-late");
    const client = await visit.open();
    await client.waitForText(/part of it/);
    await visit.go();
    expect(await visit.until("done")).toEqual([...ABORTED, state(true, RESET), "done"]);
    const answer = await client.nextResponse();
    client.close();
    expect(answer.complete).toBe(false);
  });
  subject.test("res.destroy with an error keeps it as errored", async () => {
    const visit = await subject.visit("destroys-response-with-error");
    const client = await visit.open();
    expect(await visit.until("done")).toEqual([...ABORTED, state(true, RESET, "OWN"), "done"]);
    client.close();
  });
  subject.test("req.destroy", async () => {
    expect(await cut(subject, "destroys-request")).toEqual([
      "req aborted",
      true,
      "req close",
      "res close",
      state(true, null),
    ]);
  });
  subject.test("req.destroy with an error", async () => {
    expect(await cut(subject, "destroys-request-with-error")).toEqual([
      "req aborted",
      "req error OWN",
      "req close",
      "res close",
      state(true, "OWN"),
    ]);
  });
  subject.test("req.destroy in the middle of an upload", async () => {
    expect(await cut(subject, "destroys-request-upload", "part")).toEqual([
      "req aborted",
      "req close",
      "res close",
      state(false, null),
    ]);
  });
  subject.test("req.destroy of a request that was read leaves the response alone", async () => {
    const visit = await subject.visit("destroys-request-read");
    const answer = await visit.fetch({ body: "abcdef" });
    expect(answer.text).toBe("still here\n");
    const notes = await visit.until("done");
    expect(notes).toEqual(["req end", "req close", [false, false], ...FINISHES, FINE, "done"]);
  });
  subject.test("socket.destroy", async () => {
    expect(await cut(subject, "destroys-socket")).toEqual([
      [true, true],
      "req aborted",
      "res close",
      "socket close",
      "req error ECONNRESET",
      "req close",
      state(true, RESET),
    ]);
  });
  subject.test("destroying again and again closes once", async () => {
    expect(await cut(subject, "destroyed-twice")).toEqual(["req close", "res close"]);
  });
}
