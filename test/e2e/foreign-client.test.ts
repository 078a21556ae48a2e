/** Programs of others that talk to Postern or start it: cgi-fcgi, spawn-fcgi, lighttpd's bin-path. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { startProbe } from "../support/e2e/probe.ts";
import { servePostern } from "../support/e2e/served.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort } from "../support/ports.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { cgiFcgi } from "../support/web-servers/cgi-fcgi.ts";
import {
  ERROR_LOG,
  type FastCgiAddress,
  startWebServer,
  versionOf,
} from "../support/web-servers/web-server.ts";

const GET = {
  REQUEST_METHOD: "GET",
  REQUEST_URI: "/app/x%2Fy?q=1",
  SCRIPT_NAME: "/app",
  PATH_INFO: "/x/y",
  QUERY_STRING: "q=1",
  SERVER_PROTOCOL: "HTTP/1.1",
  HTTP_HOST: "example.com",
} as const;

/** Head and JSON body of what cgi-fcgi printed. */
function parse(stdout: string): { head: string; body: Record<string, unknown> } {
  const [head = "", body = ""] = stdout.split(/\r\n\r\n/, 2);
  return { head, body: JSON.parse(body) as Record<string, unknown> };
}

for (const transport of ["unix", "tcp"] as const) {
  describeWithServer("cgi-fcgi", `cgi-fcgi asks Postern over ${transport}`, () => {
    it("for a page, and with a body", async () => {
      const probe = await startProbe({ form: "express", transports: [transport] });
      const address = probe.addresses[0]!;
      const got = await cgiFcgi(address, { params: GET });
      expect(got).toMatchObject({ code: 0, stderr: "" });
      expect(parse(got.stdout).head).toMatch(/^Status: 200 OK\r\n/);
      expect(parse(got.stdout).body).toMatchObject({ method: "GET", url: "/x%2Fy?q=1", baseUrl: "/app" });
      const stdin = "b".repeat(100_000);
      const posted = await cgiFcgi(address, { params: { ...GET, REQUEST_METHOD: "POST" }, stdin });
      expect(parse(posted.stdout).body).toMatchObject({ method: "POST", bodyBytes: 100_000, complete: true });
      await probe.stop();
    });

    it("and gets the application's failure on stderr", async () => {
      const failing = async (): Promise<void> => {
        throw new Error("the reason");
      };
      const served = await servePostern(failing, transport);
      const got = await cgiFcgi(served.address, { params: GET });
      expect(got.stdout).toMatch(/^Status: 500 Internal Server Error\r\n/);
      expect(got.stderr).toMatch(/GET \/app\/x%2Fy\?q=1: Error: the reason/);
      await served.close();
    });
  });
}

const BODY = `
  const { existsSync } = process.getBuiltinModule("node:fs");
  const answer = (request, response) => {
    const say = () => response.end(JSON.stringify({ pid: process.pid, url: request.url, base: request.baseUrl }));
    const until = new URL(request.url, "http://x").searchParams.get("until");
    if (!until) return say();
    const timer = setInterval(() => existsSync(until) && (clearInterval(timer), say()), 5);
  };
  serve(answer).then(() => console.log("ready"));
`;

/**
 * A folder as on shared hosting: the executable `.fcgi` file, and the package where Node looks for it. Node 20 does
 * not load a file of that name as a module: it is CommonJS, or a link to a `.js` file, whose name is what counts.
 */
async function fcgiFile(form: "commonjs" | "linked module"): Promise<string> {
  await built();
  const folder = temporaryFolder("fcgi");
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(repositoryRoot, join(folder, "node_modules", "postern"));
  const file = join(folder, "yourapplication.fcgi");
  if (form === "commonjs") {
    writeFileSync(file, `#!/usr/bin/env node\nconst { serve } = require("postern");${BODY}`, { mode: 0o755 });
  } else {
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    const target = join(folder, "yourapplication.js");
    writeFileSync(target, `#!/usr/bin/env node\nimport { serve } from "postern";${BODY}`, { mode: 0o755 });
    symlinkSync("yourapplication.js", file);
  }
  return file;
}

