/** Status line and head. */
import { expect } from "vitest";
import type { Subject } from "./subject.ts";

const STATUS = "throws ERR_HTTP_INVALID_STATUS_CODE";
const CHAR = "throws ERR_INVALID_CHAR";
const LENGTH = "throws ERR_HTTP_CONTENT_LENGTH_MISMATCH";

export function headTests(subject: Subject): void {
  writeHeadForms(subject);
  refused(subject);
  subject.sees("a second writeHead and a late setHeader throw", "head-twice", {
    notes: ["throws ERR_HTTP_HEADERS_SENT", "throws ERR_HTTP_HEADERS_SENT", 200],
    headers: { "x-one": "1", "x-two": undefined },
  });
  subject.sees("a status that is set late stays unsent", "head-status-late", {
    notes: [[500, true]],
    status: 200,
    text: "body ok\n",
  });
  subject.sees("statusCode and statusMessage make the status line", "head-status-message", {
    notes: [true],
    status: 418,
    statusText: "Short and Stout",
  });
  subject.sees("statusMessage is filled in when the head is sent", "head-default-message", {
    notes: ["Not Found"],
    status: 404,
    statusText: "Not Found",
  });
  subject.sees("a status without a name is unknown", "head-unknown-status", {
    notes: ["unknown"],
    status: 299,
  });
  subject.sees("an own Date is sent instead of the automatic one", "send-date", {
    notes: [true],
    headers: { date: "Thu, 01 Jan 2015 00:00:00 GMT" },
  });
  lengths(subject);
  withoutBody(subject);
  interimAndTrailers(subject);
}

function writeHeadForms(subject: Subject): void {
  subject.sees("writeHead with a status alone", "head-status", {
    notes: [true, [404, "Not Found", true]],
    status: 404,
    statusText: "Not Found",
    text: "ok\n",
  });
  subject.sees("writeHead with a reason", "head-reason", {
    notes: [[200, "Very Fine"]],
    statusText: "Very Fine",
  });
  subject.sees("writeHead with an object", "head-object", {
    notes: [[]],
    status: 201,
    headers: { "x-one": "1", "x-list": "a, b", "x-number": "7" },
  });
  subject.sees("writeHead with a reason and an object", "head-reason-object", {
    status: 202,
    statusText: "Taken",
    headers: { "x-one": "1" },
  });
  subject.sees("writeHead with undefined for a reason", "head-undefined-reason", {
    notes: ["OK"],
    headers: { "x-one": "1" },
  });
  subject.sees("writeHead with a flat array keeps duplicates", "head-flat-array", {
    notes: [[]],
    headers: { "x-one": "1", "x-two": "a, b", "set-cookie": ["c=1", "d=2"] },
  });
  subject.sees("writeHead with an array of pairs", "head-pairs", {
    headers: { "x-one": "1", "x-two": "a, b" },
  });
  subject.sees("writeHead replaces what was set, and keeps the rest", "head-merge-object", {
    notes: [{ "x-one": "head", "x-kept": "kept", "x-new": "new" }],
    headers: { "x-one": "head", "x-kept": "kept", "x-new": "new" },
  });
  subject.sees("writeHead with an array replaces what was set, and keeps the rest", "head-merge-array", {
    notes: [{ "x-one": "head", "x-kept": "kept", "x-new": "new" }],
    headers: { "x-one": "head", "x-kept": "kept", "x-new": "new" },
  });
  subject.sees("writeHead takes a status as text", "head-string-status", { notes: [203], status: 203 });
}

