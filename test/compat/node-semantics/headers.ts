/** The header methods of ServerResponse. */
import { expect } from "vitest";
import type { Subject } from "./subject.ts";

const SENT = "throws ERR_HTTP_HEADERS_SENT";
const TOKEN = "throws ERR_INVALID_HTTP_TOKEN";
const VALUE = "throws ERR_HTTP_INVALID_HEADER_VALUE";
const CHAR = "throws ERR_INVALID_CHAR";
const TYPE = "throws ERR_INVALID_ARG_TYPE";

/** The bytes of UTF-8 as headers show them: a character each. */
function asLatin1(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

export function headerTests(subject: Subject): void {
  subject.sees("setHeader takes strings, numbers and lists, and replaces", "set-header", {
    notes: [true, ["2", 42, ["a", "b"]], true],
    headers: { "x-one": "2", "x-number": "42", "x-list": "a, b" },
  });
  subject.sees("setHeader refuses names and values with Node's codes", "set-header-refused", {
    notes: [TOKEN, TOKEN, TOKEN, TOKEN, VALUE, CHAR, CHAR, CHAR, CHAR, []],
  });
  subject.sees("setHeaders takes a Map", "set-headers-map", {
    notes: [true, { "x-map": "1", "x-many": ["a", "b"] }],
    headers: { "x-map": "1", "x-many": "a, b" },
  });
  subject.sees("setHeaders takes Headers and keeps every cookie, and nothing else", "set-headers-headers", {
    notes: [["a=1", "b=2"], TYPE, TYPE, TYPE],
    headers: { "x-web": "1", "set-cookie": ["a=1", "b=2"] },
  });
  subject.sees("appendHeader makes a list", "append-header", {
    notes: [true, ["a", "b", "c", "d"], TOKEN, CHAR, VALUE],
    headers: { "x-append": "a, b, c, d" },
  });
  subject.sees(
    "getHeaders, getHeaderNames, getRawHeaderNames and hasHeader tell what is set",
    "get-headers",
    {
      notes: [
        { "x-one": "1", "content-type": "text/plain", "set-cookie": ["a=1", "b=2"] },
        true,
        ["x-one", "content-type", "set-cookie"],
        ["X-One", "Content-Type", "Set-Cookie"],
        [true, false],
        TYPE,
        TYPE,
      ],
    },
  );
  subject.sees("removeHeader removes", "remove-header", {
    notes: ["undefined", ["x-two"], TYPE],
    headers: { "x-one": undefined, "x-two": "2" },
  });
  subject.sees(
    "removeHeader of Date, Content-Length and Transfer-Encoding keeps them away",
    "remove-automatic",
    {
      notes: [false],
      text: "no framing asked for\n",
      headers: { "content-length": undefined },
    },
  );
  subject.sees("every header method throws once the head is sent", "after-sent", {
    notes: [false, true, SENT, SENT, SENT, SENT, SENT, ["1", true, ["x-before"]], "undefined"],
    headers: { "x-before": "1", "x-after": undefined },
    text: "ok\n",
  });
  subject.test("flushHeaders sends the head before there is a body", async () => {
    const visit = await subject.visit("flush-headers");
    const client = await visit.open("GET", "Connection: close\r\n");
    expect(await client.waitForText(/\r\nx-flushed: yes\r\n(?:.+\r\n)*\r\n/i)).toBeTruthy();
    expect(client.text()).not.toContain("body after the head");
    await visit.go();
    const answer = await client.nextResponse();
    client.close();
    expect(answer.body.toString()).toBe("body after the head\n");
    expect(await visit.until("done")).toEqual(["undefined", [true, false], "done"]);
  });
  subject.sees("every Set-Cookie arrives as a header of its own", "cookies", {
    notes: [["a=1; Path=/", "b=2; HttpOnly", "c=3"]],
    headers: { "set-cookie": ["a=1; Path=/", "b=2; HttpOnly", "c=3"] },
  });
  subject.sees("header values are latin1, with tabs and spaces as written", "header-bytes", {
    headers: { "x-latin1": "\u00e9\u00ff", "x-tab": "a\tb", "x-empty": "", "x-spaces": "a  b" },
  });
  subject.sees("a header keeps its bytes when the body is UTF-8", "header-utf8", {
    headers: { "x-name": asLatin1("Grüße") },
    text: "Grüße €\n",
  });
  subject.sees("a head that leaves with text is UTF-8, as the text", "header-with-text", {
    headers: { "x-name": asLatin1("Grüße") },
    text: "text\n",
  });
  subject.sees("a head that leaves with latin1 text is latin1", "header-with-latin1", {
    headers: { "x-name": "Grüße" },
    text: "text\n",
  });
  subject.sees("a head that leaves with the first chunk of many is latin1", "header-with-chunk", {
    headers: { "x-name": "Grüße" },
    text: "text\n",
  });
  subject.sees("a head that leaves alone is UTF-8 too", "header-flushed", {
    headers: { "x-name": asLatin1("Grüße") },
    text: "text\n",
  });
  subject.sees("a file name in Content-Disposition keeps its bytes", "disposition", {
    headers: { "content-disposition": `attachment; filename="${asLatin1("Grüße €.txt")}"` },
    text: "ok\n",
  });
  subject.sees("a hundred headers arrive", "many-headers", {
    notes: [100],
    headers: { "x-many-0": "value 0", "x-many-99": "value 99" },
  });
  subject.test("a list of values becomes a header per value", async () => {
    const visit = await subject.visit("array-values");
    const client = await visit.open("GET", "Connection: close\r\n");
    const answer = await client.nextResponse();
    client.close();
    expect(answer.header("X-List")).toEqual(["one", "two"]);
    expect(answer.header("Vary")).toEqual(["Accept", "Cookie"]);
    expect(answer.header("Link")).toEqual(["</a>; rel=a", "</b>; rel=b"]);
  });
  subject.sees("a header named Status does not change the status", "status-header", {
    status: 200,
    text: "ok\n",
  });
  subject.sees("a Connection header can be set and read back", "connection-headers", {
    notes: ["close"],
    text: "ok\n",
  });
  subject.sees("_renderHeaders and _header are there for libraries that look", "render-headers", {
    notes: [{ "X-One": "1" }, null, "string", SENT],
  });
}
