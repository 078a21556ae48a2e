/**
 * An application that cannot be started, under everything that starts one: the visitor who waits is answered, the web
 * server's log says why, and nothing that is printed becomes the answer.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { FastCGIClient } from "../../src/client/index.ts";
import { built } from "../support/e2e/built.ts";
import { makeProgram, type Program } from "../support/e2e/spawned-program.ts";
import { STARTERS, type Started } from "../support/e2e/spawned-starters.ts";
import { CLI, deploy, PATIENT, serveApp, stopManagers } from "../support/e2e/supervised.ts";
import { type Finished, run } from "../support/process.ts";
import { launch } from "../support/spawned.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

const LONG = { timeout: patience(120_000) };

/** What an application may do wrong, and what the first line of the web server's log is then. */
const MISTAKES: Readonly<
  Record<string, { readonly app: string; readonly says: RegExp; readonly code?: number }>
> = {
  "has a mistake of syntax": {
    app: "export default (req, res) => {\n  res.end('x');\n}};\n",
    says: /^postern: app\.mjs: SyntaxError: Unexpected token '}' \(app\.mjs:3\)$/,
  },
  "imports a file with a mistake of syntax": {
    app: "import './lib/deep.mjs';\nexport default () => {};\n",
    says: /^postern: app\.mjs: SyntaxError: missing \) after argument list \(lib\/deep\.mjs:2\)$/,
  },
  "imports a package that is not there": {
    app: "import 'not-installed';\nexport default () => {};\n",
    says: /^postern: app\.mjs: Error \[ERR_MODULE_NOT_FOUND\]: Cannot find package 'not-installed' imported from app\.mjs$/,
  },
  "throws while it is loaded": {
    app: "\nthrow new TypeError('no luck');\n",
    says: /^postern: app\.mjs: TypeError: no luck \(app\.mjs:2\)$/,
  },
  "throws later, while it is loaded": {
    app: "setTimeout(() => { throw new Error('too late'); });\nawait new Promise(() => setInterval(() => {}, 1000));\n",
    says: /^postern: app\.mjs: Error: too late \(app\.mjs:1\)$/,
  },
  "rejects what nobody handles": {
    app: "void Promise.reject(new Error('unhandled'));\nawait new Promise(() => setInterval(() => {}, 1000));\n",
    says: /^postern: app\.mjs: Error: unhandled \(app\.mjs:1\)$/,
  },
  "ends the process": {
    app: "console.error('DATABASE_URL is not set');\nprocess.exit(1);\n",
    says: /^postern: app\.mjs: it called process\.exit\(1\) while it was loaded: DATABASE_URL is not set$/,
  },
  "exports no application": {
    app: "export default 3;\n",
    says: /^postern: app\.mjs: it exports a default that is 3 and does not listen; export the application/,
  },
  "awaits what never comes": {
    app: "await new Promise(() => {});\n",
    says: /^postern: app\.mjs: it awaits something that nothing will ever settle, while it is loaded$/,
  },
  "takes longer than it may": {
    app: "setInterval(() => {}, 1000);\nawait new Promise(() => {});\n",
    says: /^postern: app\.mjs: it was not ready within 700 ms \(readyTimeout\)/,
  },
  "is not there": { app: "", says: /^postern: app\.mjs: there is no file app\.mjs$/ },
  "is given a setting that is wrong": {
    app: "export default (req, res) => res.end();\n",
    says: /--max-requests: "many" cannot be used/,
    code: 2,
  },
};

/** A folder with the application. */
function makeFolder(app: string): string {
  const folder = temporaryFolder("app");
  if (app !== "") writeFileSync(join(folder, "app.mjs"), app);
  return folder;
}

interface Answered {
  readonly status: number;
  readonly text: string;
  readonly stderr: string;
}

