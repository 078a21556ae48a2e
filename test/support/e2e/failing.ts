/**
 * Applications that fail, each behind a real web server with a generated configuration: none at all, one on the wire
 * (programs/failing-responder.js), and an application under `postern serve` or, where the web server starts it, in a
 * `.fcgi` file.
 */
import { chmodSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import type { Site } from "../../../src/sites/index.ts";
import { repositoryRoot } from "../paths.ts";
import { freePort } from "../ports.ts";
import { start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { externalAt, startGenerated } from "../web-servers/generated.ts";
import { giveToServerGroup, serverUser, type WebServer } from "../web-servers/web-server.ts";
import { built, programPath } from "./built.ts";
import { withManager } from "./manager.ts";
import { type Column, SERVERS } from "./sites.ts";

/** What stands behind the web server: started before it, ended after it. */
export interface Backend {
  readonly application: Site["application"];
  /** What it says of itself. */
  readonly log: () => string;
  readonly close: () => Promise<void>;
}

const nothing = { log: (): string => "", close: async (): Promise<void> => {} };

/** Nobody listens: there is no socket, or one that somebody left behind, or no TCP port. */
export async function nobody(how: "no socket" | "stale socket" | "port"): Promise<Backend> {
  if (how === "port") {
    return { application: externalAt({ host: "127.0.0.1", port: await freePort() }), ...nothing };
  }
  const path = join(temporaryFolder("n"), "a.sock");
  if (how === "stale socket") {
    // Node removes the file when it closes; a process that is killed does not.
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
    await start(process.execPath, ["-e", script]).exited;
    chmodSync(path, 0o660);
    giveToServerGroup(path);
  }
  return { application: externalAt({ unix: path }), ...nothing };
}

/** A socket that belongs to root alone. */
export async function forbidden(): Promise<Backend> {
  const path = join(temporaryFolder("f"), "a.sock");
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  chmodSync(path, 0o600);
  return { application: externalAt({ unix: path }), log: () => "", close: () => closed(server) };
}

/** An HTTP server where a FastCGI application should be. */
export async function httpServer(): Promise<Backend> {
  const server = http.createServer((_request, response) => response.end("I speak HTTP"));
  // As HTTP servers do that mean their answer to arrive: node:http would close under the web server's writing.
  server.on("clientError", (_error, socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    application: externalAt({ host: "127.0.0.1", port }),
    log: () => "",
    async close() {
      server.closeAllConnections();
      await closed(server);
    },
  };
}

function closed(server: net.Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** The program that fails on the wire. */
export async function responder(isSpawned: boolean): Promise<Backend> {
  const file = programPath("failing-responder.js");
  if (isSpawned) return spawned({ "responder.mjs": file }, "responder.mjs");
  const path = join(temporaryFolder("r"), "a.sock");
  const group = serverUser()?.gid;
  const running = start(process.execPath, [file, path, ...(group === undefined ? [] : [String(group)])]);
  await running.waitForLine(/ready/, { timeoutMs: 15_000 });
  return {
    application: externalAt({ unix: path }),
    log: running.output,
    close: async () => void (await running.stop()),
  };
}

/** A `.fcgi` file for the web server to start, in a folder that its user may read. */
function spawned(files: Readonly<Record<string, string>>, main: string): Backend {
  const folder = temporaryFolder("www");
  for (const [name, from] of Object.entries(files)) cpSync(from, join(folder, name), { recursive: true });
  const program = join(folder, "yourapplication.fcgi");
  writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} ${join(folder, main)}\n`);
  chmodSync(program, 0o755);
  return { application: spawnedBy(program), ...nothing };
}

function spawnedBy(program: string): Site["application"] {
  return {
    kind: "spawned",
    program,
    processes: 1,
    isDynamic: false,
    socket: program.replace(/[^/]+$/, "spawned.sock"),
    environment: {},
  };
}

/** The application under Postern, and how it fails: by its path. */
const APPLICATION = `
const hold = [];
export default (req, res) => {
  if (req.url === "/throw") throw new Error("the database is away");
  else if (req.url === "/exit") process.exit(3);
  else if (req.url === "/cut") {
    res.write("x".repeat(20_000));
    setTimeout(() => res.destroy(new Error("the database went away")), 200);
  } else if (req.url === "/block") for (;;);
  else if (req.url === "/hold") { hold.push(res); console.log("holding"); }
  else if (req.url === "/release") { for (const one of hold) one.end("held"); res.end("fine"); }
  else res.end("fine");
};
`;

/** Runs `test` with an application under Postern that fails when it is asked to. */
export async function withPostern(
  isSpawned: boolean,
  flags: readonly string[],
  test: (backend: Backend) => Promise<void>,
): Promise<void> {
  if (isSpawned) {
    await built();
    const made = temporaryFolder("app");
    writeFileSync(join(made, "app.mjs"), APPLICATION);
    writeFileSync(
      join(made, "serve.mjs"),
      'import { serve } from "postern";\nimport app from "./app.mjs";\nawait serve(app);\n',
    );
    const library = join(made, "node_modules", "postern");
    mkdirSync(library, { recursive: true });
    cpSync(join(repositoryRoot, "dist"), join(library, "dist"), { recursive: true });
    cpSync(join(repositoryRoot, "package.json"), join(library, "package.json"));
    const files = Object.fromEntries(
      ["app.mjs", "serve.mjs", "node_modules"].map((name) => [name, join(made, name)]),
    );
    await test(spawned(files, "serve.mjs"));
    return;
  }
  await withManager({ program: () => APPLICATION, flags }, async (manager) => {
    const application = externalAt({ unix: manager.socket });
    await test({ application, log: manager.log, close: async () => {} });
  });
}

/** Whether a web server of this column starts the application itself. */
export function isSpawnedBy(column: Column): boolean {
  return column === "Apache mod_fcgid";
}

/** Starts the web server of a column in front of a backend. */
export function startBefore(
  column: Column,
  { application }: Backend,
  timeoutSeconds = 60,
): Promise<WebServer> {
  const [server, release] = SERVERS[column];
  const apacheModule = isSpawnedBy(column) ? "fcgid" : "proxy_fcgi";
  return startGenerated(server, { application, apacheModule, timeoutSeconds, isKeptAlive: true }, release);
}
