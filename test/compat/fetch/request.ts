/** What a request says about itself, and what can be made of it. */
import { expect } from "vitest";
import { connectHttp, request } from "../../support/http.ts";
import type { Subject } from "./subject.ts";

export function requestTests(subject: Subject): void {
  const json = async (scenario: string, options?: Parameters<typeof request>[1]): Promise<unknown> => {
    const visit = await subject.visit(scenario);
    const { text } = await visit.fetch(options);
    return JSON.parse(text);
  };

  subject.test("has method and absolute URL, and is a Request", async () => {
    const visit = await subject.visit("request/facts", "&q=a%20b&%C3%A9=%2F");
    expect(JSON.parse((await visit.fetch()).text)).toEqual({
      method: "GET",
      url: visit.url,
      isRequest: true,
      isAlsoAfterWrapping: true,
      tag: "[object Request]",
      hasBody: false,
      signal: [true, false],
    });
  });

  subject.test("has the method of every request, known or not", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]) {
      expect(await json("request/facts", { method, body: "x" })).toMatchObject({ method, hasBody: true });
    }
  });

  subject.test("keeps percent-encoding in the path", async () => {
    const { url } = await subject.site;
    const { text } = await request(`${url}/a%2Fb/%C3%A9/s/request/facts?x=1`);
    expect(JSON.parse(text)).toMatchObject({ url: `${url}/a%2Fb/%C3%A9/s/request/facts?x=1` });
  });

  subject.test("takes the host of the URL from the Host field", async () => {
    const { url } = await subject.site;
    const { port, pathname } = new URL(url);
    const mount = pathname === "/" ? "" : pathname;
    const headers = { Host: "www.example.com:8080" };
    const { text } = await request(`http://127.0.0.1:${port}${mount}/s/request/facts`, { headers });
    expect(JSON.parse(text)).toMatchObject({ url: `http://www.example.com:8080${mount}/s/request/facts` });
  });

  subject.test("has the properties that a Request has by default", async () => {
    expect(await json("request/defaults")).toMatchObject({
      cache: "default",
      credentials: "same-origin",
      destination: "",
      integrity: "",
      keepalive: false,
      mode: "cors",
      redirect: "follow",
      referrer: "about:client",
      referrerPolicy: "",
      bodyUsed: false,
      duplex: "half",
    });
  });

  subject.test("has headers with everything that Headers have", async () => {
    const { url } = await subject.site;
    const client = await connectHttp(url);
    const { pathname } = new URL(url);
    const mount = pathname === "/" ? "" : pathname;
    await client.send(
      `GET ${mount}/s/request/headers HTTP/1.1\r\nHost: example.com\r\nX-Own: one\r\nX-Twice: 1\r\nX-Twice: 2\r\n` +
        "Cookie: a=1; b=2\r\nSet-Cookie: c=3\r\nX-Last:   padded  \r\nConnection: close\r\n\r\n",
    );
    const { body } = await client.nextResponse();
    expect(JSON.parse(body.toString())).toEqual({
      own: "one",
      twice: "1, 2",
      cookie: "a=1; b=2",
      missing: null,
      has: [true, false],
      setCookie: ["c=3"],
      names: ["x-last", "x-own", "x-twice"],
      isHeaders: true,
      isCopied: "one",
    });
    client.close();
  });

  subject.test("gives the same headers, signal, body and runtime every time", async () => {
    expect(await json("request/same-objects", { body: "x" })).toEqual([true, true, true, true]);
  });

  subject.test("hands changed headers on to what is made of it", async () => {
    const headers = { "X-Own": "first", "X-Twice": "1" };
    expect(await json("request/changed-headers", { body: "the body", headers })).toEqual([
      "changed again",
      null,
      "changed",
      "the body",
    ]);
  });

  subject.test("keeps headers that were changed after the body was looked at", async () => {
    const headers = { "X-Own": "first" };
    expect(await json("request/late-headers", { body: "x", headers })).toEqual(["late", "late"]);
  });

  subject.test("can be wrapped in another Request, body and all", async () => {
    expect(await json("request/wrapped", { body: "the body", headers: { "X-Own": "first" } })).toEqual({
      method: "POST",
      url: "http://elsewhere.example/x",
      own: "wrapped",
      text: "the body",
      isUsed: true,
    });
  });

  subject.test("can be wrapped by a class derived from Request", async () => {
    expect(await json("request/derived", { body: "the body" })).toEqual(["more", true, "the body"]);
  });

  subject.test("can be sent on with fetch", async () => {
    const visit = await subject.visit("request/fetched");
    expect((await visit.fetch({ body: "the body" })).text).toBe("yes: POST the body");
  });

  subject.test("can be printed", async () => {
    expect(await json("request/printed", { body: "x" })).toEqual([true, true, "[object Request]"]);
  });

  subject.test("has ip, runtime, waitUntil and a place for context, as srvx has them", async () => {
    expect(await json("request/srvx")).toEqual({
      ip: "127.0.0.1",
      runtime: "string",
      waitUntil: "function",
      context: [null, { user: "kim" }],
    });
  });

  subject.test("lets middleware replace url and ip", async () => {
    expect(await json("request/overridden")).toEqual(["http://other.example/", "192.0.2.9"]);
  });
}
