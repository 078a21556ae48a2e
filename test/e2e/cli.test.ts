/** `postern serve` as people use it: every mistake is one sentence with a remedy, an exit code, and nothing left behind. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort } from "../support/ports.ts";
import { run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
/** Until a line comes, on a machine that does much else at the time. */
const SOON = { timeoutMs: 20_000 };
let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  await built();
  folder = temporaryFolder("cli");
  const files: Record<string, string> = {
    "package.json": '{ "type": "module" }',
    "app.js": "export default (req, res) => res.end(process.cwd());",
    "busy.js": "setInterval(() => {}, 1000); export default (req, res) => res.end();",
    "slow.js":
      "export default (req, res) => { console.error('asked'); res.write('a'); setTimeout(() => res.end('b'), 800); };",
    "syntax.js": "export default {\n  a: ,\n};\n",
    "imports-syntax.js": 'import "./syntax.js";',
    "throws.js": 'throw new Error("no database");',
    "waits.js": "await new Promise(() => {});",
    "nothing.js": "export const port = 3000;",
    "typed.ts": "const word: string = 'hi'; export default { fetch: (): Response => new Response(word) };",
    "commonjs/package.json": '{ "type": "commonjs" }',
    "commonjs/esm.js": 'import "node:fs"; export default 1;',
    "commonjs/app.js": "module.exports = (req, res) => res.end('cjs');",
  };
  mkdirSync(join(folder, "commonjs"));
  mkdirSync(join(folder, "tmp"));
  env = { ...process.env, TMPDIR: join(folder, "tmp"), POSTERN_RUN_DIR: join(folder, "run") };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
});

const postern = (...args: string[]) =>
  run(process.execPath, [CLI, ...args], { cwd: folder, env, timeoutMs: 30_000, input: "" });
const serve = (...args: string[]) => postern("serve", ...args);

/** `slow.js` on a unix socket and over HTTP; waits until it serves. */
async function serveBoth(...flags: string[]) {
  const port = await freePort();
  const socket = join(temporaryFolder("b"), "both.sock");
  const args = [CLI, "serve", "slow.js", "--bind", `unix:${socket}`, "--http", `127.0.0.1:${port}`, ...flags];
  const app = start(process.execPath, args, { cwd: folder, env });
  await app.waitForLine(/open http/, SOON);
  return { app, socket, url: `http://127.0.0.1:${port}/` };
}

/** What a manager leaves that it should not: control sockets, and temporary files of its own. */
const leftOver = (): string[] => [
  ...(existsSync(join(folder, "run")) ? readdirSync(join(folder, "run")) : []),
  ...readdirSync(join(folder, "tmp")).filter((name) => name.startsWith("postern")),
];

