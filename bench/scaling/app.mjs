// The application of the measurements of scaling: `app.mjs listener|fetch|node:http PATH`. /bytes/N answers N bytes made as
// they are taken, /hold/MS answers after a while, everything else counts the body.
import { createRequire } from "node:module";

const [kind, path] = process.argv.slice(2);
const PIECE = Buffer.alloc(65536, "x");
const HELLO = "hello world\n";

function listener(req, res) {
  const [, what, value] = req.url.split("/");
  if (what === "bytes") {
    let left = Number(value);
    res.setHeader("Content-Length", left);
    const more = () => {
      for (let goesOn = true; goesOn && left > 0; ) {
        const size = Math.min(left, PIECE.length);
        left -= size;
        goesOn = res.write(size === PIECE.length ? PIECE : PIECE.subarray(0, size));
      }
      if (left === 0) res.end();
      else res.once("drain", more);
    };
    more();
    return;
  }
  if (what === "hold") {
    setTimeout(() => res.end(HELLO), Number(value));
    return;
  }
  req.on("data", () => {});
  req.on("end", () => res.end(HELLO));
}

const application = {
  async fetch(request) {
    const [, what, value] = new URL(request.url).pathname.split("/");
    if (what === "bytes") {
      let left = Number(value);
      const body = new ReadableStream({
        pull(controller) {
          const size = Math.min(left, PIECE.length);
          left -= size;
          if (size > 0) controller.enqueue(new Uint8Array(PIECE.subarray(0, size)));
          if (left === 0) controller.close();
        },
      });
      return new Response(body, { headers: { "content-length": value } });
    }
    if (what === "hold") await new Promise((resolve) => setTimeout(resolve, Number(value)));
    else if (request.method === "POST") for await (const _piece of request.body);
    return new Response(HELLO);
  },
};

if (kind === "node:http") {
  // Not imported: that would load much that nobody here uses, and its memory would be counted.
  createRequire(import.meta.url)("node:http")
    .createServer(listener)
    .listen(path);
} else {
  const { serve } = await import("../../dist/index.js");
  await serve(kind === "fetch" ? application : listener, {
    bind: path,
    maxConnections: 20000,
    maxRequestsPerConnection: 2000,
    maxParams: 2000,
    maxParamsBytes: 1048576,
    signals: false,
  });
}
