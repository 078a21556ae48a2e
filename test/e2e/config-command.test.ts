/** `postern config <server>` as people use it: printed, written, started, and compared with what is there. */
import {
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { WEB_SERVERS } from "../../src/sites/index.ts";
import { built } from "../support/e2e/built.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { freePort, isListening } from "../support/ports.ts";
import { type Running, run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
let folder: string;

beforeAll(async () => {
  await built();
  folder = temporaryFolder("shop");
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(
    join(folder, "app.js"),
    "export default (req, res) => res.end('the application at ' + req.url);",
  );
  mkdirSync(join(folder, "public"));
  writeFileSync(join(folder, "public", "file.txt"), "a file");
});

const config = (args: readonly string[], options: { cwd?: string; input?: string } = {}) =>
  run(process.execPath, [CLI, "config", ...args], { cwd: folder, input: "", timeoutMs: 30_000, ...options });

describe("the text", () => {
  it("is on standard output, with its place, and what is to be minded on standard error", async () => {
    const { code, stdout, stderr } = await config(["nginx", "app.js", "--name", "shop"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^# File: \/etc\/nginx\/conf\.d\/shop\.conf \(mode 0644\)\n# Made by: postern config nginx\n/,
    );
    expect(stderr).toMatch(/^postern: no --server-name: /m);
    expect(stderr).toMatch(/^postern: the files in \S+\/public are for every visitor/m);
  });

  it("is of what postern.config says, and of the pool that is named", async () => {
    const many = temporaryFolder("many");
    const pools = {
      blog: { app: "blog.js", bind: "unix:/run/blog.sock" },
      wiki: { app: "wiki.js", base: "/wiki" },
    };
    writeFileSync(join(many, "postern.config.json"), JSON.stringify({ pools }));
    const which = await config(["nginx"], { cwd: many });
    expect(which).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/pools blog, wiki: say with --pool/),
    });
    const wrong = await config(["nginx", "--pool", "x"], { cwd: many });
    expect(wrong).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--pool "x": there is no such pool/),
    });
    expect((await config(["nginx", "--pool", "blog"], { cwd: many })).stdout).toContain(
      "server unix:/run/blog.sock;",
    );
    const other = join(many, "postern.config.json");
    const wiki = await config(["nginx", "--pool", "wiki", "--config", other]);
    expect(wiki.stdout).toMatch(/upstream wiki \{[^}]*unix:\/run\/wiki\/app\.sock;.*location = \/wiki /s);
  });

  it.each(WEB_SERVERS.filter((server) => server !== "cherokee"))("can be had for %s", async (server) => {
    const { code, stdout, stderr } = await config([server, "app.js", "--bind", "127.0.0.1:9000"]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(`Made by: postern config ${server}`);
  });

  it.each([
    [["ngins"], /unknown command 'ngins'/],
    [
      ["nginx", "gone.js"],
      /there is no file \S+gone\.js; name the application, or leave it out and give --bind/,
    ],
    [["nginx", "--pool", "x"], /--pool x: there is no postern\.config\.\* here/],
    [["nginx", "--json"], /--json without --check/],
    [["nginx", "--module", "fcgid"], /unknown option '--module'/],
    [["nginx", "--mount", "/a b"], /--mount "\/a b": a URL path such as \/app/],
    [["nginx", "--check", "gone.conf"], /--check gone\.conf: there is no such file/],
  ])("is refused in a sentence: %j", async (args, says) => {
    const { code, stdout, stderr } = await config(args);
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(/^postern: /);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });
});

