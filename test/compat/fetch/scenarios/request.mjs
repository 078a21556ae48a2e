/** What a request says about itself, and what can be made of it. */
import { inspect } from "node:util";

const NAMES = [
  "cache",
  "credentials",
  "destination",
  "integrity",
  "keepalive",
  "mode",
  "redirect",
  "referrer",
  "referrerPolicy",
  "bodyUsed",
  "duplex",
];

export const request = {
  "request/facts": (incoming) =>
    Response.json({
      method: incoming.method,
      url: incoming.url,
      isRequest: incoming instanceof Request,
      isAlsoAfterWrapping: new Request(incoming) instanceof Request,
      tag: Object.prototype.toString.call(incoming),
      hasBody: incoming.body !== null,
      signal: [incoming.signal instanceof AbortSignal, incoming.signal.aborted],
    }),

  "request/defaults": (incoming) =>
    Response.json(Object.fromEntries(NAMES.map((name) => [name, incoming[name]]))),

  "request/headers": ({ headers }) =>
    Response.json({
      own: headers.get("X-Own"),
      twice: headers.get("x-twice"),
      cookie: headers.get("cookie"),
      missing: headers.get("x-missing"),
      has: [headers.has("X-OWN"), headers.has("x-missing")],
      setCookie: headers.getSetCookie(),
      names: [...headers.keys()].filter((name) => name.startsWith("x-")),
      isHeaders: headers instanceof Headers,
      isCopied: new Headers(headers).get("x-own"),
    }),

  "request/same-objects": (incoming) => {
    const { headers, signal, body, runtime } = incoming;
    return Response.json([
      headers === incoming.headers,
      signal === incoming.signal,
      body === incoming.body,
      runtime === incoming.runtime,
    ]);
  },

  "request/changed-headers": async (incoming) => {
    incoming.headers.set("X-Own", "changed");
    incoming.headers.delete("X-Twice");
    const copy = new Request(incoming);
    copy.headers.set("X-Own", "changed again");
    return Response.json([
      copy.headers.get("x-own"),
      copy.headers.get("x-twice"),
      incoming.headers.get("x-own"),
      await copy.text(),
    ]);
  },

  "request/late-headers": (incoming) => {
    const { headers } = incoming;
    void incoming.body; // whatever is made of the request for that, headers are still the same
    headers.set("X-Own", "late");
    return Response.json([incoming.headers.get("x-own"), incoming.clone().headers.get("x-own")]);
  },

  "request/wrapped": async (incoming) => {
    const changed = new Request(incoming, { headers: { "X-Own": "wrapped" } });
    const elsewhere = new Request("http://elsewhere.example/x", changed);
    return Response.json({
      method: elsewhere.method,
      url: elsewhere.url,
      own: elsewhere.headers.get("x-own"),
      text: await elsewhere.text(),
      isUsed: incoming.bodyUsed,
    });
  },

  "request/derived": async (incoming) => {
    class Derived extends Request {
      extra = "more";
    }
    const derived = new Derived(incoming);
    return Response.json([derived.extra, derived instanceof Request, await derived.text()]);
  },

  "request/fetched": async (incoming, { url }) => {
    if (incoming.headers.has("x-forwarded-once")) {
      return new Response(`${incoming.method} ${await incoming.text()}`, { headers: { "X-Again": "yes" } });
    }
    const headers = new Headers(incoming.headers);
    headers.set("X-Forwarded-Once", "yes");
    headers.delete("host");
    const answer = await fetch(new Request(url, new Request(incoming, { headers })));
    return new Response(`${answer.headers.get("x-again")}: ${await answer.text()}`);
  },

  "request/printed": (incoming) => {
    // What people do first when something is wrong.
    const printed = inspect(incoming);
    return Response.json([printed.includes("Request"), printed.includes(incoming.url), `${incoming}`]);
  },

  "request/srvx": (incoming) => {
    const { ip, runtime, waitUntil } = incoming;
    const before = incoming.context;
    incoming.context = { user: "kim" };
    return Response.json({
      ip,
      runtime: typeof runtime.name,
      waitUntil: typeof waitUntil,
      context: [before ?? null, incoming.context],
    });
  },

  "request/overridden": (incoming) => {
    // As middleware does it that knows better.
    Object.defineProperty(incoming, "url", { value: "http://other.example/", configurable: true });
    Object.defineProperty(incoming, "ip", { value: "192.0.2.9", configurable: true });
    return Response.json([incoming.url, incoming.ip]);
  },
};
