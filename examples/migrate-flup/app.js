// After: the same application, which knows as little of its server as the WSGI one did.
import { text } from "node:stream/consumers";
import { fastcgi } from "postern";

export default async function app(req, res) {
  const mount = req.baseUrl;
  const { pathname: path, searchParams } = new URL(req.url, "http://any");
  res.setHeader("Content-Type", "text/plain; charset=utf-8");
  if (path === "/") return res.end(`say hello to somebody: ${mount}/hello/NAME\n`);
  if (path === "/hello" && req.method === "POST") {
    const form = new URLSearchParams(await text(req));
    res.removeHeader("Content-Type");
    return res
      .writeHead(303, { Location: `${mount}/hello/${encodeURIComponent(form.get("name") ?? "nobody")}` })
      .end();
  }
  if (path.startsWith("/hello/")) {
    const name = decodeURIComponent(path.slice("/hello/".length));
    const times = Number(searchParams.get("times") ?? 1);
    for (let count = 0; count < times; count++)
      res.write(`hello ${name}, from ${req.socket.remoteAddress}\n`);
    return res.end();
  }
  fastcgi(req).stderr.write(`no such page: ${path}\n`);
  res.writeHead(404).end("no such page\n");
}
