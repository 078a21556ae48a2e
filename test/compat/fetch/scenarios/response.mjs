/** Answers of every kind. */

function form() {
  const data = new FormData();
  data.set("name", "Ünïcode");
  data.set("file", new File(["content"], "a.txt", { type: "text/x-own" }));
  return data;
}

const bytes = new Uint8Array([9, 0, 255, 10, 13, 9]);
const inner = bytes.subarray(1, 5);

async function* generated() {
  yield new TextEncoder().encode("one ");
  yield new TextEncoder().encode("two");
}

const BODIES = {
  string: () => "text é",
  empty: () => "",
  null: () => null,
  undefined: () => undefined,
  blob: () => new Blob(["a", "blob"], { type: "text/x-own" }),
  file: () => new File(["a file"], "a.txt", { type: "text/x-own" }),
  form,
  query: () => new URLSearchParams({ a: "1", b: "é" }),
  buffer: () => inner.slice().buffer,
  "typed array": () => inner,
  "data view": () => new DataView(bytes.buffer, 1, 4),
  "wide array": () => new Uint16Array([0x4141, 0x4242]),
  stream: () => new Blob(["a stream"]).stream(),
  generator: generated,
  iterable: () => ({ [Symbol.asyncIterator]: generated }),
  number: () => 42,
};

/** Large, but not endless: where nobody cancels it, the process must not stand still. */
function endingStream(note) {
  let left = 1000;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(1000));
      if (--left === 0) controller.close();
    },
    cancel: () => note("cancelled"),
  });
}

const STATUSES = { 200: "OK", 201: "Created", 299: "", 404: "Not here", 418: "", 599: "" };

