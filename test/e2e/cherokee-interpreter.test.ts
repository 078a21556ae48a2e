/**
 * Postern as a program that Cherokee starts. Cherokee itself cannot be had: what starts it here does as the recording of
 * one says (captures/spawn): no socket, nothing on descriptor 0, next to no environment, through a shell that execs.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, it } from "vitest";
import { FastCGIClient } from "../../src/client/index.ts";
import { generateSite, type Site } from "../../src/sites/index.ts";
import { capturesFolder, describeCaptures } from "../support/captures.ts";
import { built } from "../support/e2e/built.ts";
import { CLI } from "../support/e2e/websocket-sites.ts";
import { repositoryRoot } from "../support/paths.ts";
import { isListening } from "../support/ports.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";

interface Recorded {
  readonly cwd: string;
  readonly env: readonly string[];
  readonly fds: Readonly<Record<string, { readonly link: string }>>;
}

/** A program of each kind, and the socket that Cherokee is told to connect to. */
interface Place {
  readonly folder: string;
  readonly program: string;
  readonly socket: string;
}

beforeAll(built, 60_000);

function place(command: string): Place {
  const folder = temporaryFolder("cherokee");
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(repositoryRoot, join(folder, "node_modules", "postern"));
  writeFileSync(
    join(folder, "app.mjs"),
    `import { readlinkSync } from "node:fs";
export default (req, res) => {
  const seen = { pid: process.pid, cwd: process.cwd(), env: process.env, stdin: readlinkSync("/proc/self/fd/0") };
  if (req.url === "/slow") setTimeout(() => res.end("slow"), 500);
  else res.end(JSON.stringify({ ...seen, mount: req.baseUrl, url: req.url }));
};
`,
  );
  const program = join(folder, "app.fcgi");
  writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} ${command} ${join(folder, "app.mjs")} "$@"\n`);
  chmodSync(program, 0o755);
  return { folder, program, socket: join(folder, "a.sock") };
}

/** As Cherokee starts it, with what the generated configuration puts into the environment. */
function startAsCherokee({ folder, program, socket }: Place, isBare = false): Running {
  const site: Site = {
    name: "yourapplication",
    serverNames: ["example.com"],
    listen: { host: undefined, port: 80 },
    mount: "/spawned",
    application: { kind: "spawned", program, processes: 1, isDynamic: false, socket, environment: {} },
    apacheModule: "proxy_fcgi",
    publicFolder: undefined,
    statics: [],
    maxBodyBytes: 0,
    timeoutSeconds: 60,
    isKeptAlive: false,
    isMultiplexed: false,
    isStreaming: false,
    tls: undefined,
    passwords: undefined,
    sendFile: [],
    webSocket: undefined,
    standalone: undefined,
  };
  const lines = generateSite("cherokee", site).files[0]!.text.split("\n");
  const of = (key: string): string =>
    lines.find((line) => line.startsWith(`${key} = `))!.slice(key.length + 3);
  const env: Record<string, string> = { PWD: folder, POSTERN_BIND: of("source!1!env!POSTERN_BIND") };
  if (!isBare) env["PATH"] = of("source!1!env!PATH");
  expect(of("source!1!host")).toBe(socket);
  return start("/bin/sh", ["-c", `exec ${of("source!1!interpreter")}`], {
    cwd: folder,
    env,
    stdin: "ignore",
  });
}

async function ask({ socket }: Place, path = "/x"): Promise<string> {
  const client = new FastCGIClient({ connect: socket, keepConn: false });
  try {
    const response = await client.request({
      params: {
        // As recorded: mounted, and REQUEST_URI decoded.
        SERVER_SOFTWARE: "Cherokee/1.2.104 (UNIX)",
        GATEWAY_INTERFACE: "CGI/1.1",
        REQUEST_METHOD: "GET",
        REQUEST_URI: `/spawned${path}`,
        SCRIPT_NAME: "/spawned",
        PATH_INFO: path,
        QUERY_STRING: "",
        SERVER_PROTOCOL: "HTTP/1.1",
        HTTPS: "off",
      },
    });
    return await text(response.body);
  } finally {
    await client.close();
  }
}

const READY = { timeoutMs: 20_000 } as const;
const LISTENING = /listening for FastCGI/;
/** `serve` in one process, and a manager with a worker. */
const KINDS = [
  ["one process", `${CLI} serve --workers 0`],
  ["a manager and a worker", `${CLI} serve --workers 1`],
] as const;

describe.each(KINDS)("Postern as Cherokee's interpreter: %s", (_, command) => {
  const isManager = command.endsWith("1");
  const ready = isManager ? /ready/ : LISTENING;

  it("makes the socket itself, answers, and ends with TERM", async () => {
    const here = place(command);
    const running = startAsCherokee(here);
    await running.waitForLine(ready, READY);
    expect(JSON.parse(await ask(here))).toMatchObject({ mount: "/spawned", url: "/x" });
    const slow = ask(here, "/slow");
    // It is there before the signal is.
    await ask(here);
    running.signal("SIGTERM");
    expect(await slow).toBe("slow");
    expect(await running.exited).toEqual({ code: 0, signal: null });
    expect(await isListening({ path: here.socket })).toBe(false);
  });

  it("replaces the socket file that a killed one has left", async () => {
    const here = place(command);
    const killed = startAsCherokee(here);
    await killed.waitForLine(ready, READY);
    await killed.stop({ signal: "SIGKILL" });
    await waitFor(async () => !(await isListening({ path: here.socket })), { what: "nobody to be left" });
    expect(existsSync(here.socket)).toBe(true);
    const running = startAsCherokee(here);
    await running.waitForLine(ready, READY);
    expect(JSON.parse(await ask(here))).toMatchObject({ url: "/x" });
    await running.stop();
  });

  it("leaves a socket alone on which one still lives, says so in a sentence, and ends", async () => {
    const here = place(command);
    const first = startAsCherokee(here);
    await first.waitForLine(ready, READY);
    const { pid } = JSON.parse(await ask(here)) as { pid: number };
    const second = startAsCherokee(here);
    expect(await second.exited).toEqual({ code: 2, signal: null });
    expect(second.output()).toMatch(/another server is listening there.*stop it or choose another path/);
    expect((JSON.parse(await ask(here)) as { pid: number }).pid).toBe(pid);
    await first.stop();
  });
});

describeCaptures("What Cherokee gives to its interpreter", () => {
  it("is enough: no PATH, no HOME, nothing on descriptor 0", async () => {
    const recorded = JSON.parse(
      readFileSync(join(capturesFolder(), "spawn", "cherokee-interpreter.json"), "utf8"),
    ) as Recorded;
    const here = place(KINDS[0][1]);
    const running = startAsCherokee(here, true);
    await running.waitForLine(LISTENING, READY);
    const seen = JSON.parse(await ask(here)) as { cwd: string; env: Record<string, string>; stdin: string };
    expect(seen.stdin).toBe(recorded.fds["0"]?.link);
    expect(seen.cwd).toBe(here.folder);
    const own = Object.keys(seen.env).filter((name) => !/^(?:POSTERN_.*|_|SHLVL|OLDPWD)$/.test(name));
    expect(own).toEqual(recorded.env.map((pair) => pair.split("=")[0]));
    await running.stop();
  });
});
