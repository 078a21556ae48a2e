/** Bodies on their way in. */
import { createHash, randomBytes } from "node:crypto";
import { expect } from "vitest";
import type { RequestOptions } from "../../support/http.ts";
import type { Subject } from "./subject.ts";

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");
/** More than all the sockets and buffers on the way hold. */
const LARGE = 50 * 1024 * 1024;

export function bodyTests(subject: Subject): void {
  const text = async (scenario: string, options?: RequestOptions): Promise<string> => {
    const visit = await subject.visit(scenario);
    return (await visit.fetch(options)).text;
  };
  const json = async (scenario: string, options?: RequestOptions): Promise<unknown> =>
    JSON.parse(await text(scenario, options));

  subject.test("is null for GET", async () => {
    expect(await json("body/null")).toEqual([null, false]);
  });

  subject.test("of no bytes reads as nothing", async () => {
    expect(await json("body/empty", { body: "" })).toEqual(["", true]);
  });

  subject.test("is read as text, in UTF-8", async () => {
    const visit = await subject.visit("body/text");
    const answer = await visit.fetch({ body: "text é ☃" });
    expect([answer.text, answer.headers["x-used"]]).toEqual(["text é ☃", "true"]);
  });

  subject.test("is read as JSON", async () => {
    const headers = { "Content-Type": "application/json" };
    expect(await json("body/json", { body: '{"a":[1,"é"]}', headers })).toEqual({ a: [1, "é"] });
  });

  subject.test("that is not JSON is a SyntaxError", async () => {
    expect(await text("body/wrong-json", { body: "{" })).toBe("SyntaxError");
  });

  subject.test("is read as ArrayBuffer", async () => {
    const body = randomBytes(100_000);
    expect(await json("body/array-buffer", { body })).toEqual([true, 100_000, sha256(body)]);
  });

  subject.test("is read as bytes", async () => {
    const body = randomBytes(100_000);
    expect(await json("body/bytes", { body })).toEqual([true, 100_000, sha256(body)]);
  });

  subject.test("is read as Blob, with its type", async () => {
    const headers = { "Content-Type": "text/x-own" };
    expect(await json("body/blob", { body: "a blob", headers })).toEqual([true, "text/x-own", 6, "a blob"]);
  });

  subject.test("is read as a form with files", async () => {
    const file = randomBytes(200_000);
    const form = new FormData();
    form.append("name", "Ünïcode ☃");
    form.append("name", "again");
    form.append("empty", "");
    form.append("file", new File([file], "ä b.bin", { type: "application/x-own" }));
    const visit = await subject.visit("body/form");
    const answer = await fetch(visit.url, { method: "POST", body: form });
    expect(await answer.json()).toEqual([
      ["name", "Ünïcode ☃"],
      ["name", "again"],
      ["empty", ""],
      ["file", "ä b.bin", "application/x-own", sha256(file)],
    ]);
  });

  subject.test("is read as a form of fields", async () => {
    const headers = { "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8" };
    expect(await json("body/form", { body: "a=1&b=%C3%A9+x&a=2", headers })).toEqual([
      ["a", "1"],
      ["b", "é x"],
      ["a", "2"],
    ]);
  });

  subject.test("that is no form is a TypeError", async () => {
    const headers = { "Content-Type": "text/plain" };
    expect(await text("body/not-a-form", { body: "a=1", headers })).toBe("TypeError");
  });

  subject.test("cannot be read, cloned or wrapped twice", async () => {
    expect(await json("body/twice", { body: "once" })).toEqual({
      failures: ["TypeError", "TypeError", "TypeError", "TypeError"],
      clone: "TypeError",
      wrapped: "TypeError",
    });
  });

  subject.test("is read by a clone as well", async () => {
    const body = "x".repeat(1_000_000);
    expect(await json("body/clone", { body })).toEqual([1_000_000, true, true, true, true]);
  });

  subject.test("streams in, however large", async () => {
    const body = Buffer.alloc(LARGE, "0123456789abcdef");
    const visit = await subject.visit("body/stream");
    const { text } = await visit.fetch({ body, timeoutMs: 40_000 });
    expect(JSON.parse(text)).toEqual([LARGE, sha256(body), true, true]);
  });

  subject.test("of unknown length streams in", async () => {
    const visit = await subject.visit("body/stream");
    const client = await visit.open("POST", "Transfer-Encoding: chunked\r\n");
    for (const piece of ["one", "two", "three"]) {
      await client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`);
    }
    await client.send("0\r\n\r\n");
    const { body } = await client.nextResponse();
    expect(JSON.parse(body.toString())).toEqual([11, sha256("onetwothree"), true, true]);
    client.close();
  });

  subject.test("can be the body of the response, while it still comes", async () => {
    const visit = await subject.visit("body/echo");
    const client = await visit.open("POST", "Transfer-Encoding: chunked\r\n");
    await client.send("5\r\nfirst\r\n");
    await client.waitForText(/first/);
    await client.send("6\r\nsecond\r\n0\r\n\r\n");
    expect((await client.nextResponse()).body.toString()).toBe("firstsecond");
    client.close();
  });

  subject.test("goes through transforming streams", async () => {
    expect(await text("body/through", { body: "to upper case: é" })).toBe("TO UPPER CASE: É");
  });

  subject.test("comes no faster than it is read", async () => {
    const visit = await subject.visit("body/slow");
    const client = await visit.open("POST", `Content-Length: ${LARGE}\r\n`);
    let isSent = false;
    const sending = client.send(Buffer.alloc(LARGE)).then(() => {
      isSent = true;
    });
    await visit.until("reading");
    for (let turn = 0; turn < 20; turn++) expect(await json("body/null")).toEqual([null, false]);
    expect(isSent).toBe(false);
    await visit.go();
    await sending;
    expect((await client.nextResponse({ timeoutMs: 30_000 })).body.toString()).toBe(String(LARGE));
    client.close();
  });

  // node:http closes a connection that is not kept at once behind the answer, and resets who is still sending.
  const KEPT = { headers: { Connection: "keep-alive" } };
  subject.test("that nobody reads does not hold up the answer", async () => {
    for (const scenario of ["body/untouched", "body/looked-at"]) {
      const visit = await subject.visit(scenario);
      const { status } = await visit.fetch({ body: Buffer.alloc(3_000_000), ...KEPT, timeoutMs: 10_000 });
      expect([scenario, status]).toEqual([scenario, 413]);
    }
  });

  subject.test("can be cancelled", async () => {
    const visit = await subject.visit("body/cancelled");
    const client = await visit.open("POST", "Content-Length: 1000000\r\n");
    client.socket.on("error", () => {});
    void client.send(Buffer.alloc(1_000_000)).catch(() => {});
    expect((await client.nextResponse()).body.toString()).toBe("enough");
    client.close();
  });

  subject.test("that is cut off is an error", async () => {
    const visit = await subject.visit("body/cut");
    const client = await visit.open("POST", "Content-Length: 1000\r\n");
    await client.send("only a part");
    await visit.until("reading");
    client.reset();
    expect(await visit.until("failed true")).toEqual(["reading", "failed true"]);
  });
}