async function ask(address: string, params: Readonly<Record<string, string>> = {}): Promise<Answered> {
  const client = new FastCGIClient({ connect: address, keepConn: false, timeoutMs: 40_000 });
  let stderr = "";
  try {
    const response = await client.request({
      params: {
        GATEWAY_INTERFACE: "CGI/1.1",
        REQUEST_METHOD: "GET",
        REQUEST_URI: "/",
        SCRIPT_NAME: "",
        PATH_INFO: "/",
        QUERY_STRING: "",
        SERVER_PROTOCOL: "HTTP/1.1",
        ...params,
      },
      onStderr: (piece) => {
        stderr += String(piece);
      },
    });
    let text = "";
    for await (const piece of response.body) text += String(piece);
    return { status: response.status, text, stderr };
  } finally {
    await client.close();
  }
}

describe("an application on descriptor 0 that", () => {
  beforeAll(built, LONG.timeout);

  for (const [what, { app, says, code = 4 }] of Object.entries(MISTAKES)) {
    it(`${what} is answered for, and the web server is told why`, LONG, async () => {
      const folder = makeFolder(app);
      if (app.includes("lib/deep")) await writeDeep(folder);
      const address = join(folder, "app.sock");
      const flags = code === 2 ? "--max-requests many" : "--ready-timeout 700ms";
      const program = launch(`${CLI} serve app.mjs ${flags}`, {
        address,
        cwd: folder,
        env: { PATH: "/usr/bin:/bin" },
      });
      await waitFor(() => isSocketThere(folder), {
        ...PATIENT,
        what: "the socket",
        evidence: program.output,
      });
      // The first waits in the queue while the application is loaded, the second comes when it has failed.
      for (const answer of [await ask(`unix:${address}`), await ask(`unix:${address}`)]) {
        expect(answer.status, program.output()).toBe(500);
        expect(answer.text).toBe(
          "The application could not be started. The error log of the web server says why.\n",
        );
        expect(answer.stderr.trimEnd()).toMatch(says);
      }
      expect(await program.exited).toEqual({ code, signal: null });
      expect(program.stdout()).toBe("");
    });
  }

  it("is told to end while it is loaded answers first whoever waits", LONG, async () => {
    const folder = makeFolder(
      `import { existsSync } from "node:fs";
      console.error("loading");
      while (!existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 20));
      export default (req, res) => res.end("served");`,
    );
    const address = join(folder, "app.sock");
    const program = launch(`${CLI} serve app.mjs`, { address, cwd: folder, env: { PATH: "/usr/bin:/bin" } });
    await program.waitForLine(/loading/, PATIENT);
    const waiting = ask(`unix:${address}`);
    program.signal("SIGTERM");
    program.signal("SIGTERM"); // mod_fcgid repeats it
    writeFileSync(join(folder, "go"), "");
    expect((await waiting).text).toBe("served");
    await program.waitForLine(/draining signal=SIGTERM/, PATIENT);
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });

  it("fails shows a developer on this machine the whole error, and nobody else", LONG, async () => {
    const folder = makeFolder("throw new Error('for the developer');\n");
    const address = join(folder, "app.sock");
    const env = { PATH: "/usr/bin:/bin", NODE_ENV: "development" };
    const program = launch(`${CLI} serve app.mjs`, { address, cwd: folder, env });
    await waitFor(() => isSocketThere(folder), { ...PATIENT, what: "the socket", evidence: program.output });
    const local = { REMOTE_ADDR: "127.0.0.1", HTTP_HOST: "localhost:3000" };
    const shown = await ask(`unix:${address}`, local);
    expect(shown.text).toContain("for the developer");
    expect(shown.text).toContain("app.mjs:1:7");
    for (const stranger of [
      { ...local, REMOTE_ADDR: "203.0.113.9" },
      { ...local, HTTP_X_FORWARDED_FOR: "203.0.113.9" },
      { ...local, HTTP_HOST: "evil.example" },
    ]) {
      expect((await ask(`unix:${address}`, stranger)).text).not.toContain("for the developer");
    }
    await program.exited;
  });
});

