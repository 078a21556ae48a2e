/** What fetch applications rely on, `{ fetch(request, context) }`, through a real nginx that streams. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FastCGIClient } from "../../src/client/index.ts";
import { type FetchContext, type FetchFunction, fastcgi } from "../../src/index.ts";
import { gate, type Served, servePostern, startSite } from "../support/e2e/served.ts";
import { connectHttp, request } from "../support/http.ts";
import { waitFor, within } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import type { FastCgiAddress, WebServer } from "../support/web-servers/web-server.ts";

const SITE = { web: "nginx", mount: "/yourapplication", transport: "unix", streaming: true } as const;

describeWithServer("nginx", "a fetch application behind nginx", () => {
  let served: Served;
  let web: WebServer;
  let answer: FetchFunction;
  beforeAll(async () => {
    served = await servePostern({ fetch: (incoming, context) => answer(incoming, context) }, SITE.transport);
    web = await startSite({ ...SITE, directives: "fastcgi_param HTTP_HOST $http_host;" }, served.address);
  });
  afterAll(async () => {
    await web.stop();
    await served.close();
  });

  it("sees the absolute URL that the client asked for, and the mount beside it", async () => {
    answer = (incoming, { base, params }: FetchContext) =>
      Response.json({
        url: incoming.url,
        base,
        own: new URL(incoming.url).searchParams.get("q"),
        port: params["SERVER_PORT"],
      });
    const { text } = await request(`${web.url}/a%2Fb/caf%C3%A9?q=%20x`);
    expect(JSON.parse(text)).toEqual({
      url: `http://127.0.0.1:${web.port}/yourapplication/a%2Fb/caf%C3%A9?q=%20x`,
      base: "/yourapplication",
      own: " x",
      port: String(web.port),
    });
  });

  it("reads a body while it is still being sent, and answers while it reads", async () => {
    answer = (incoming) => new Response(incoming.body!.pipeThrough(new TransformStream()));
    const client = await connectHttp(web.origin);
    const head = "POST /yourapplication/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    await client.send(`${head}5\r\nfirst\r\n`);
    await client.waitForText(/first/);
    await client.send("6\r\nsecond\r\n0\r\n\r\n");
    expect((await client.nextResponse()).body.toString()).toBe("firstsecond");
    client.close();
  });

  it("hears through request.signal that the client has gone", async () => {
    const [working, aborted] = [gate(), gate<string>()];
    answer = (incoming) => {
      incoming.signal.addEventListener("abort", () =>
        aborted.open((incoming.signal.reason as Error).message),
      );
      working.open();
      return new Promise(() => {});
    };
    const client = await connectHttp(web.origin);
    await client.send("GET /yourapplication/ HTTP/1.1\r\nHost: example.com\r\n\r\n");
    await working.opened;
    client.close();
    expect(await within(aborted.opened, 5000, "the signal")).toContain(
      "the web server closed the connection",
    );
  });

  it("hears that the client has gone through the cancel of its body", async () => {
    const cancelled = gate();
    answer = () =>
      new Response(
        new ReadableStream({
          pull: (controller) => controller.enqueue(new Uint8Array(10_000)),
          cancel: () => cancelled.open(),
        }),
      );
    const client = await connectHttp(web.origin);
    await client.send("GET /yourapplication/ HTTP/1.1\r\nHost: example.com\r\n\r\n");
    await client.waitForText(/^HTTP\/1.1 200/);
    client.reset();
    await within(cancelled.opened, 5000, "the cancel");
  });

  it("may throw a Response", async () => {
    answer = async () => {
      throw new Response("not here", { status: 404, headers: { "X-Own": "yes" } });
    };
    expect(await request(web.url)).toMatchObject({
      status: 404,
      text: "not here",
      headers: { "x-own": "yes" },
    });
    answer = () => {
      throw Response.redirect(`http://127.0.0.1:${web.port}/elsewhere`, 307);
    };
    expect((await request(web.url)).headers.location).toBe(`http://127.0.0.1:${web.port}/elsewhere`);
  });

  it("fails with 500, and the reason in the log of nginx", async () => {
    answer = async () => {
      throw new TypeError("a reason of its own");
    };
    const { status, text } = await request(`${web.url}/fails`);
    expect([status, text.includes("reason")]).toEqual([500, false]);
    await web.waitForErrorLog(/GET \/yourapplication\/fails: TypeError: a reason of its own/);
  });

  it("answers with every kind of body", async () => {
    const form = new FormData();
    form.set("name", "Ünïcode");
    form.set("file", new Blob(["content"], { type: "text/x-own" }), "a.txt");
    const bodies: Record<string, () => ConstructorParameters<typeof Response>[0]> = {
      text: () => "text é",
      bytes: () => new Uint8Array([0, 255, 10]),
      blob: () => new Blob(["a", "blob"], { type: "text/plain" }),
      query: () => new URLSearchParams({ a: "1", b: "é" }),
      form: () => form,
      nothing: () => null,
    };
    answer = (incoming) =>
      new Response(bodies[new URL(incoming.url).searchParams.get("kind") ?? ""]?.() ?? null);
    const get = async (kind: string): Promise<Response> => fetch(`${web.url}/?kind=${kind}`);
    expect(await (await get("text")).text()).toBe("text é");
    expect([...new Uint8Array(await (await get("bytes")).arrayBuffer())]).toEqual([0, 255, 10]);
    expect(await (await get("blob")).text()).toBe("ablob");
    expect(await (await get("query")).text()).toBe("a=1&b=%C3%A9");
    const gotForm = await (await get("form")).formData();
    expect(gotForm.get("name")).toBe("Ünïcode");
    expect(await (gotForm.get("file") as File).text()).toBe("content");
    expect(await (await get("nothing")).text()).toBe("");
  });

  it("reads forms and JSON, and clones", async () => {
    answer = async (incoming) => {
      const copy = incoming.clone();
      const form = await incoming.formData();
      return Response.json({
        name: form.get("name"),
        file: await (form.get("file") as File).text(),
        bytes: (await copy.arrayBuffer()).byteLength,
        used: [incoming.bodyUsed, copy.bodyUsed],
        isRequest: incoming instanceof Request,
      });
    };
    const form = new FormData();
    form.set("name", "Ünïcode");
    form.set("file", new Blob(["x".repeat(100_000)]), "a.txt");
    const got = (await (await fetch(web.url, { method: "POST", body: form })).json()) as Record<
      string,
      unknown
    >;
    expect(got).toMatchObject({
      name: "Ünïcode",
      file: "x".repeat(100_000),
      used: [true, true],
      isRequest: true,
    });
    expect(got["bytes"]).toBeGreaterThan(100_000);
    answer = async (incoming) => Response.json(await incoming.json());
    const echoed = await fetch(web.url, {
      method: "PUT",
      body: '{"a":[1]}',
      headers: { "Content-Type": "application/json" },
    });
    expect(await echoed.json()).toEqual({ a: [1] });
  });

  it("wraps its request in another, and forwards it with fetch", async () => {
    const backend = createServer((incoming, response) => {
      let body = "";
      incoming.on("data", (piece: Buffer) => {
        body += piece.toString();
      });
      incoming.on("end", () =>
        response.end(`${incoming.method} ${incoming.url} ${incoming.headers["x-own"]} ${body}`),
      );
    });
    await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
    const target = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;
    answer = async (incoming) => {
      const { pathname } = new URL(incoming.url);
      if (pathname.endsWith("/direct"))
        return fetch(new Request(`${target}/direct`, incoming as Request & { duplex?: "half" }));
      const headers = new Headers(incoming.headers);
      headers.set("X-Own", "wrapped");
      headers.delete("Host");
      return fetch(new Request(target + pathname, new Request(incoming, { headers })));
    };
    const post = (path: string): Promise<string> =>
      request(web.url + path, { body: "the body", headers: { "X-Own": "client" } }).then(({ text }) => text);
    expect(await post("/wrapped")).toBe("POST /yourapplication/wrapped wrapped the body");
    expect(await post("/direct")).toBe("POST /direct client the body");
    // fetch(request) itself: the request goes to its own URL, which is this application again.
    let depth = 0;
    answer = async (incoming) =>
      depth++ === 0 ? fetch(incoming) : new Response(`again ${await incoming.text()}`);
    expect(await post("/itself")).toBe("again the body");
    backend.closeAllConnections();
    await new Promise((resolve) => backend.close(resolve));
  });

  it("works on after the answer", async () => {
    const done = gate<string>();
    const answered = gate();
    answer = (_incoming, { waitUntil }) => {
      waitUntil(answered.opened.then(() => done.open("done")));
      return new Response("at once");
    };
    expect((await request(web.url)).text).toBe("at once");
    answered.open();
    expect(await done.opened).toBe("done");
  });

  it("keeps its clones and its FastCGI side together", async () => {
    answer = (incoming) => {
      const [side, again] = [fastcgi(incoming), fastcgi(incoming)];
      return Response.json([fastcgi(incoming.clone()).base, side === again]);
    };
    expect(JSON.parse((await request(web.url)).text)).toEqual(["/yourapplication", true]);
  });

  it("logs what fails in waitUntil, and answers all the same", async () => {
    answer = (_incoming, { waitUntil }) => {
      waitUntil(Promise.reject(new Error("on the side")));
      return new Response("all the same");
    };
    expect((await request(web.url)).text).toBe("all the same");
    expect(served.log).toContainEqual(
      expect.objectContaining({ level: "error", message: "work after the response failed" }),
    );
  });
});

describe("a server that closes", () => {
  const working = (opened: Promise<unknown>): FetchFunction => {
    return (_incoming, { waitUntil }) => {
      waitUntil(opened);
      return new Response("at once");
    };
  };
  const answered = async (address: FastCgiAddress): Promise<void> => {
    const client = new FastCGIClient({ connect: (address as { unix: string }).unix, keepConn: false });
    const { status, body } = await client.request({ params: { REQUEST_METHOD: "GET", REQUEST_URI: "/" } });
    expect([status, await text(body)]).toEqual([200, "at once"]);
    await client.close();
  };

  it("waits for work after answers", async () => {
    const work = gate();
    const { server, address } = await servePostern({ fetch: working(work.opened) }, "unix");
    await answered(address);
    let isClosed = false;
    const closed = server.close().then(() => {
      isClosed = true;
    });
    await waitFor(() => server.stats.connections === 0, { what: "the connection to end" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed).toBe(false);
    work.open();
    await closed;
  });

  it("gives work after answers up at its drain timeout, and says so", async () => {
    const options = { drainTimeoutMs: 50 };
    const { server, address, log } = await servePostern(
      { fetch: working(new Promise(() => {})) },
      "unix",
      options,
    );
    await answered(address);
    await server.close();
    expect(log).toContainEqual({
      level: "warn",
      message: "work after answers was given up",
      fields: { openWork: 1, reason: "not finished within 50 ms" },
    });
  });
});
