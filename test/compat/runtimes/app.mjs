/**
 * A small program for every runtime, `app.mjs [ADDRESS [OPTIONS]]`: all roles; without an address, or with an empty
 * one, it serves what it inherited.
 * Plain JavaScript on `postern` alone. When it serves it prints `listening ADDRESSES`.
 */
import { fastcgi, serve } from "postern";

/** A Node listener: what came, and `/slow`, which waits until it is told to go on. */
let letGo;
function responder(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/slow") {
    letGo = () => response.end("slow\n");
    console.log("waiting");
    return;
  }
  if (pathname === "/go") letGo();
  if (request.method === "POST") console.error(`began ${pathname}`);
  let bytes = 0;
  request.on("data", (piece) => {
    bytes += piece.length;
  });
  request.on("end", () => {
    response.setHeader("Content-Type", "text/plain");
    response.write(`${request.method} ${request.url} ${bytes} bytes`);
    response.end(` from ${request.socket.remoteAddress} as ${fastcgi(request).role}\n`);
  });
}

function authorizer(request, response) {
  const isAllowed = request.url.startsWith("/public");
  response.writeHead(isAllowed ? 200 : 403, isAllowed ? { "Variable-USER": "anna" } : {}).end();
}

async function filter(request, response) {
  let text = "";
  for await (const piece of request.data) text += piece;
  response.writeHead(200, { "Content-Type": "text/plain" }).end(text.toUpperCase());
}

const [address = "", options = "{}"] = process.argv.slice(2);
try {
  const server = await serve(
    { responder, authorizer, filter },
    { ...JSON.parse(options), ...(address !== "" && { bind: address }) },
  );
  if (server.addresses.length > 0) console.log(`listening ${server.addresses}`);
} catch (error) {
  console.log(`${error.code} ${error.message}`);
  process.exit(3);
}
