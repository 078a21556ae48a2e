/** Secrets in records become as many x's, and nothing else changes. */
import { describe, expect, it } from "vitest";
import { Blinder, isSecretHeader, isSecretParam } from "../../../src/tools/capture/secrets.ts";
import {
  beginRecord,
  paramsRecords,
  rawRecord,
  stdinRecords,
  streamRecords,
  TYPE,
} from "../../support/records.ts";

const LONG = "s".repeat(300);

const request = Buffer.concat([
  beginRecord(1),
  beginRecord(2),
  paramsRecords(1, [
    ["HTTP_COOKIE", "id=secret"],
    ["EMPTY", ""],
    ["HTTP_AUTHORIZATION", LONG],
    ["REQUEST_URI", "/cookie"],
    ["", "nameless"],
    ["HTTP_COOKIES", "these are none"],
    ["HTTP_X_API_KEY", "key"],
  ]),
  paramsRecords(2, { REDIRECT_HTTP_AUTHORIZATION: "Basic secret", A: LONG }),
  stdinRecords(1, "HTTP_COOKIE secret in a body"),
]);

const answer = Buffer.concat([
  streamRecords(
    TYPE.STDOUT,
    1,
    "Status: 103\r\nSet-Cookie: early\r\n\r\nset-cookie: a=secret; Path=/\r\nX-A: Set-Cookie: b\nSet-Cookie: c\r\n\r\nSet-Cookie: body\r\n",
  ),
  rawRecord(3, 1, Buffer.alloc(8)),
]);

function blind(bytes: Buffer, size: number): string {
  const blinder = new Blinder();
  let text = "";
  for (let at = 0; at < bytes.length; at += size) {
    text += blinder.push(bytes.subarray(at, at + size)).toString("latin1");
  }
  return text;
}

describe("a recording without secrets", () => {
  it.each([1, 3, 7, 100_000])("has x's for them in parameters, in pieces of %i bytes", (size) => {
    const expected = request
      .toString("latin1")
      .replace("id=secret", "x".repeat(9))
      .replace(`HTTP_AUTHORIZATION${LONG}`, `HTTP_AUTHORIZATION${"x".repeat(300)}`)
      .replace("HTTP_X_API_KEYkey", "HTTP_X_API_KEYxxx")
      .replace("Basic secret", "x".repeat(12));
    expect(blind(request, size)).toBe(expected);
  });

  it.each([1, 3, 7, 100_000])("has x's for them in headers of an answer, in pieces of %i bytes", (size) => {
    const expected = answer
      .toString("latin1")
      .replace("early", "xxxxx")
      .replace("a=secret; Path=/", "xxxxxxxxx xxxxxx")
      .replace("Set-Cookie: c", "Set-Cookie: x");
    expect(blind(answer, size)).toBe(expected);
  });

  it("leaves the bytes that it was given as they are", () => {
    const before = Buffer.from(request);
    new Blinder().push(request);
    expect(request.equals(before)).toBe(true);
  });

  it("knows which names are secret", () => {
    const params = [
      "HTTP_COOKIE",
      "HTTP_PROXY_AUTHORIZATION",
      "AUTHORIZATION",
      "REDIRECT_REDIRECT_HTTP_COOKIE",
      "REMOTE_PASSWD",
    ];
    expect(params.filter(isSecretParam)).toEqual(params);
    expect(["COOKIES", "HTTP_HOST", "REMOTE_USER"].filter(isSecretParam)).toEqual([]);
    expect(["Set-Cookie", "AUTHORIZATION", "x-api-key"].every(isSecretHeader)).toBe(true);
    expect(["Location", "Set-Cookies"].some(isSecretHeader)).toBe(false);
  });
});
