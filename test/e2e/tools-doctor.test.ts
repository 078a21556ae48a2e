/** `postern doctor` as people call it: what it prints, its JSON and exit codes, and the applications that it starts. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { built } from "../support/e2e/built.ts";
import { repositoryRoot } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { describeWithServer } from "../support/web-servers/available.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");

interface Report {
  readonly verdict: string;
  readonly findings: readonly {
    readonly id: string;
    readonly verdict: string;
    readonly says: string;
    readonly evidence: readonly string[];
    readonly remedy: readonly { run?: string; advice?: string; from?: string; to?: string }[];
    readonly follows?: string;
  }[];
  readonly checks: readonly { readonly id: string; readonly question: string; readonly verdict: string }[];
}

beforeAll(built);

/** A folder with the application and the configuration of an nginx in front of it, which does not run. */
function place(files: Readonly<Record<string, string>>, pass?: string): string {
  const folder = temporaryFolder("d");
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(repositoryRoot, join(folder, "node_modules", "postern"));
  const conf = [
    `user ${serverUser()?.user ?? "nobody"};`,
    `error_log ${folder}/error.log;`,
    "events {}",
    "http {",
    "  server {",
    "    listen 127.0.0.1:1;",
    "    location / {",
    `      fastcgi_pass ${pass ?? `unix:${folder}/app.sock`};`,
    "    }",
    "  }",
    "}",
    "",
  ];
  for (const [name, text] of Object.entries({
    "package.json": "{}",
    "nginx.conf": conf.join("\n"),
    ...files,
  })) {
    writeFileSync(join(folder, name), text);
    if (name.endsWith(".fcgi")) chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

const doctor = (folder: string, args: readonly string[], env?: Readonly<Record<string, string>>) =>
  run(process.execPath, [CLI, "doctor", ...args], {
    cwd: folder,
    input: "",
    timeoutMs: 55_000,
    ...(env !== undefined && { env: { ...process.env, ...env } }),
  });

const BEHIND = ["--server", "nginx", "--config-file", "nginx.conf"];

async function examined(
  folder: string,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
): Promise<Report> {
  const { stdout, stderr } = await doctor(folder, [...args, ...BEHIND, "--json"], env);
  expect(stderr).toBe("");
  return JSON.parse(stdout) as Report;
}

describeWithServer("nginx", "an application that the doctor starts", () => {
  const PROGRAM = "#!/usr/bin/env node\n";
  const SERVE = 'import("postern").then(({ serve }) => serve((req, res) => res.end("well")));\n';
  it.each<[string, string, Readonly<Record<string, string>>, string]>([
    [
      "a module that is not installed",
      "app.js",
      { "app.js": 'require("no-such-module");' },
      "program.module-missing",
    ],
    [
      "a syntax error",
      "app.js",
      { "app.js": "module.exports = (req, res) => {\n  res.end(;\n};\n" },
      "program.syntax-error",
    ],
    ["an export that is no application", "app.js", { "app.js": "module.exports = 3;" }, "program.bad-export"],
    [
      "CommonJS in a package of modules",
      "app.js",
      { "app.js": "module.exports = 1;", "package.json": '{"type":"module"}' },
      "program.esm-mismatch",
    ],
    ["an await without end", "app.mjs", { "app.mjs": "await new Promise(() => {});" }, "program.never-ready"],
    [
      "a handler that throws",
      "app.js",
      { "app.js": "module.exports = () => { throw new Error('boom'); };" },
      "program.threw",
    ],
    [
      "a handler that ends the process",
      "app.js",
      { "app.js": "module.exports = () => process.exit(3);" },
      "program.dies",
    ],
    [
      "a server that listens by itself",
      "app.fcgi",
      { "app.fcgi": `${PROGRAM}require("http").createServer().listen(0, "127.0.0.1");` },
      "program.listens-itself",
    ],
    [
      "too little memory",
      "app.fcgi",
      {
        "app.fcgi":
          "#!/usr/bin/env -S node --max-old-space-size=20\nconst all = []; for (;;) all.push(new Array(1e5).fill(Math.random() + 'x'));",
      },
      "program.out-of-memory",
    ],
    ["carriage returns", "app.fcgi", { "app.fcgi": "#!/usr/bin/env node\r\n" }, "program.crlf"],
  ])("%s is the cause", async (_what, file, files, cause) => {
    const folder = place(files);
    const { findings } = await examined(folder, [file]);
    expect(findings[0], JSON.stringify(findings, undefined, 1)).toMatchObject({ id: cause, verdict: "bad" });
    expect(findings[0]!.remedy.length).toBeGreaterThan(0);
    const socket = findings.find(({ id }) => id === "socket.missing");
    expect(socket?.follows).toBe(cause);
  });

  it("runs as the web server's user with a bare environment, and is gone afterwards", async () => {
    const folder = place({
      "app.fcgi": `${PROGRAM}const { writeFileSync } = require("fs");
require("child_process").spawn("sleep", ["600"], { detached: true, stdio: "ignore" }).unref();
console.log(JSON.stringify({ uid: process.getuid(), pid: process.pid, env: process.env }));
${SERVE}`,
    });
    const user = serverUser();
    const { findings, checks } = await examined(folder, ["app.fcgi", "--verbose"], { SECRET_OF_MINE: "x" });
    expect(checks.find(({ id }) => id === "program.starts")?.verdict).toBe("good");
    const said = findings.find(({ id }) => id === "program.prints")?.evidence[0] ?? "";
    const { uid, pid, env } = JSON.parse(said) as {
      uid: number;
      pid: number;
      env: Record<string, string>;
    };
    if (user !== undefined) expect(uid).toBe(user.uid);
    expect(env).toHaveProperty("PATH");
    expect(env).not.toHaveProperty("SECRET_OF_MINE");
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(processesWith(`_POSTERN_DOCTOR_TRIAL=${env["_POSTERN_DOCTOR_TRIAL"]}`)).toEqual([]);
  });

  it("is told which variable it lacks, and who has it", async () => {
    const folder = place({
      "app.fcgi": `${PROGRAM}if (!process.env.SHOP_KEY) throw new Error("SHOP_KEY is not set");\n${SERVE}`,
      ".env": "SHOP_KEY=1\n",
    });
    const { findings } = await examined(folder, ["app.fcgi"], { SHOP_KEY: "1" });
    expect(findings[0]).toMatchObject({
      id: "program.environment-missing",
      remedy: [{ from: "#!/usr/bin/env node", to: `#!/usr/bin/env -S node --env-file=${folder}/.env` }],
    });
    expect(findings[0]!.evidence).toContainEqual(expect.stringContaining("this shell has it"));
  });

  it("is left alone with --no-run", async () => {
    const folder = place({ "app.js": 'require("fs").writeFileSync("ran", "");' });
    const { checks } = await examined(folder, ["app.js", "--no-run"]);
    expect(checks.map(({ id }) => id)).not.toContain("program.starts");
    expect(existsSync(join(folder, "ran"))).toBe(false);
  });
});

describeWithServer("nginx", "what is printed", () => {
  it("begins with the cause, its evidence and what mends it", async () => {
    const folder = place({ "app.fcgi": "#!/usr/bin/env node\r\n" });
    const { code, stdout } = await doctor(folder, ["app.fcgi", ...BEHIND]);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^✗ \S+\/app\.fcgi has line ends of Windows: .* {2}\[program\.crlf\]\n {4}line 1 is .*\n {2}\$ sed -i /,
    );
    expect(stdout).toContain("That follows from the first, and goes away with it:\n");
  });

  it("names the port that speaks HTTP, and the edit", async () => {
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    try {
      const { findings } = await examined(place({}, `127.0.0.1:${port}`), []);
      expect(findings[0]).toMatchObject({
        id: "socket.not-fastcgi",
        says: `127.0.0.1:${port} speaks HTTP, not FastCGI`,
      });
      expect(findings[0]!.remedy[0]).toMatchObject({ from: "fastcgi_pass ", to: "proxy_pass http://" });
    } finally {
      server.close();
    }
  });

  it.runIf(serverUser())(
    "names what stops the web server's user, and the command that opens it",
    async () => {
      const folder = place({});
      const server = net.createServer((socket) => socket.destroy());
      await new Promise<void>((resolve) => server.listen(join(folder, "app.sock"), resolve));
      chmodSync(join(folder, "app.sock"), 0o600);
      try {
        const { findings } = await examined(folder, []);
        expect(findings[0]).toMatchObject({
          id: "socket.no-permission",
          remedy: [{ run: `chgrp www-data ${folder}/app.sock` }, { run: `chmod g+rw ${folder}/app.sock` }],
        });
      } finally {
        server.close();
      }
    },
  );
});

describe("wrong flags", () => {
  it.each([
    [["--server", "iis"], /iis/],
    [["--config-file", "none.conf"], /--config-file none\.conf: there is no/],
    [["--connect", "9000"], /--connect "9000": for TCP write/],
    [["--url", "example.com"], /--url "example\.com": write it whole/],
    [["--deadline", "soon"], /--deadline "soon": write a time/],
    [["--user", "no-such-user-here"], /there is no user named "no-such-user-here"/],
  ])("%j are refused", async (args, why) => {
    const { code, stdout, stderr } = await doctor(place({}), args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(why);
  });
});

function processesWith(entry: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(entry);
    } catch {
      return false; // gone, or not ours to read
    }
  });
}