describe("written", () => {
  it("follows no link to a place that nobody has named, and leaves nothing half done", async () => {
    const place = temporaryFolder("links");
    const into = (name: string, ...more: string[]) =>
      config(["nginx", "--bind", "127.0.0.1:9000", "--name", "shop", "--output", join(place, name), ...more]);
    mkdirSync(join(place, "a"));
    symlinkSync(join(place, "elsewhere"), join(place, "a", "shop.conf"));
    expect(await into("a")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is there already; --force/),
    });
    expect((await into("a", "--force")).code).toBe(0);
    expect(existsSync(join(place, "elsewhere"))).toBe(false);

    // A link to a file stays one.
    writeFileSync(join(place, "kept.conf"), "old");
    mkdirSync(join(place, "b"));
    symlinkSync("../kept.conf", join(place, "b", "shop.conf"));
    expect((await into("b", "--force")).code).toBe(0);
    expect(lstatSync(join(place, "b", "shop.conf")).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(place, "kept.conf"), "utf8")).toContain("Made by: postern config nginx");

    mkdirSync(join(place, "c", "shop.conf"), { recursive: true });
    expect(await into("c", "--force")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/that is no file/),
    });
    expect(await into("kept.conf")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/above it is a file/),
    });
    for (const name of ["a", "b", "c"]) expect(readdirSync(join(place, name))).toEqual(["shop.conf"]);
  });

  it("is the same again, and says so; another is replaced only with --force", async () => {
    const output = temporaryFolder("o");
    const args = ["nginx", "app.js", "--name", "shop", "--server-name", "a.example", "--output", output];
    const file = join(output, "shop.conf");
    const first = await config(args);
    expect(first.stdout).toMatch(
      /^wrote \S+\/shop\.conf\n\n {2}copy {4}(?:mkdir -p \S+ && )?cp -R \S+ \/etc\/nginx\/conf\.d\/\n {2}check {3}nginx -t\n {2}reload {2}systemctl reload nginx$/,
    );
    const text = readFileSync(file);
    const second = await config(args);
    expect(second.stdout).toMatch(/^unchanged \S+\/shop\.conf\n/);
    expect(readFileSync(file)).toEqual(text);
    const third = await config([...args, "--stream"]);
    expect(third).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is there already; --force replaces it/),
    });
    expect(readFileSync(file)).toEqual(text);
    expect((await config([...args, "--stream", "--force"])).stdout).toMatch(/^wrote /);
    expect(readFileSync(file)).not.toEqual(text);
    expect(statSync(file).mode & 0o777).toBe(0o644);
  });
});

/** An application with its socket, which the web server may open. */
async function serving(use: (socket: string) => Promise<void>): Promise<void> {
  const socket = join(temporaryFolder("b"), "s");
  const group = serverUser()?.group;
  const app = start(
    process.execPath,
    [CLI, "serve", "app.js", "--bind", `unix:${socket}`, ...(group ? ["--listen-group", group] : [])],
    { cwd: folder },
  );
  try {
    await app.waitForLine(/listening for FastCGI/, { timeoutMs: 20_000 });
    await use(socket);
  } finally {
    await app.stop();
  }
}

/** A printed command; the program may be elsewhere on this machine. */
function printed(stdout: string, what: string, program: string): string {
  const command = new RegExp(`^ {2}${what} +(.*)$`, "m").exec(stdout)?.[1] ?? "true";
  return command.replace(/^(?:nginx|lighttpd|h2o|apache2)(?= )/, program);
}

describe.each(["lighttpd", "h2o", "apache"] as const)("%s", (name) => {
  describeWithServer(name, "of its own", () => {
    it(
      "runs by the commands that are printed, also when root has made it",
      { timeout: patience(60_000) },
      () =>
        serving(async (socket) => {
          const place = join(temporaryFolder("w"), "site");
          const port = await freePort();
          const flags = ["--bind", `unix:${socket}`, "--listen", `127.0.0.1:${port}`, "--no-root"];
          const made = await config([name, "app.js", ...flags, "--standalone", place, "--write"]);
          const command = (what: string): string => printed(made.stdout, what, programOf(name));
          for (const what of ["install", "check"]) {
            const done = await run("sh", ["-c", command(what)]);
            expect(done.code, `${command(what)}\n${done.stderr}`).toBe(0);
          }
          const server = start("sh", ["-c", `exec ${command("run")}`]);
          try {
            await waitFor(async () => server.exit ?? (await isListening({ host: "127.0.0.1", port })), {
              timeoutMs: 15_000,
              what: `${name} to listen`,
              evidence: () => server.output(),
            });
            expect((await request(`http://127.0.0.1:${port}/a?b`)).text).toBe("the application at /a?b");
          } finally {
            await server.stop({ signal: "SIGTERM" });
          }
        }),
    );
  });
});

