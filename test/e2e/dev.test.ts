/** `postern dev` as somebody uses it who edits files: real workers, real files, real web servers in front. */
import { mkdirSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { built } from "../support/e2e/built.ts";
import { CLI, descendantsOf, PATIENT, untilGone } from "../support/e2e/supervised.ts";
import { type HttpAnswer, type RequestOptions, request } from "../support/http.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

const LONG = { timeout: patience(120_000) };

interface Dev {
  readonly folder: string;
  readonly process: Running;
  readonly url: string;
  write(name: string, text: string): void;
  ask(path?: string, options?: RequestOptions): Promise<HttpAnswer>;
  /** Waits for a line that comes after those there are now, while `act` is done. */
  after(act: () => void, pattern: RegExp): Promise<RegExpExecArray>;
}

const all: Running[] = [];
const reloads: number[] = [];

const APP = `import { word } from "./lib.js";
export default (req, res) => {
  if (req.url === "/boom") throw new TypeError("at run time");
  res.end(word + " " + req.url + " " + process.env.NODE_ENV + " " + process.env.FROM_FILE);
};
`;

async function startDev(
  files: Readonly<Record<string, string>> = {},
  ...flags: readonly string[]
): Promise<Dev> {
  const folder = temporaryFolder("dev");
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  const given = { "package.json": '{ "type": "module" }', "app.js": APP, "lib.js": lib("one"), ...files };
  for (const [name, text] of Object.entries(given)) write(name, text);
  const file = Object.keys(files).find((name) => /^app\.[^j]/.test(name)) ?? "app.js";
  const port = flags.includes("--port") ? [] : ["--port", "0"];
  const env = { PATH: process.env["PATH"], TMPDIR: folder };
  const dev = start(process.execPath, [CLI, "dev", file, ...port, ...flags], { cwd: folder, env });
  all.push(dev);
  const [, url = ""] = await dev.waitForLine(/^open (http:\S+)\//, PATIENT);
  await dev.waitForLine(/^ready in \d+ ms|waiting for a change/, PATIENT);
  return {
    folder,
    process: dev,
    url,
    write,
    ask: (path = "/", options = {}) => request(url + path, { timeoutMs: 30_000, ...options }),
    async after(act, pattern) {
      const from = dev.lines.length;
      act();
      const found = await dev.waitForLine(pattern, { ...PATIENT, from });
      const took = /^reloaded in (\d+) ms/.exec(found[0])?.[1];
      if (took !== undefined) reloads.push(Number(took));
      return found;
    },
  };
}

const lib = (word: string): string => `export const word = "${word}";\n`;
const RELOADED = /^reloaded in \d+ ms/;
const BROKEN = /waiting for a change$/;

describe("postern dev", () => {
  beforeAll(built, LONG.timeout);
  afterEach(async () => {
    await Promise.all(all.splice(0).map((dev) => dev.stop()));
  });
  afterAll(() => {
    // For people: how long it took on this machine, with all that ran beside it.
    process.stderr.write(`reloads of postern dev: ${reloads.join(", ")} ms\n`);
  });

  it("serves an application, its .env read, with a line for each request", LONG, async () => {
    const dev = await startDev({ ".env": "FROM_FILE=yes\n" });
    expect((await dev.ask("/x?y=1")).text).toBe("one /x?y=1 development yes");
    await dev.process.waitForLine(/^200 GET \/x\?y=1 \d+ ms$/, PATIENT);
  });

  it("loads what is saved anew, in whichever way an editor saves", LONG, async () => {
    const dev = await startDev();
    const said = async (): Promise<string> => (await dev.ask()).text.split(" ")[0] ?? "";
    await dev.after(() => dev.write("lib.js", lib("written")), RELOADED);
    expect(await said()).toBe("written");
    await dev.after(() => {
      dev.write("lib.js.new", lib("renamed"));
      renameSync(join(dev.folder, "lib.js.new"), join(dev.folder, "lib.js"));
    }, RELOADED);
    expect(await said()).toBe("renamed");
    await dev.after(() => {
      renameSync(join(dev.folder, "lib.js"), join(dev.folder, "lib.js~"));
      dev.write("lib.js", lib("moved away first"));
    }, RELOADED);
    expect(await said()).toBe("moved");
    const from = dev.process.lines.length;
    await dev.after(() => {
      dev.write("lib.js", "");
      dev.write("lib.js", lib("truncated"));
      dev.write("app.js", `${APP}// changed\n`);
    }, RELOADED);
    expect(await said()).toBe("truncated");
    const lines = dev.process.lines.slice(from).filter(({ text }) => RELOADED.test(text));
    expect(lines.length, dev.process.output()).toBe(1);
  });

  it("serves no old version after a change, and lets requests wait for the new one", LONG, async () => {
    const dev = await startDev();
    for (const word of ["two", "three"]) {
      await dev.after(() => dev.write("lib.js", lib(word)), /^changed: lib\.js$/);
      const answers = await Promise.all(Array.from({ length: 20 }, () => dev.ask()));
      expect(answers.map(({ status, text }) => `${status} ${text.split(" ")[0]}`)).toEqual(
        Array.from({ length: 20 }, () => `200 ${word}`),
      );
    }
  });

  it("watches only what is loaded, and what --watch names", LONG, async () => {
    const dev = await startDev({ "other.js": "", "views/page.html": "one" }, "--watch", "views");
    const from = dev.process.lines.length;
    dev.write("other.js", "not loaded\n");
    dev.write("notes.txt", "nothing\n");
    await dev.after(() => dev.write("lib.js", lib("two")), RELOADED);
    const changed = dev.process.lines.slice(from).filter(({ text }) => text.startsWith("changed"));
    expect(changed.map(({ text }) => text)).toEqual(["changed: lib.js"]);
    await dev.after(() => dev.write("views/page.html", "two"), /^changed: views\/page\.html$/);
    await dev.after(() => dev.write("views/new/deep.html", "three"), /^changed: views\/new/);
  });

  it(
    "shows an error with its source, to browsers as a page and to others as text, until it is mended",
    LONG,
    async () => {
      const dev = await startDev();
      await dev.after(() => dev.write("lib.js", 'export const word = "x";\nexport const = "<b>";\n'), BROKEN);
      const text = await dev.ask();
      expect(text.status).toBe(500);
      expect(text.headers["content-type"]).toBe("text/plain; charset=utf-8");
      expect(text.text).toContain("SyntaxError: Unexpected token '='\nlib.js:2:14");
      expect(text.text).toContain('> 2  export const = "<b>";\n                  ^');
      const page = await dev.ask("/", { headers: { Accept: "text/html,*/*" } });
      expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
      expect(page.text).toContain("&#60;b&#62;");
      expect(page.text).not.toContain("<b>&quot;");
      expect(page.text).toContain('new EventSource("/.postern/changes")');
      expect(page.text).toContain('<noscript><meta http-equiv="refresh"');
      expect(page.text).not.toMatch(/(?:src|href)=/);
      const stream = await fetch(`${dev.url}/.postern/changes`);
      expect(stream.headers.get("content-type")).toBe("text/event-stream");
      await dev.after(() => dev.write("lib.js", lib("mended")), RELOADED);
      expect(await stream.text()).toBe("retry: 500\n\n");
      expect((await dev.ask()).text).toContain("mended");
    },
  );

  it("starts with an application that is broken, and with an import that comes later", LONG, async () => {
    const dev = await startDev({ "lib.js": 'export { word } from "./late.js";\n' });
    expect((await dev.ask()).text).toContain("ERR_MODULE_NOT_FOUND");
    await dev.after(() => dev.write("late.js", lib("late")), /^ready in|^reloaded in/);
    expect((await dev.ask()).text).toContain("late /");
    await dev.after(() => unlinkSync(join(dev.folder, "late.js")), BROKEN);
    await dev.after(() => dev.write("late.js", lib("again")), RELOADED);
    expect((await dev.ask()).text).toContain("again /");
  });

  it("shows errors of requests, and of TypeScript where they are in the source", LONG, async () => {
    const app = `interface Thing {\n  readonly name: string;\n}\nconst thing: Thing | undefined = JSON.parse("null");\nexport default (req: { url: string }, res: { end(text: string): void }): void => {\n  if (req.url === "/boom") thing!.name.trim();\n  res.end("fine");\n};\n`;
    const dev = await startDev({ "app.ts": app });
    const failed = await dev.ask("/boom");
    expect(failed.status).toBe(500);
    expect(failed.text).toMatch(/^The application failed\n\nTypeError: .*\napp\.ts:6/);
    expect(failed.text).toContain("> 6    if (req.url");
    expect((await dev.ask()).text).toBe("fine");
  });

  it("shows sources to nobody but the developer", LONG, async () => {
    const dev = await startDev({ "lib.js": "export const = secret;\n" });
    expect((await dev.ask()).text).toContain("secret");
    for (const headers of [{ "X-Forwarded-For": "203.0.113.9" }, { Host: "evil.example" }]) {
      const { status, text } = await dev.ask("/", { headers });
      expect([status, text.includes("secret")]).toEqual([500, false]);
    }
    const open = await startDev({ "lib.js": "export const = secret;\n" }, "--host", "0.0.0.0");
    expect((await open.ask()).text).not.toContain("secret");
  });

  it("tells when the application ends by itself, and starts it with the next change", LONG, async () => {
    const app = `${APP}setTimeout(() => process.exit(7), 300);\n`;
    const dev = await startDev();
    await dev.after(() => dev.write("app.js", app), BROKEN);
    expect((await dev.ask()).text).toContain("exit code 7");
    await dev.after(() => dev.write("app.js", APP), RELOADED);
    expect((await dev.ask()).status).toBe(200);
  });

  it("carries WebSockets", LONG, async () => {
    const ws = JSON.stringify(join(CLI, "..", "..", "..", "node_modules", "ws", "wrapper.mjs"));
    const app = `import { createServer } from "node:http";\nimport { WebSocketServer } from ${ws};\nconst server = createServer((req, res) => res.end("page"));\nnew WebSocketServer({ server }).on("connection", (s) => s.on("message", (m) => s.send("echo " + m)));\nserver.listen(0);\n`;
    const dev = await startDev({ "app.js": app });
    expect((await dev.ask()).text).toBe("page");
    const socket = new WebSocket(dev.url.replace("http", "ws"));
    const echo = await new Promise<string>((resolve, reject) => {
      socket.once("open", () => socket.send("hello"));
      socket.once("message", (data) => resolve(String(data)));
      socket.once("error", reject);
    });
    socket.close();
    expect(echo).toBe("echo hello");
  });

  it("takes the next port when its own is taken, unless that was asked for", LONG, async () => {
    const first = await startDev();
    const { port } = new URL(first.url);
    const second = start(process.execPath, [CLI, "dev", "app.js", "--port", port], { cwd: first.folder });
    all.push(second);
    expect(await second.exited).toEqual({ code: 2, signal: null });
    expect(second.stderr()).toMatch(/something else listens there already/);
  });

  it("ends at once with Ctrl-C, and leaves nothing behind", LONG, async () => {
    const dev = await startDev();
    const children = descendantsOf(dev.process.pid);
    expect(children.length).toBeGreaterThan(0);
    dev.process.signal("SIGINT");
    expect(await dev.process.exited).toEqual({ code: 0, signal: null });
    await untilGone(children);
    expect(readdirSync(dev.folder).filter((name) => name.startsWith("postern-dev-"))).toEqual([]);
  });
});

for (const server of ["nginx", "apache", "lighttpd", "caddy", "haproxy", "h2o"] as const) {
  describeWithServer([server], `postern dev --server ${server}`, () => {
    beforeAll(built, LONG.timeout);

    it("runs the application behind it, shows what goes wrong, and loads anew", LONG, async () => {
      const port = String(20_000 + (process.pid % 20_000));
      const dev = await startDev({}, "--server", server, "--port", port, "--mount", "/shop");
      try {
        expect((await dev.ask("/x")).text).toContain("one /x development");
        await dev.after(() => dev.write("lib.js", "export const = 1;\n"), BROKEN);
        expect((await dev.ask("/")).text).toContain("lib.js:1:14");
        await dev.after(() => dev.write("lib.js", lib("two")), RELOADED);
        expect((await dev.ask("/x")).text).toContain("two /x");
      } finally {
        const children = descendantsOf(dev.process.pid);
        await dev.process.stop({ signal: "SIGINT", graceMs: 15_000 });
        await untilGone(children);
        rmSync(dev.folder, { recursive: true, force: true });
      }
    });
  });
}

it("says how to install a web server that is not there", LONG, async () => {
  await built();
  const folder = temporaryFolder("dev");
  writeFileSync(join(folder, "app.mjs"), "export default (req, res) => res.end();\n");
  const env = { PATH: "/nowhere", TMPDIR: tmpdir(), HOME: folder };
  const dev = start(process.execPath, [CLI, "dev", "app.mjs", "--server", "cherokee"], { cwd: folder, env });
  expect(await dev.exited).toEqual({ code: 2, signal: null });
  expect(dev.stderr()).toContain("--server");
  await waitFor(() => dev.exit !== undefined);
});