for (const transport of ["unix", "tcp"] as const) {
  describeWithServer(["cgi-fcgi", "spawn-fcgi"], `spawn-fcgi starts a .fcgi file on ${transport}`, () => {
    async function spawned(): Promise<{ program: Running; address: FastCgiAddress }> {
      const file = await fcgiFile("commonjs");
      const path = join(temporaryFolder("spawn"), "s.sock");
      const port = transport === "tcp" ? await freePort() : 0;
      const address: FastCgiAddress = transport === "tcp" ? { host: "127.0.0.1", port } : { unix: path };
      const where = transport === "tcp" ? ["-a", "127.0.0.1", "-p", String(port)] : ["-s", path];
      const program = start(programOf("spawn-fcgi"), ["-n", ...where, "--", file]);
      await program.waitForLine(/ready/);
      return { program, address };
    }

    it("which serves, and TERM ends it when what is open is done", async () => {
      const { program, address } = await spawned();
      expect(parse((await cgiFcgi(address, { params: GET })).stdout).body).toMatchObject({
        url: "/x%2Fy?q=1",
        base: "/app",
      });
      const until = join(temporaryFolder("until"), "now");
      const slow = cgiFcgi(address, {
        params: { ...GET, REQUEST_URI: `/app/x/y?until=${until}`, QUERY_STRING: `until=${until}` },
      });
      // It is asked for before this one, which is answered.
      await cgiFcgi(address, { params: GET });
      program.signal("SIGTERM");
      await program.waitForLine(/draining/);
      expect(program.exit).toBeUndefined();
      writeFileSync(until, "");
      expect(parse((await slow).stdout).head).toMatch(/^Status: 200/);
      expect(await program.exited).toEqual({ code: 0, signal: null });
    });
  });
}

describeWithServer("lighttpd", "lighttpd starts a .fcgi file itself (bin-path)", () => {
  it("serves it at the root by a rewrite, and ends it with itself", async () => {
    const file = await fcgiFile("linked module");
    const program = programOf("lighttpd");
    const web = await startWebServer({
      name: "lighttpd",
      program,
      version: versionOf(program, ["-v"], /lighttpd\/(\S+)/),
      mount: "",
      reloadSignal: "SIGUSR1",
      readyLine: /server started/,
      prepare: ({ port, folder: own, documentRoot, user }) => ({
        files: {
          "lighttpd.conf": `
server.modules = ( "mod_rewrite", "mod_fastcgi" )
server.document-root = "${documentRoot}"
server.bind = "127.0.0.1"
server.port = ${port}
${user ? `server.username = "${user.user}"\nserver.groupname = "${user.group}"` : ""}
server.errorlog = "${join(own, ERROR_LOG)}"
server.upload-dirs = ( "${own}" )
fastcgi.server = ( "/yourapplication.fcgi" => ((
  "socket" => "${join(own, "app.sock")}",
  "bin-path" => "${file}",
  "check-local" => "disable",
  "max-procs" => 1 )) )
url.rewrite-once = ( "^(/.*)$" => "/yourapplication.fcgi$1" )
`,
        },
        args: ["-D", "-f", join(own, "lighttpd.conf")],
      }),
    });
    const answer = await request(`${web.url}/a%2Fb/c?q=1`);
    expect(answer.status, web.errorLog()).toBe(200);
    const { pid, url, base } = JSON.parse(answer.text) as { pid: number; url: string; base: string };
    expect({ url, base }).toEqual({ url: "/a%2Fb/c?q=1", base: "" });
    const until = join(temporaryFolder("until"), "now");
    const slow = request(`${web.url}/?until=${until}`);
    expect((await request(`${web.url}/next`)).status).toBe(200);
    process.kill(pid, "SIGTERM");
    // It drains: lighttpd starts another meanwhile, or waits for the socket.
    writeFileSync(until, "");
    expect((await slow).status).toBe(200);
    await waitFor(() => !isAlive(pid), { what: "the drained program to end" });
    await waitFor(async () => (await request(`${web.url}/again`)).status === 200, { timeoutMs: 10_000 });
    const next = JSON.parse((await request(`${web.url}/again`)).text) as { pid: number };
    expect(next.pid).not.toBe(pid);
    await web.stop();
    await waitFor(() => !isAlive(next.pid), { what: "the program to end with lighttpd" });
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
