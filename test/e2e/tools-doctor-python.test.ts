/**
 * `postern doctor yourapplication:app`: each way in which an application in Python does not start is made, and named in
 * one sentence with what mends it; what can be done by the letter is done, and mends it.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort } from "../support/ports.ts";
import { run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const LONG = { timeout: patience(90_000) };
const WELL = `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"well"]
`;
const SERVED = `#!/usr/bin/python3
from flup.server.fcgi import WSGIServer
from shop import app
WSGIServer(app).run()
`;

interface Found {
  readonly id: string;
  readonly verdict: string;
  readonly says: string;
  readonly evidence: readonly string[];
  readonly remedy: readonly { run?: string; advice?: string; file?: string; from?: string; to?: string }[];
}

beforeAll(built);

/** A folder with these files, and the configuration of an nginx before it, which does not run. */
function place(files: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder("dp");
  const conf = `user ${serverUser()?.user ?? "nobody"};
events {}
http { server { listen 127.0.0.1:1; location / { fastcgi_pass unix:${folder}/app.sock; } } }
`;
  for (const [name, text] of Object.entries({ "nginx.conf": conf, ...files })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text.replaceAll("DIR", folder));
    if (name.endsWith(".fcgi")) chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

/** The findings about the program: the socket is not there in any of these. */
async function examined(folder: string, ...args: string[]): Promise<Found[]> {
  return (await allFound(folder, ...args)).filter(({ id }) => id.startsWith("program."));
}

async function allFound(folder: string, ...args: string[]): Promise<Found[]> {
  const behind = ["--server", "nginx", "--config-file", "nginx.conf", "--json", "--verbose"];
  const { stdout, stderr } = await run(process.execPath, [CLI, "doctor", ...args, ...behind], {
    cwd: folder,
    input: "",
    timeoutMs: patience(55_000),
  });
  expect(stderr).toBe("");
  return (JSON.parse(stdout) as { findings: Found[] }).findings;
}

/** Does what a remedy says, if that is an edit. */
function edit({ file, from, to }: Found["remedy"][number]): void {
  if (file === undefined || from === undefined || to === undefined) throw new Error("no edit");
  const text = readFileSync(file, "utf8");
  expect(text).toContain(from);
  writeFileSync(file, text.replace(from, to));
}

describeWithServer(["nginx", "python"], "an application in Python that the doctor starts", () => {
  it.each([
    ["its module", "shop:app"],
    ["its file", "shop.py"],
  ])("is well by %s", LONG, async (_, name) => {
    const found = await examined(place({ "shop.py": WELL }), name);
    expect(found.filter(({ verdict }) => verdict !== "good")).toEqual([]);
    expect(found.map(({ id }) => id)).toContain("program.answer");
  });

  it.each<[what: string, name: string, source: string, id: string, says: RegExp, mends: RegExp]>([
    [
      "a module that is not there",
      "gone:app",
      WELL,
      "missing",
      /^there is no file \S+\/gone\.py$/,
      /put the program there/,
    ],
    [
      "a name that is not there",
      "shop:wsgi",
      WELL,
      "bad-export",
      /^there is no wsgi in shop$/,
      /^say shop:app$/,
    ],
    [
      "a name that is no application",
      "shop:app",
      "app = 1\n",
      "bad-export",
      /app is not callable, it is int$/,
      /name the WSGI application/,
    ],
    [
      "ASGI",
      "shop:app",
      "async def app(scope, receive, send):\n    pass\n",
      "bad-export",
      /app is an ASGI application/,
      /a2wsgi/,
    ],
    [
      "a library that is not installed",
      "shop:app",
      "import nowhere_to_be_found\n",
      "module-missing",
      /^the module nowhere_to_be_found is not installed for \/\S+$/,
      /-m venv \S+\/\.venv$/,
    ],
    [
      "a mistake of syntax",
      "shop:app",
      "def app(:\n",
      "syntax-error",
      /^the program is not valid Python at \S+\/shop\.py:1: SyntaxError: invalid syntax$/,
      /py_compile/,
    ],
    [
      "a variable that is missing",
      "shop:app",
      'import os\nos.environ["SHOP_KEY"]\n',
      "environment-missing",
      /the environment variable SHOP_KEY is missing/,
      /--env SHOP_KEY=VALUE/,
    ],
    [
      "an exception",
      "shop:app",
      'raise RuntimeError("no database")\n',
      "throws",
      /^the program ends with an error: RuntimeError: no database$/,
      /mend it/,
    ],
    [
      "a request that fails",
      "shop:app",
      'def app(environ, start_response):\n    raise ValueError("boom")\n',
      "threw",
      /answers \/ with 500/,
      /mend what its error says/,
    ],
  ])("%s is the cause", LONG, async (_what, name, source, id, says, mends) => {
    const [first] = await examined(place({ "shop.py": source }), name);
    expect(first).toMatchObject({ id: `program.${id}`, verdict: "bad" });
    expect(first?.says).toMatch(says);
    const [step] = first?.remedy ?? [];
    expect(step?.advice ?? step?.run).toMatch(mends);
  });

  it("the manager that serves the same application is not in the way", LONG, async () => {
    const folder = place({ "shop.py": WELL });
    const env = { ...process.env, POSTERN_RUN_DIR: undefined };
    const args = [CLI, "serve", "shop:app", "--bind", `unix:${folder}/other.sock`];
    const manager = start(process.execPath, args, { cwd: folder, env });
    try {
      await manager.waitForLine(/listening for FastCGI/, { timeoutMs: patience(30_000) });
      const found = await allFound(folder, "shop:app");
      const ofProgram = found.filter(({ id }) => id.startsWith("program."));
      expect(ofProgram.filter(({ verdict }) => verdict !== "good")).toEqual([]);
      // Its control socket is none to connect to, and the worker's socket is the manager's.
      expect(found.find(({ id }) => id === "socket.path-differs")?.says).toBe(
        `the web server connects to unix:${folder}/app.sock, and the application listens on unix:${folder}/other.sock`,
      );
      const [wrong] = await examined(folder, "shop:wsgi");
      expect(wrong).toMatchObject({ id: "program.bad-export" });
    } finally {
      await manager.stop();
    }
  });

  it("the socket by which mod_fcgid reaches a program is none to connect to", LONG, async () => {
    const folder = place({ "shop.py": WELL, "shop.fcgi": SERVED });
    const source = `import os, socket, sys
own = socket.socket(socket.AF_UNIX)
own.bind(sys.argv[1])
own.listen()
os.dup2(own.fileno(), 0)
os.execv(sys.argv[2], sys.argv[2:])`;
    const [socket, program] = ["123.4", "shop.fcgi"].map((name) => join(folder, name)) as [string, string];
    const env = { ...process.env, PYTHONPATH: join(repositoryRoot, "python") };
    const spawned = start("/usr/bin/python3", ["-c", source, socket, program], { cwd: folder, env });
    try {
      await waitFor(() => existsSync(socket), { what: "its socket", evidence: spawned.output });
      const found = await allFound(folder, "shop.fcgi", "--no-run");
      expect(found.filter(({ id }) => id === "socket.path-differs")).toEqual([]);
    } finally {
      await spawned.stop();
    }
  });

  it("a server that the module starts is the cause, and does not outlive the examination", LONG, async () => {
    const port = await freePort();
    const source = `from wsgiref.simple_server import make_server\n${WELL}make_server("127.0.0.1", ${port}, app).serve_forever()\n`;
    const [first] = await examined(place({ "shop.py": source }), "shop:app");
    expect(first).toMatchObject({
      id: "program.listens-itself",
      says: `the program listens by itself on 127.0.0.1:${port}, and not on the socket that it is given: no web server finds it`,
      remedy: [
        { advice: 'put the call that starts that server behind the line: if __name__ == "__main__":' },
      ],
    });
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  });

  it("a Python that is not there is the cause", LONG, async () => {
    const settings = { app: "shop:app", bind: "unix:DIR/app.sock", python: "DIR/gone" };
    const folder = place({ "shop.py": WELL, "postern.config.json": JSON.stringify(settings) });
    const [first] = await examined(folder, "--run");
    expect(first).toMatchObject({
      id: "program.python-missing",
      says: `there is no ${folder}/gone, which the setting python names`,
    });
  });

  it("flup is not needed: the edit that is printed makes the file run", LONG, async () => {
    const folder = place({ "shop.py": WELL, "shop.fcgi": SERVED });
    const [first] = await examined(folder, "shop.fcgi");
    expect(first?.says).toMatch(/^flup is not installed, and neither is the stand-in/);
    edit(first!.remedy[0]!);
    const after = await examined(folder, "shop.fcgi");
    expect(after.filter(({ verdict }) => verdict === "bad")).toEqual([]);
    expect(after.map(({ id }) => id)).toContain("program.answer");
  });

  it("a virtual environment that its first line does not name is found", LONG, async () => {
    const folder = place({ "shop.py": `import shop_library\n${WELL}`, "shop.fcgi": SERVED });
    const made = await run("/usr/bin/python3", ["-m", "venv", "--without-pip", join(folder, ".venv")], {
      timeoutMs: patience(30_000),
    });
    expect(made.code, made.stderr).toBe(0);
    const script = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
    const { stdout } = await run(join(folder, ".venv", "bin", "python"), ["-c", script]);
    writeFileSync(join(stdout.trim(), "shop_library.py"), "");
    edit((await examined(folder, "shop.fcgi"))[0]!.remedy[0]!); // flup
    const [first] = await examined(folder, "shop.fcgi");
    expect(first).toMatchObject({
      id: "program.wrong-python",
      says: `shop_library is installed in ${folder}/.venv, and the application is run by /usr/bin/python3`,
    });
    edit(first!.remedy[0]!);
    expect((await examined(folder, "shop.fcgi")).filter(({ verdict }) => verdict === "bad")).toEqual([]);
    // postern serve finds it without being told.
    expect((await examined(folder, "shop:app")).map(({ id }) => id)).toContain("program.answer");
    rmSync(join(folder, ".venv"), { recursive: true });
  });

  it("the interpreter of the old guide is replaced by the one that there is", LONG, async () => {
    const folder = place({ "shop.fcgi": SERVED.replace("python3", "python2.6-of-old") });
    const [gone] = await examined(folder, "shop.fcgi");
    expect(gone).toMatchObject({ id: "program.interpreter-missing" });
    writeFileSync(join(folder, "shop.fcgi"), SERVED.replace("/usr/bin/python3", `${folder}/python`));
    const [first] = await examined(folder, "shop.fcgi");
    expect(first?.remedy[0]?.to).toMatch(/\/python3$/);
  });
});