export const response = {
  "response/body": (_incoming, { url }) => new Response(BODIES[url.searchParams.get("kind")]()),

  "response/reused-memory": () => {
    const memory = new Uint8Array([65, 66, 67]);
    const answer = new Response(memory);
    memory.fill(0); // it was copied: the standard says so
    return answer;
  },

  "response/json": () => Response.json({ a: [1, "é"] }, { status: 201, headers: { "X-Own": "1" } }),
  "response/typed-json": () => Response.json({}, { headers: { "Content-Type": "application/problem+json" } }),
  "response/redirect": (_incoming, { url }) => Response.redirect(new URL("/elsewhere?a=b", url), 307),
  "response/error": () => Response.error(),
  "response/class": () => {
    class Own extends Response {}
    return new Own("own", { status: 202 });
  },
  "response/is": () => {
    const answer = new Response("x");
    return Response.json([
      answer instanceof Response,
      Response.json(1) instanceof Response,
      Response.redirect("http://example.com/") instanceof Response,
      Object.prototype.toString.call(answer),
      [answer.ok, answer.redirected, answer.type, answer.url, answer.bodyUsed, answer.status],
      answer.headers.get("content-type"),
    ]);
  },
  "response/rewrapped": async () => {
    const first = new Response("first", { status: 203, headers: { "X-Own": "kept" } });
    return new Response(first.body, first);
  },
  "response/late-headers": () => {
    const answer = new Response("x", { headers: { "X-One": "1" } });
    answer.headers.set("X-Two", "2");
    answer.headers.append("X-Two", "3");
    answer.headers.delete("X-One");
    return answer;
  },

  "response/cloned": async (_incoming, { note }) => {
    const answer = new Response("both");
    const copy = answer.clone();
    note(await copy.text());
    return answer;
  },
  "response/clone-sent": async (_incoming, { note }) => {
    const answer = new Response("both");
    const copy = answer.clone();
    note(await answer.text());
    return copy;
  },
  "response/used": async () => {
    const answer = new Response("once");
    await answer.text();
    return answer;
  },
  "response/used-stream": async () => {
    const answer = new Response(new Blob(["once"]).stream());
    await answer.text();
    return answer;
  },
  "response/locked": () => {
    const answer = new Response("once");
    answer.body.getReader();
    return answer;
  },

  "response/thrown": () => {
    throw new Response("thrown", { status: 409 });
  },
  "response/rejected": async () => {
    throw new Response("rejected", { status: 409 });
  },
  "response/failed": () => {
    throw new TypeError("a reason of its own");
  },
  "response/failed-later": async () => {
    throw new TypeError("a reason of its own");
  },
  "response/undefined": () => undefined,
  "response/null": async () => null,
  "response/text": () => "just text",
  "response/object": async () => ({ status: 200 }),
  "response/duck": () => ({
    status: 203,
    statusText: "",
    headers: new Headers({ "X-Own": "duck" }),
    body: new Blob(["quack"]).stream(),
    bodyUsed: false,
  }),
  "response/thenable": () => ({
    // biome-ignore lint/suspicious/noThenProperty: that is what is tested
    then: (resolve) => resolve(new Response("at last")),
  }),

  "response/status": (_incoming, { url }) => {
    const status = Number(url.searchParams.get("status"));
    return new Response(null, { status, statusText: STATUSES[status] ?? "" });
  },
  "response/status-with-body": (_incoming, { url }) => {
    try {
      return new Response("body", { status: Number(url.searchParams.get("status")) });
    } catch (error) {
      return new Response(error.name);
    }
  },
  "response/early": (_incoming, { url }) => {
    try {
      return new Response(null, { status: Number(url.searchParams.get("status")) });
    } catch (error) {
      return new Response(error.name);
    }
  },

  "response/cookies": () => {
    const headers = new Headers();
    headers.append("Set-Cookie", "a=1; Path=/");
    headers.append("Set-Cookie", "b=2, 3; HttpOnly");
    headers.append("X-Joined", "1");
    headers.append("X-Joined", "2");
    return new Response("set", { headers });
  },
  "response/header-forms": (_incoming, { url }) => {
    const pairs = [
      ["X-One", "1"],
      ["X-Two", "2"],
    ];
    const forms = {
      object: Object.fromEntries(pairs),
      pairs,
      headers: new Headers(pairs),
      map: new Map(pairs),
    };
    return new Response("x", { headers: forms[url.searchParams.get("form")] });
  },
  "response/latin1": () => new Response("x", { headers: { "X-Own": "caf\xe9 \xff" } }),
  "response/trimmed": () => new Response("x", { headers: { "X-Own": " \t in between \t" } }),
  "response/wrong-headers": () => {
    const failures = [];
    const attempts = [
      ["X-Own", "line\nbreak"],
      ["X-Own", "nul\0"],
      ["X-Own", "snow ☃"],
      ["X Own", "1"],
      ["", "1"],
    ];
    for (const [name, value] of attempts) {
      try {
        new Response("x", { headers: { [name]: value } });
        failures.push("accepted");
      } catch (error) {
        failures.push(error.name);
      }
    }
    return Response.json(failures);
  },
  "response/wrong-init": () => {
    const failures = [];
    for (const init of [{ status: 99 }, { status: 600 }, { status: "x" }, { statusText: "line\nbreak" }]) {
      try {
        new Response(null, init);
        failures.push("accepted");
      } catch (error) {
        failures.push(error.name);
      }
    }
    return Response.json(failures);
  },
  "response/length": () => new Response("12345", { headers: { "Content-Length": "5" } }),

  "response/head": (incoming) =>
    new Response(incoming.method === "HEAD" ? null : "12345", { headers: { "X-Own": incoming.method } }),
  "response/head-with-body": (incoming) => new Response("12345", { headers: { "X-Own": incoming.method } }),
  "response/head-with-stream": (_incoming, { note }) => new Response(endingStream(note)),
  "response/no-body-with-stream": (_incoming, { note }) =>
    // 204 must not have one; what some libraries make by hand has one all the same.
    ({
      status: 204,
      statusText: "",
      headers: new Headers(),
      bodyUsed: false,
      body: endingStream(note),
    }),
};
