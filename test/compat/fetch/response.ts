/** Answers of every kind. */
import { expect } from "vitest";
import type { HttpAnswer, RequestOptions } from "../../support/http.ts";
import type { Subject } from "./subject.ts";

export function responseTests(subject: Subject): void {
  const get = async (scenario: string, query = "", options?: RequestOptions): Promise<HttpAnswer> =>
    (await subject.visit(`response/${scenario}`, query)).fetch(options);
  const body = (kind: string): Promise<HttpAnswer> => get("body", `&kind=${encodeURIComponent(kind)}`);

  const kinds: readonly (readonly [kind: string, body: string, type: string | undefined])[] = [
    ["string", "text é", "text/plain;charset=UTF-8"],
    ["empty", "", "text/plain;charset=UTF-8"],
    ["null", "", undefined],
    ["undefined", "", undefined],
    ["blob", "ablob", "text/x-own"],
    ["file", "a file", "text/x-own"],
    ["query", "a=1&b=%C3%A9", "application/x-www-form-urlencoded;charset=UTF-8"],
    ["stream", "a stream", undefined],
    ["generator", "one two", undefined],
    ["iterable", "one two", undefined],
    ["number", "42", "text/plain;charset=UTF-8"],
  ];
  for (const [kind, text, type] of kinds) {
    subject.test(`may be made of: ${kind}`, async () => {
      const answer = await body(kind);
      expect([answer.status, answer.text, answer.headers["content-type"]]).toEqual([200, text, type]);
    });
  }
  for (const kind of ["buffer", "typed array", "data view"]) {
    subject.test(`may be made of: ${kind}`, async () => {
      expect([...(await body(kind)).body]).toEqual([0, 255, 10, 13]);
    });
  }
  subject.test("may be made of: wide array", async () => {
    expect((await body("wide array")).text).toBe("AABB");
  });
  subject.test("may be made of: form", async () => {
    const visit = await subject.visit("response/body", "&kind=form");
    const form = await (await fetch(visit.url)).formData();
    expect(form.get("name")).toBe("Ünïcode");
    const file = form.get("file") as File;
    expect([file.name, file.type, await file.text()]).toEqual(["a.txt", "text/x-own", "content"]);
  });

  subject.test("keeps the bytes it was given when their memory is used again", async () => {
    expect((await get("reused-memory")).text).toBe("ABC");
  });

  subject.test("may be JSON", async () => {
    const answer = await get("json");
    expect([answer.status, answer.text, answer.headers["content-type"], answer.headers["x-own"]]).toEqual([
      201,
      '{"a":[1,"é"]}',
      "application/json",
      "1",
    ]);
    expect((await get("typed-json")).headers["content-type"]).toBe("application/problem+json");
  });

  subject.test("may be a redirect", async () => {
    const visit = await subject.visit("response/redirect");
    const { status, headers } = await visit.fetch();
    expect([status, headers.location]).toEqual([307, `${new URL(visit.url).origin}/elsewhere?a=b`]);
  });

  subject.test("cannot be Response.error()", async () => {
    expect((await get("error")).status).toBe(500);
  });

  subject.test("may be of a class derived from Response", async () => {
    const answer = await get("class");
    expect([answer.status, answer.text]).toEqual([202, "own"]);
  });

  subject.test("is a Response in every respect", async () => {
    expect(JSON.parse((await get("is")).text)).toEqual([
      true,
      true,
      true,
      "[object Response]",
      [true, false, "default", "", false, 200],
      "text/plain;charset=UTF-8",
    ]);
  });

  subject.test("may be wrapped in another", async () => {
    const answer = await get("rewrapped");
    expect([answer.status, answer.text, answer.headers["x-own"]]).toEqual([203, "first", "kept"]);
  });

  subject.test("has the headers that were changed after it was made", async () => {
    const { headers } = await get("late-headers");
    expect([headers["x-one"], headers["x-two"]]).toEqual([undefined, "2, 3"]);
  });

  for (const scenario of ["cloned", "clone-sent"]) {
    subject.test(`may be cloned: ${scenario}`, async () => {
      const visit = await subject.visit(`response/${scenario}`);
      expect((await visit.fetch()).text).toBe("both");
      await visit.until("both");
    });
  }

  for (const scenario of ["used", "used-stream", "locked"]) {
    subject.test(`cannot be sent when its body is ${scenario}`, async () => {
      const answer = await get(scenario);
      expect([answer.status, answer.text.includes("once")]).toEqual([500, false]);
    });
  }

  subject.test("may be thrown", async () => {
    for (const scenario of ["thrown", "rejected"]) {
      const answer = await get(scenario);
      expect([answer.status, answer.text]).toEqual([409, scenario]);
    }
  });

  subject.test("is 500 without the reason when the application fails", async () => {
    for (const scenario of ["failed", "failed-later"]) {
      const answer = await get(scenario);
      expect([answer.status, /reason|scenarios/.test(answer.text)]).toEqual([500, false]);
    }
  });

  for (const scenario of ["undefined", "null", "text", "object"]) {
    subject.test(`is 500 when the application returns no Response: ${scenario}`, async () => {
      expect((await get(scenario)).status).toBe(500);
    });
  }

  subject.test("may be a Response of another copy of the class", async () => {
    const answer = await get("duck");
    expect([answer.status, answer.text, answer.headers["x-own"]]).toEqual([203, "quack", "duck"]);
  });

  subject.test("may be promised by anything that has a then", async () => {
    expect((await get("thenable")).text).toBe("at last");
  });

  for (const [status, reason] of [
    [200, "OK"],
    [201, "Created"],
    [404, "Not here"],
  ] as const) {
    subject.test(`has status ${status} and the reason it gives`, async () => {
      const answer = await get("status", `&status=${status}`);
      expect([answer.status, answer.statusText]).toEqual([status, reason]);
    });
  }
  for (const status of [299, 418, 599]) {
    subject.test(`has status ${status}`, async () => {
      expect((await get("status", `&status=${status}`)).status).toBe(status);
    });
  }
  for (const status of [204, 205, 304]) {
    subject.test(`has status ${status} without a body`, async () => {
      const answer = await get("status", `&status=${status}`);
      expect([answer.status, answer.text]).toEqual([status, ""]);
      expect((await get("status-with-body", `&status=${status}`)).text).toBe("TypeError");
    });
  }
  subject.test("cannot have a status below 200", async () => {
    for (const status of [100, 101, 103]) {
      expect((await get("early", `&status=${status}`)).text).toBe("RangeError");
    }
  });

  subject.test("keeps every Set-Cookie apart and joins the rest", async () => {
    const { headers } = await get("cookies");
    expect(headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2, 3; HttpOnly"]);
    expect(headers["x-joined"]).toBe("1, 2");
  });

  for (const form of ["object", "pairs", "headers", "map"]) {
    subject.test(`takes headers as: ${form}`, async () => {
      const { headers } = await get("header-forms", `&form=${form}`);
      expect([headers["x-one"], headers["x-two"]]).toEqual(["1", "2"]);
    });
  }

  subject.test("has header values in latin1, without the white space around them", async () => {
    expect((await get("latin1")).headers["x-own"]).toBe("caf\xe9 \xff");
    expect((await get("trimmed")).headers["x-own"]).toBe("in between");
  });

  subject.test("refuses headers that HTTP cannot carry", async () => {
    expect(JSON.parse((await get("wrong-headers")).text)).toEqual([
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
      "TypeError",
    ]);
  });

  subject.test("refuses what is no status and no reason", async () => {
    expect(JSON.parse((await get("wrong-init")).text)).toEqual([
      "RangeError",
      "RangeError",
      "RangeError",
      "TypeError",
    ]);
  });

  subject.test("keeps the Content-Length it is given", async () => {
    const answer = await get("length");
    expect([answer.headers["content-length"], answer.text]).toEqual(["5", "12345"]);
  });

  subject.test("has no body for HEAD, whatever it was made of", async () => {
    for (const scenario of ["head", "head-with-body"]) {
      const visit = await subject.visit(`response/${scenario}`);
      const client = await visit.open("HEAD", "Connection: close\r\n");
      expect(await client.waitForEnd()).toMatch(/^HTTP\/1.1 200 .*x-own: HEAD.*\r\n\r\n$/is);
    }
  });

  subject.test("cancels the stream that HEAD does not want", async () => {
    const visit = await subject.visit("response/head-with-stream");
    expect((await visit.fetch({ method: "HEAD" })).status).toBe(200);
    await visit.until("cancelled");
  });

  subject.test("cancels the stream that its status does not allow", async () => {
    const visit = await subject.visit("response/no-body-with-stream");
    const answer = await visit.fetch();
    expect([answer.status, answer.text]).toEqual([204, ""]);
    await visit.until("cancelled");
  });
}