describeWithServer("nginx", "a server of its own", () => {
  it("is written, checked, run by the command that is printed, and asked", {
    timeout: patience(60_000),
  }, async () => {
    const place = join(temporaryFolder("w"), "my site");
    mkdirSync(place);
    chmodSync(place, 0o755);
    const port = await freePort();
    await serving(async (socket) => {
      const flags = ["--bind", `unix:${socket}`, "--listen", `127.0.0.1:${port}`, "--mount", "/shop"];
      const made = await config(["nginx", "app.js", ...flags, "--standalone", place, "--write"]);
      expect(made.stdout).toMatch(/^wrote .*nginx\.conf\n/);
      const command = (what: string): string => printed(made.stdout, what, programOf("nginx"));
      expect((await run("sh", ["-c", command("check")])).code).toBe(0);
      const nginx = start("sh", ["-c", `exec ${command("run")}`]);
      try {
        await waitFor(async () => nginx.exit ?? (await isListening({ host: "127.0.0.1", port })), {
          timeoutMs: 15_000,
          what: "nginx to listen",
          evidence: () => nginx.output(),
        });
        const origin = `http://127.0.0.1:${port}`;
        expect((await request(`${origin}/shop/a?b`)).text).toBe("the application at /a?b");
        expect((await request(`${origin}/shop`)).text).toBe("the application at /");
        expect((await request(`${origin}/file.txt`)).text).toBe("a file");
        expect((await request(`${origin}/shopx`)).status).toBe(404);
      } finally {
        await nginx.stop({ signal: "SIGQUIT" });
      }
    });
  });
});