describe("a pool of the manager that has no worker", () => {
  beforeAll(built, LONG.timeout);
  afterEach(stopManagers);

  it("answers 503 and why between two attempts, and nothing once a worker serves", LONG, async () => {
    const deployment = deploy();
    const manager = await serveApp(deployment);
    expect((await manager.get("/")).status).toBe(200);
    deployment.release("throws");
    const [worker] = await manager.workers();
    process.kill(worker!.pid, "SIGKILL");
    await manager.line(/no worker can serve: requests are answered with 503 for [\d.]+ s/);
    const told = await ask(manager.address);
    expect(told.status, manager.log()).toBe(503);
    expect(told.text).toBe("The application cannot be started at the moment. Try again later.\n");
    expect(told.stderr).toMatch(/^postern: app\.js: Error: .+ \(app\.js:\d+\)$/m);
    deployment.release("mended");
    const reload = await manager.cli("reload");
    expect(reload.code, reload.stderr).toBe(0);
    for (let n = 0; n < 20; n++) expect((await manager.get("/")).status).toBe(200);
  });
});

async function writeDeep(folder: string): Promise<void> {
  await run("mkdir", ["-p", join(folder, "lib")]);
  writeFileSync(join(folder, "lib", "deep.mjs"), "export const a = 1;\nconsole.log('x';\n");
}

function isSocketThere(folder: string): boolean {
  try {
    const table = readFileSync("/proc/net/unix", "utf8").split("\n");
    // Bound comes a moment before listening.
    return table.some((line) => line.endsWith(`${folder}/app.sock`) && / 00010000 /.test(line));
  } catch {
    return false;
  }
}

const PRINTS = `
import { spawnSync } from "node:child_process";
import { writeSync } from "node:fs";
const print = (when) => {
  console.log("printed " + when);
  process.stdout.write("written " + when + "\\n");
  try {
    writeSync(1, "raw " + when + "\\n");
  } catch {
    // Where the socket itself is standard output, nothing can be written there.
  }
  spawnSync("/bin/echo", ["child " + when], { stdio: "inherit" });
};
print("while loading");
export default (req, res) => {
  print("while answering");
  res.end("the answer\\n");
};
`;
const PRINTED = ["printed", "written", "raw", "child"].flatMap((how) =>
  ["while loading", "while answering"].map((when) => `${how} ${when}`),
);

const CGI = {
  PATH: "/usr/bin:/bin",
  GATEWAY_INTERFACE: "CGI/1.1",
  REQUEST_METHOD: "GET",
  REQUEST_URI: "/",
  SCRIPT_NAME: "",
  PATH_INFO: "/",
  SERVER_PROTOCOL: "HTTP/1.1",
};

/** As a web server starts it: its standard output a pipe, a socket, or a file. */
const OUTPUTS: Readonly<Record<string, (command: string) => readonly [string, ...string[]]>> = {
  "a pipe": (command) => ["/bin/sh", "-c", `${command} | /bin/cat`],
  "a socket": (command) => ["/bin/sh", "-c", `exec ${command}`], // as Node makes the pipes of its children
  "a file": (command) => ["/bin/sh", "-c", `${command} > out.txt; code=$?; /bin/cat out.txt; exit $code`],
};

function cgi(folder: string, wrap: (command: string) => readonly [string, ...string[]]): Promise<Finished> {
  const [program, ...args] = wrap(`${process.execPath} ${CLI} serve app.mjs --ready-timeout 700ms`);
  return run(program, args, { cwd: folder, env: CGI, timeoutMs: 40_000 });
}

/** Lines end as CGI has it, with CR LF; not the application's own. */
function plain({ stdout }: Finished): string {
  return stdout.replaceAll("\r", "");
}