describe("postern serve", () => {
  const mistakes: readonly [what: string, args: readonly string[], code: number, says: RegExp][] = [
    [
      "no address",
      ["busy.js"],
      2,
      /nothing to listen on: name an address \(postern serve \S*busy\.js --bind/,
    ],
    [
      "no file",
      [],
      2,
      /nothing to run: name an application \(postern serve app\.js\), or write a postern\.config/,
    ],
    ["a missing configuration", ["--config", "gone.ts"], 2, /gone\.ts/],
    ["both", ["app.js", "--bind", "unix:./x", "--bnd"], 2, /unknown option '--bnd'/],
    ["a misspelt flag", ["app.js", "--bnd", "x"], 2, /unknown option '--bnd'\n\(Did you mean --bind\?\)/],
    ["a bad address", ["app.js", "--bind", "9000"], 2, /--bind "9000": for TCP write 127\.0\.0\.1:9000/],
    ["a public address", ["app.js", "--bind", "0.0.0.0:0"], 2, /say who may connect with --allowed-clients/],
    [
      "a bad mode",
      ["busy.js", "--bind", "unix:./x", "--listen-mode", "999"],
      2,
      /--listen-mode: "999" cannot be used/,
    ],
    ["--static alone", ["app.js", "--bind", "unix:./x", "--static", "."], 2, /--static\)? needs (--)?http/],
    [
      "a bad number of workers",
      ["app.js", "--bind", "unix:./x", "--workers", "-1"],
      2,
      /--workers: "-1" cannot be used/,
    ],
    ["a missing file", ["gone.js", "--bind", "unix:./x"], 4, /there is no file .*gone\.js/],
    ["a syntax error", ["syntax.js", "--bind", "unix:./x"], 4, /could not be loaded:[\s\S]*syntax\.js:2\n/],
    [
      "one in an import",
      ["imports-syntax.js", "--bind", "unix:./x"],
      4,
      /imports-syntax\.js could[\s\S]*\/syntax\.js:2\n/,
    ],
    [
      "an exception",
      ["throws.js", "--bind", "unix:./x"],
      4,
      /could not be loaded:\nError: no database\n {4}at /,
    ],
    ["an await for ever", ["waits.js", "--bind", "unix:./x"], 4, /a top-level await that never settles/],
    [
      "no application",
      ["nothing.js", "--bind", "unix:./x"],
      4,
      /it exports port and does not listen; export the application as default/,
    ],
    ["the wrong module type", ["commonjs/esm.js", "--bind", "unix:./x"], 4, /set "type": "module" there/],
  ];
  for (const [what, args, code, says] of mistakes) {
    it(`tells ${what} in a sentence, exits with ${code}, and leaves nothing behind`, async () => {
      const finished = await serve(...args);
      expect(finished.stderr).toMatch(says);
      expect(finished.stderr).toMatch(/^postern: |\npostern: /);
      expect(finished.stdout).toBe("");
      expect(finished.code).toBe(code);
      expect(existsSync(join(folder, "x"))).toBe(false);
      expect(leftOver()).toEqual([]);
    });
  }

  it("ends when a port is taken, whatever the application has opened", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => blocker.once("listening", resolve));
    const { port } = blocker.address() as { port: number };
    try {
      for (const where of [["--bind"], ["--http"]]) {
        const finished = await serve("busy.js", ...where, `127.0.0.1:${port}`);
        expect(finished.stderr).toMatch(/listen/);
        expect(finished.code).toBe(2);
      }
    } finally {
      blocker.close();
    }
  });

  it("runs the application in its own folder, TypeScript and CommonJS too", async () => {
    const pages: readonly [string, string][] = [
      ["app.js", folder],
      ["typed.ts", "hi"],
      ["commonjs/app.js", "cjs"],
    ];
    for (const [file, text] of pages) {
      const port = await freePort();
      const app = start(process.execPath, [CLI, "serve", join(folder, file), "--http", `127.0.0.1:${port}`], {
        cwd: "/",
        env,
      });
      await app.waitForLine(/open http/, SOON);
      expect((await request(`http://127.0.0.1:${port}/`)).text, file).toBe(text);
      await app.stop();
    }
  });

  it("answers one CGI request when it is started for one", async () => {
    const cgi = {
      REQUEST_METHOD: "GET",
      GATEWAY_INTERFACE: "CGI/1.1",
      SCRIPT_NAME: "",
      PATH_INFO: "/",
      REQUEST_URI: "/",
    };
    const finished = await run(process.execPath, [CLI, "serve", "app.js"], {
      ...{ cwd: folder, timeoutMs: 15_000, input: "" },
      env: { ...env, ...cgi },
    });
    expect(finished.stdout).toMatch(/^Status: 200 OK\r\n/);
    expect(finished.stdout.split("\r\n\r\n")[1]).toBe(folder); // run() trims the end
    expect(finished.code).toBe(0);
  });

  for (const [where, flags] of [
    ["under a manager", []],
    ["in one process", ["--workers", "0"]],
  ] as const) {
    it(`closes the sockets of web servers at once on TERM, finishes what the gateway has begun, and leaves nothing, ${where}`, async () => {
      const { app, socket, url } = await serveBoth(...flags);
      const answer = request(url);
      await app.waitForLine(/asked/, SOON);
      // Twice, as a process group gets it when a parent passes it on.
      app.signal("SIGTERM");
      app.signal("SIGTERM");
      await waitFor(() => !existsSync(socket), { ...SOON, what: "the socket to go" });
      expect((await answer).text).toBe("ab");
      expect((await app.exited).code).toBe(0);
      expect(leftOver()).toEqual([]);
    });

    it(`exits at once on a second signal, and leaves nothing then either, ${where}`, async () => {
      const { app, socket, url } = await serveBoth(...flags);
      const answer = request(url).then(
        ({ status }) => (status === 200 ? "whole" : "cut"),
        () => "cut",
      );
      await app.waitForLine(/asked/, SOON);
      app.signal("SIGTERM");
      await app.waitForLine(/ (?:draining|stopping) /, SOON);
      app.signal("SIGINT");
      // A stop that was asked for is no failure to a manager; a single process has cut somebody off.
      expect((await app.exited).code).toBe(flags.length === 0 ? 0 : 1);
      expect(await answer).toBe("cut");
      expect(existsSync(socket)).toBe(false);
      // A worker that was killed could not take the private folder of its gateway with it.
      if (flags.length === 0) rmSync(join(folder, "tmp"), { recursive: true });
      mkdirSync(join(folder, "tmp"), { recursive: true });
      expect(leftOver()).toEqual([]);
    });
  }

  it("serves in one process with --workers 0, and without a control socket", async () => {
    const { app, url } = await serveBoth("--workers", "0");
    expect(leftOver().filter((name) => name.endsWith(".sock"))).toEqual([]);
    expect((await request(url)).text).toBe("ab");
    await app.stop();
  });

  it("refuses what one process cannot do", async () => {
    const finished = await serve("--workers", "0", "--bind", "unix:./x");
    expect(finished.stderr).toMatch(/nothing to run: name an application/);
    expect(finished.code).toBe(2);
  });
});

describe("postern config show", () => {
  it("says what a start would do, and starts nothing", async () => {
    const shown = await postern("config", "show", "app.js", "--bind", "unix:./x", "--workers", "3");
    expect(shown.stdout).toMatch(/maxChildren.*3/);
    expect(shown.code).toBe(0);
    expect(existsSync(join(folder, "x"))).toBe(false);
    expect(leftOver()).toEqual([]);
  });

  it("tells a mistake as a start would", async () => {
    const shown = await postern("config", "show", "app.js", "--bind", "9000");
    expect(shown.stderr).toMatch(/^postern: --bind "9000": for TCP write 127\.0\.0\.1:9000/);
    expect(shown.code).toBe(2);
  });
});

describe("without a manager", () => {
  for (const command of [["status"], ["reload"], ["stop"], ["scale", "2"], ["workers"], ["logs", "reopen"]]) {
    it(`postern ${command.join(" ")} says so in a sentence, and exits with 2`, async () => {
      const { code, stdout, stderr } = await postern(...command);
      expect(stderr).toMatch(/^postern: no manager runs .*\n?.*postern serve/);
      expect(stderr).not.toMatch(/^ {4}at /m);
      expect(stdout).toBe("");
      expect(code).toBe(2);
    });
  }
});