describe("--check", () => {
  const flawed = `server {
  listen 80;
  location /app {
    include fastcgi_params;
    fastcgi_pass unix:/run/other.sock;
  }
}
`;

  it("prints what is wrong by line, with the remedy, and tells by its exit code", async () => {
    const file = join(temporaryFolder("c"), "site.conf");
    writeFileSync(file, flawed);
    const found = await config(["nginx", "--check", file, "--bind", "unix:/run/app.sock"]);
    expect(found.code).toBe(1);
    expect(found.stderr).toBe("");
    expect(found.stdout).toContain(
      `${file}:5: error address-differs: requests go to unix:/run/other.sock, and the application listens at unix:/run/app.sock; visitors get 502\n    fastcgi_pass unix:/run/app.sock;\n`,
    );
    expect(found.stdout).toContain(`${file}:3: warning mount-without-slash: `);
  });

  it("reads standard input, and prints JSON", async () => {
    const found = await config(["nginx", "--check", "-", "--json"], { input: flawed });
    const findings = JSON.parse(found.stdout) as { rule: string; line: number }[];
    expect(findings.map(({ line }) => line)).toEqual(
      findings.map(({ line }) => line).toSorted((a, b) => a - b),
    );
    expect(findings.map(({ rule }) => rule)).toContain("path-info-missing");
    expect(found.code).toBe(1);
  });

  it("asks for no address to compare with where a file names none", async () => {
    const file = join(temporaryFolder("c"), ".htaccess");
    const made = readFileSync(join(repositoryRoot, "docs", "deploy", "apache.md"), "utf8");
    writeFileSync(file, /```apache htaccess\n([\s\S]*?)```/.exec(made)?.[1] ?? "");
    const found = await config(["apache", "--check", file]);
    expect(found).toMatchObject({ code: 0, stdout: "", stderr: `postern: ${file}: nothing found` });
  });

  it("is content with what it has made itself, and with warnings only", async () => {
    const { stdout } = await config(["nginx", "app.js", "--mount", "/app"]);
    const own = await config(["nginx", "app.js", "--mount", "/app", "--check", "-"], { input: stdout });
    expect(own).toMatchObject({
      code: 0,
      stdout: "",
      stderr: expect.stringContaining("postern: -: nothing found"),
    });
    const warned = await config(["nginx", "--check", "-"], {
      input: stdout.replace("location /app/", "location /app"),
    });
    expect(warned).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^-:\d+: warning mount-without-slash/),
    });
  });

  it("prints nothing of the file that commands a terminal, and reads no flood", {
    timeout: 60_000,
  }, async () => {
    const texts = [
      ["nginx", 'server { location /a\u001b[2J { fastcgi_pass "/run/\u009b31m\u001b]0;x\u0007"; } }\n'],
      ["haproxy", "\u001b[2J\u009b31m\n"],
      ["h2o", 'hosts:\n  "a":\n    paths:\n      "/\\e]0;x\\a":\n        fastcgi.connect: "/\\e[31m"\n'],
    ] as const;
    for (const [server, input] of texts) {
      const { stdout, stderr } = await config([server, "--check", "-", "--mount", "/x"], { input });
      expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
      expect(stdout + stderr).toMatch(/\S/);
    }
    const flood = "a b;\n".repeat(1_000_000);
    writeFileSync(join(folder, "flood.conf"), flood);
    const refused = { code: 2, stderr: expect.stringMatching(/: it has more than the 4194304 bytes/) };
    expect(await config(["nginx", "--check", "flood.conf"])).toMatchObject(refused);
    expect(await config(["nginx", "--check", "-"], { input: flood })).toMatchObject(refused);
    // One that never ends.
    const endless = ["-c", `yes 'a b;' | '${process.execPath}' '${CLI}' config nginx --check -`];
    expect(await run("/bin/sh", endless, { cwd: folder, timeoutMs: 30_000 })).toMatchObject(refused);
  });

  it("waits for a standard input that does not block and comes in pieces", async () => {
    const { stdout: text } = await config(["nginx", "app.js", "--mount", "/app"]);
    const fifo = join(temporaryFolder("f"), "fifo");
    await run("mkfifo", [fifo]);
    const stdin = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    await using pipe = await open(fifo, "w");
    await using checking = start(process.execPath, [CLI, "config", "nginx", "--check", "-"], {
      cwd: folder,
      stdin,
    });
    // Starting a process made it blocking; a socket of ours on it makes it non-blocking, for all who hold it.
    new net.Socket({ fd: stdin, readable: false }).destroy();
    await waitFor(() => waitsForInput(checking) || checking.exit, { timeoutMs: 30_000 });
    expect(checking.exit).toBeUndefined();
    // More than fits into a pipe: written when the reader has taken a part of it.
    await pipe.writeFile("# more\n".repeat(20_000));
    await pipe.writeFile(text);
    await pipe.close();
    await checking.exited;
    expect(checking).toMatchObject({ exit: { code: 0 } });
    expect(checking.stderr()).toContain("postern: -: nothing found");
  });

  it("refuses what it cannot read, with the line", async () => {
    const found = await config(["nginx", "--check", "-"], { input: "server {\n" });
    expect(found).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^postern: --check -: line 1: .*not closed/),
    });
    const folder = await config(["nginx", "--check", temporaryFolder("c")]);
    expect(folder).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/it is a folder; name a file in it/),
    });
  });
});

/** Whether a process has found nothing in its standard input, and asked the kernel to be told of more. */
function waitsForInput({ pid }: Running): boolean {
  const folder = `/proc/${pid}/fdinfo`;
  return readdirSync(folder).some((fd) => {
    try {
      return /^tfd: +0 /m.test(readFileSync(join(folder, fd), "utf8"));
    } catch {
      return false; // closed meanwhile
    }
  });
}