describe("a plain CGI program", () => {
  beforeAll(built, LONG.timeout);

  for (const [output, wrap] of Object.entries(OUTPUTS)) {
    it(`answers on ${output}, where nothing else that is printed comes out`, LONG, async () => {
      const finished = await cgi(makeFolder(PRINTS), wrap);
      const [stdout, stderr] = [plain(finished), finished.stderr];
      expect(stdout, stderr).toMatch(/^Status: 200 OK\n[\s\S]*\n\nthe answer$/);
      for (const line of PRINTED) {
        expect(stdout).not.toContain(line);
        expect(stderr).toContain(line);
      }
    });

    it(`that cannot start answers on ${output}, too`, LONG, async () => {
      for (const [what, { app, says, code }] of Object.entries(MISTAKES)) {
        if (code === 2 || app.includes("lib/deep")) continue;
        const finished = await cgi(makeFolder(app), wrap);
        const [stdout, stderr] = [plain(finished), finished.stderr];
        expect(stdout, `${what}\n${stderr}`).toMatch(
          /^Status: 500 Internal Server Error\n[\s\S]*could not be started/,
        );
        expect(
          stderr.split("\n").some((line) => says.test(line)),
          stderr,
        ).toBe(true);
      }
    });
  }

  it("of the library's own keeps its answer clean from where it serves", LONG, async () => {
    const folder = temporaryFolder("app");
    const library = JSON.stringify(join(CLI, "..", "..", "index.js"));
    const app = PRINTS.replace("export default", `import { serve } from ${library};\nserve(`).replace(
      /};\n$/,
      "});\n",
    );
    writeFileSync(join(folder, "own.mjs"), app.replace('print("while loading");', ""));
    const command = `${process.execPath} own.mjs | /bin/cat`;
    const finished = await run("/bin/sh", ["-c", command], {
      cwd: folder,
      env: CGI,
      timeoutMs: 40_000,
    });
    expect(plain(finished), finished.stderr).toMatch(/^Status: 200 OK\n[\s\S]*\n\nthe answer$/);
    expect(finished.stderr).toContain("printed while answering");
  });
});

/** `.fcgi` as `postern init shared-hosting` writes it: the command of this package, in a folder. */
async function makeSpawned(app: string): Promise<Program> {
  const program = await makeProgram({ form: "manager" });
  const script = readFileSync(program.path, "utf8").replace(" --workers 2", "");
  writeFileSync(program.path, script);
  chmodSync(program.path, 0o755);
  writeFileSync(join(program.folder, "app.mjs"), app);
  return program;
}

/** Tells the test who is to be ended. */
const NOTE_START = `import { appendFileSync } from "node:fs";
appendFileSync(new URL("lives.txt", import.meta.url), "start " + process.pid + "\\n");
`;

/** Whoever starts a program with the first request, or again when it has ended: there is always somebody to answer. */
const ANSWERED = ["Apache mod_fcgid", "lighttpd", "systemd-socket-activate --inetd"];

for (const starter of STARTERS) {
  if (starter.isCurrent) continue;
  describeWithServer(starter.needs, `started by ${starter.column}`, () => {
    const started = async (app: string, use: (started: Started) => Promise<void>): Promise<void> => {
      const program = await makeSpawned(NOTE_START + app);
      const running = await starter.start(program, { processes: 1 });
      try {
        if (starter.begins === "at once") await program.untilStarted(1, running.log);
        await use(running);
      } finally {
        await running[Symbol.asyncDispose]();
      }
    };

    if (ANSWERED.includes(starter.column))
      it("an application that cannot start is a 500, and the web server's log says why", LONG, () =>
        started(MISTAKES["throws while it is loaded"]!.app, async ({ ask, log, untilLogged }) => {
          const { status, text } = await ask("/");
          expect([status, text], log()).toEqual([500, expect.stringContaining("could not be started")]);
          await untilLogged(/postern: app\.mjs: TypeError: no luck \(app\.mjs:4\)/);
        }),
      );

    it("what an application prints is not in its answer", LONG, () =>
      started(PRINTS, async ({ ask, log }) => {
        const { status, text } = await ask("/");
        expect([status, text], log()).toEqual([200, "the answer\n"]);
      }),
    );
  });
}