function refused(subject: Subject): void {
  subject.sees("writeHead refuses what is no status", "head-bad-status", {
    notes: [...Array<string>(10).fill(STATUS), false],
  });
  subject.sees("write and end refuse a statusCode that is none", "head-bad-implicit-status", {
    notes: [STATUS, STATUS],
    text: "ok\n",
  });
  subject.sees("a reason with control characters is refused", "head-bad-reason", {
    notes: [CHAR, CHAR, CHAR, CHAR],
    statusText: "Mended",
  });
  subject.sees("writeHead refuses headers with Node's codes, and nothing is sent", "head-bad-headers", {
    notes: [
      "throws ERR_INVALID_HTTP_TOKEN",
      CHAR,
      "throws ERR_HTTP_INVALID_HEADER_VALUE",
      "throws ERR_INVALID_ARG_VALUE",
      CHAR,
      false,
    ],
    text: "ok\n",
  });
}

function lengths(subject: Subject): void {
  subject.sees("an own Content-Length is sent", "own-content-length", {
    headers: { "content-length": "6" },
    text: "abcdef",
  });
  subject.sees("a body of one piece gets its length by itself", "automatic-content-length", {
    notes: [],
    headers: { "content-length": "6" },
    text: "grün\n",
  });
  subject.sees("an own Transfer-Encoding does not show in the body", "own-chunked", { text: "ab\n" });
  subject.test("a body that is shorter than announced is not taken for whole", async () => {
    const visit = await subject.visit("less-than-announced");
    const client = await visit.open("GET", "Connection: close\r\n");
    const answer = await client.nextResponse();
    client.close();
    expect([answer.status, answer.header("content-length"), answer.complete]).toEqual([200, ["100"], false]);
  });
  subject.sees("strictContentLength holds the application to what it announced", "strict-length", {
    notes: [false, LENGTH, true, LENGTH],
    headers: { "content-length": "5" },
    text: "abcde",
  });
  subject.sees("a head of three kilobytes arrives", "big-head", { headers: { "x-big": "x".repeat(3000) } });
}

function withoutBody(subject: Subject): void {
  subject.sees("HEAD has the headers and no body, and write calls back", "head-method", {
    request: { method: "HEAD" },
    notes: [true, "write called back"],
    headers: { "content-length": "1000" },
    text: "",
  });
  subject.sees("204 has no body", "no-content", {
    notes: [true],
    status: 204,
    headers: { "x-one": "1", "content-length": undefined, "transfer-encoding": undefined },
    text: "",
  });
  subject.sees("304 has no body", "not-modified", { status: 304, headers: { etag: '"tag"' }, text: "" });
}

function interimAndTrailers(subject: Subject): void {
  subject.sees(
    "writeContinue, writeProcessing and writeEarlyHints call back and leave the answer alone",
    "interim",
    {
      notes: [
        ["continue", "processing"],
        false,
        "throws ERR_INVALID_ARG_VALUE",
        "throws ERR_INVALID_ARG_TYPE",
      ],
      status: 200,
      headers: { "x-final": "1" },
      text: "ok\n",
    },
  );
  subject.sees("writeContinue without an Expect is harmless", "switching-protocols", { text: "ok\n" });
  subject.sees("addTrailers is taken and checked", "trailers", {
    notes: ["undefined", "undefined", "throws ERR_INVALID_HTTP_TOKEN", CHAR],
    text: "body ok\n",
  });
  subject.test("trailers arrive behind the body", async () => {
    const visit = await subject.visit("trailers-sent");
    const client = await visit.open("GET", "Connection: close\r\n");
    await client.waitForText(/0\r\nX-Sum: 1\r\n/);
    client.close();
  });
  subject.sees("a Trailer header needs a body in chunks", "trailer-without-chunks", {
    notes: ["throws ERR_HTTP_TRAILER_INVALID"],
  });
  subject.test("a request of HTTP/1.0 is told so and gets a body without chunks", async () => {
    const visit = await subject.visit("http10");
    const client = await visit.open10();
    const text = await client.waitForEnd();
    client.close();
    expect(await visit.until("done")).toEqual([["1.0", 1, 0], [false, false], "done"]);
    expect(text.slice(text.indexOf("\r\n\r\n") + 4)).toBe("in pieces\n");
  });
}
