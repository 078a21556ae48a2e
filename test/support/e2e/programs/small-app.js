#!/usr/bin/env node
/**
 * The application that is started by somebody else. `/slow` answers when a file named by ?until exists, `/crash` takes
 * the process down, everything else says who answers.
 */
import { existsSync } from "node:fs";
import { serve } from "postern";

const [bind, group] = process.argv.slice(2);

const server = await serve(
  (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    if (pathname === "/crash") {
      if (searchParams.has("later")) response.write("a part", () => process.kill(process.pid, "SIGKILL"));
      else process.kill(process.pid, "SIGKILL");
    } else if (pathname === "/slow") {
      console.log("asked");
      const timer = setInterval(() => {
        if (!existsSync(searchParams.get("until"))) return;
        clearInterval(timer);
        response.end(`slow ${process.pid}`);
      }, 5);
    } else {
      response.end(JSON.stringify({ pid: process.pid, url: request.url, cwd: process.cwd() }));
    }
  },
  { ...(bind ? { bind } : {}), ...(group ? { group: Number(group) } : {}) },
);
server.closed.then(() => console.log("closed"));
console.log("ready", server.addresses.join(" "));
