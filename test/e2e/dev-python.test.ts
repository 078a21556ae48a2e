/** `postern dev yourapplication:app`: a Python application as somebody uses it who edits files. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { CLI, PATIENT } from "../support/e2e/supervised.ts";
import { type HttpAnswer, type RequestOptions, request } from "../support/http.ts";
import { freePort } from "../support/ports.ts";
import { type Running, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";

const LONG = { timeout: patience(120_000) };
const RELOADED = /^reloaded in \d+ ms/;
const BROKEN = /waiting for a change$/;

const APP = `import os
from pages import words

def app(environ, start_response):
    if environ["PATH_INFO"] == "/boom":
        raise TypeError("at run time")
    if environ["PATH_INFO"] == "/late":
        import late
        return late.answer(start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join([words.WORD, environ["PATH_INFO"], str(os.environ.get("FROM_FILE"))]).encode()]
`;
const LATE = `def answer(start_response):
    start_response("200 OK", [])
    return [b"late, one"]
`;

interface Dev {
  readonly running: Running;
  write(name: string, text: string): void;
  ask(path?: string, options?: RequestOptions): Promise<HttpAnswer>;
  /** Waits for a line that comes after those there are now, while `act` is done. */
  after(act: () => void, pattern: RegExp): Promise<RegExpExecArray>;
}

const all: Running[] = [];

async function startDev(
  files: Readonly<Record<string, string>>,
  app: string,
  ...flags: string[]
): Promise<Dev> {
  const folder = temporaryFolder("dev");
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  const given = {
    "shop.py": APP,
    "late.py": LATE,
    "pages/__init__.py": "",
    "pages/words.py": 'WORD = "one"\n',
    ...files,
  };
  for (const [name, text] of Object.entries(given)) write(name, text);
  const env = { PATH: "/usr/bin:/bin", TMPDIR: folder };
  // A web server takes no port 0.
  const port = flags.includes("--server") ? await freePort() : 0;
  const args = [CLI, "dev", app, "--port", `${port}`, ...flags];
  const running = start(process.execPath, args, { cwd: folder, env });
  all.push(running);
  const [, url = ""] = await running.waitForLine(/^open (http:\S+)\//, PATIENT);
  await running.waitForLine(/^ready in \d+ ms|waiting for a change/, PATIENT);
  return {
    running,
    write,
    ask: (path = "/", options = {}) => request(url + path, { timeoutMs: 30_000, ...options }),
    after(act, pattern) {
      const from = running.lines.length;
      act();
      return running.waitForLine(pattern, { ...PATIENT, from });
    },
  };
}

describeWithServer("python", "postern dev with an application in Python", () => {
  beforeAll(built, LONG.timeout);
  afterEach(async () => {
    await Promise.all(all.splice(0).map((dev) => dev.stop()));
  });

  it("serves it, its .env read, with a line for each request", LONG, async () => {
    const dev = await startDev({ ".env": "FROM_FILE=yes\n" }, "shop:app");
    expect((await dev.ask("/x")).text).toBe("one /x yes");
    await dev.running.waitForLine(/^200 GET \/x \d+ ms$/, PATIENT);
  });

  it("loads what is saved anew: modules of packages, too, and twice in a second", LONG, async () => {
    const dev = await startDev({}, "shop:app");
    for (const word of ["two", "six", "ten"]) {
      await dev.after(() => dev.write("pages/words.py", `WORD = "${word}"\n`), /^changed: pages\/words\.py$/);
      // The request waits for the new version.
      expect((await dev.ask("/x")).text).toBe(`${word} /x None`);
    }
    await dev.after(() => dev.write("shop.py", APP.replace("words.WORD", '"changed"')), RELOADED);
    expect((await dev.ask("/x")).text).toBe("changed /x None");
  });

  it("watches what is imported late, and templates, and nothing else", LONG, async () => {
    const dev = await startDev({ "templates/page.html": "one", "other.py": "" }, "shop.py");
    expect((await dev.ask("/late")).text).toBe("late, one");
    // It is told of within a second: until then, saving it changes nothing.
    const late = LATE.replace("one", "two");
    const seen = dev.running.waitForLine(/^changed: late\.py$/, PATIENT);
    const save = setInterval(() => dev.write("late.py", late), 100);
    await seen.finally(() => clearInterval(save));
    expect((await dev.ask("/late")).text).toBe("late, two");
    const from = dev.running.lines.length;
    dev.write("other.py", "# not imported\n");
    await dev.after(() => dev.write("templates/page.html", "two"), RELOADED);
    const changed = dev.running.lines.slice(from).filter(({ text }) => text.startsWith("changed"));
    expect(changed.map(({ text }) => text)).not.toContain("changed: other.py");
  });

  it("shows why it cannot be started, and goes on when that is mended", LONG, async () => {
    const dev = await startDev({}, "shop:app");
    await dev.after(() => dev.write("pages/words.py", "WORD = (\n"), BROKEN);
    expect(dev.running.output()).toMatch(/pages\/words\.py", line 1/);
    const page = await dev.ask("/", { headers: { Accept: "text/html" } });
    expect(page.status).toBe(500);
    expect(page.text).toContain("The application could not be started");
    expect(page.text).toContain("SyntaxError");
    await dev.after(() => dev.write("pages/words.py", 'WORD = "mended"\n'), RELOADED);
    expect((await dev.ask("/x")).text).toBe("mended /x None");
  });

  it("waits for the first version that starts, and for a module that is not there yet", LONG, async () => {
    const dev = await startDev({ "shop.py": "import not_there_yet\n" }, "shop:app");
    await dev.after(() => dev.write("not_there_yet.py", ""), /there is no app/);
    await dev.after(() => dev.write("shop.py", APP), /^(?:ready|reloaded) in \d+ ms/);
    expect((await dev.ask("/x")).text).toBe("one /x None");
  });

  it(
    "shows the traceback of a request that fails, to nobody but a browser on this machine",
    LONG,
    async () => {
      const dev = await startDev({}, "shop:app");
      const page = await dev.ask("/boom");
      expect(page.status).toBe(500);
      expect(page.text).toMatch(/Traceback[\s\S]*shop\.py[\s\S]*TypeError: at run time/);
      await dev.running.waitForLine(/TypeError: at run time/, PATIENT);
      for (const headers of [
        { Host: "evil.example" },
        { "X-Forwarded-For": "203.0.113.9" },
        { Forwarded: "for=203.0.113.9" },
      ] as Record<string, string>[]) {
        const stranger = await dev.ask("/boom", { headers });
        expect([stranger.status, stranger.text.includes("Traceback")]).toEqual([500, false]);
      }
    },
  );

  it("runs the .fcgi file that was written for flup", LONG, async () => {
    const program = `#!/usr/bin/python3
from flup.server.fcgi import WSGIServer
from shop import app
WSGIServer(app).run()
`;
    const dev = await startDev({ "shop.fcgi": program }, "shop.fcgi");
    expect((await dev.ask("/x")).text).toBe("one /x None");
    await dev.after(() => dev.write("shop.py", APP.replace("words.WORD", '"changed"')), RELOADED);
    expect((await dev.ask("/x")).text).toBe("changed /x None");
  });

  describeWithServer("nginx", "behind nginx", () => {
    it("is served below a mount", LONG, async () => {
      const dev = await startDev({}, "shop:app", "--server", "nginx", "--mount", "/shop");
      expect((await dev.ask("/x")).text).toBe("one /x None");
    });
  });
});
