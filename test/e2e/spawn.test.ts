/** `postern spawn`: FastCGI programs in other languages, supervised like applications, behind a real nginx. */
import { chmodSync, copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { built, programPath } from "../support/e2e/built.ts";
import {
  CLI,
  descendantsOf,
  type Managed,
  outcome,
  PATIENT,
  serveManaged,
  stopManagers,
  untilGone,
} from "../support/e2e/supervised.ts";
import { request } from "../support/http.ts";
import { readDocument } from "../support/markdown.ts";
import { notice } from "../support/notice.ts";
import { run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { waitFor } from "../support/wait.ts";
import { describeWithServer, programOf, type ServerName } from "../support/web-servers/available.ts";
import { startNginx } from "../support/web-servers/nginx.ts";
import { serverUser, type WebServer } from "../support/web-servers/web-server.ts";

const CLEAN = { code: 0, signal: null };
const PYTHON = "/usr/bin/python3";
const webs: WebServer[] = [];

beforeAll(built);
afterEach(async () => {
  for (const web of webs.splice(0)) await web.stop();
  await stopManagers();
});

interface Language {
  readonly name: string;
  readonly needs: readonly ServerName[];
  /** Puts the program into the folder, and says how it is started. */
  readonly prepare: (folder: string) => Promise<readonly string[]>;
  /** It says so when it starts; php-cgi says nothing by itself. */
  readonly announces: boolean;
  /** What ends it: a request for /crash. */
  readonly crash: string;
  readonly nginx?: (folder: string) => string;
  readonly flags?: readonly string[];
}

const copied =
  (name: string, ...command: readonly string[]) =>
  (folder: string): Promise<readonly string[]> => {
    copyFileSync(programPath(name), join(folder, name));
    chmodSync(join(folder, name), 0o755);
    return Promise.resolve(command.length > 0 ? command : [`./${name}`]);
  };

const LANGUAGES: readonly Language[] = [
  {
    name: "C with libfcgi",
    needs: ["gcc", "libc6-dev", "libfcgi-dev"],
    async prepare(folder) {
      const { code, stderr } = await run(programOf("gcc"), [
        ...["-O1", "-Wall", "-o", join(folder, "responder"), programPath("responder.c"), "-lfcgi"],
      ]);
      expect(`${code} ${stderr}`).toBe("0 ");
      return ["./responder"];
    },
    announces: true,
    crash: "signal SIGABRT",
  },
  {
    name: "Perl with FCGI",
    needs: ["perl", "libfcgi-perl"],
    prepare: copied("responder.pl"),
    announces: true,
    crash: "signal SIGKILL",
  },
  {
    name: "php-cgi",
    needs: ["php-cgi"],
    prepare: (folder) => copied("responder.php", programOf("php-cgi"), "-n")(folder),
    announces: false,
    crash: "signal SIGKILL",
    nginx: (folder) => `fastcgi_param SCRIPT_FILENAME ${join(folder, "responder.php")};`,
    flags: ["--env", "PHP_FCGI_CHILDREN=0", "--env", "PHP_FCGI_MAX_REQUESTS=0"],
  },
  {
    name: "Python without a library",
    needs: [],
    prepare: copied("responder.py", PYTHON, "responder.py"),
    announces: true,
    crash: "exit code 9",
  },
];

/** A manager with two workers of a program, in a folder that nginx's workers may enter. */
async function spawn(folder: string, command: readonly string[], ...flags: string[]): Promise<Managed> {
  const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
  const user = serverUser();
  const group = user === undefined ? [] : ["--listen-group", user.group];
  const all = [...group, "--workers", "2", "--chdir", folder, ...flags, "--", ...command];
  return serveManaged({ args: ["spawn", "--bind", address, ...all], address, cwd: folder });
}

for (const language of LANGUAGES) {
  const { name, needs } = language;
  if (needs.length === 0 && !existsSync(PYTHON)) {
    notice(`skipped "${name}": there is no ${PYTHON}`);
    continue;
  }
  describeWithServer(["nginx", ...needs], name, () => {
    it("answers through nginx, is reloaded under load without a failure, replaced after a crash, and stopped", async () => {
      const folder = temporaryFolder("p");
      writeFileSync(join(folder, "release.txt"), "one");
      const command = await language.prepare(folder);
      const managed = await spawn(folder, command, ...(language.flags ?? []));
      const application = { unix: managed.address.slice("unix:".length) };
      const directives = language.nginx?.(folder);
      const web = await startNginx({ application, ...(directives === undefined ? {} : { directives }) });
      webs.push(web);

      const first = await request(`${web.url}/hello`);
      expect(first.status).toBe(200);
      expect(JSON.parse(first.text)).toMatchObject({ url: "/hello" });
      const pids = (await managed.workers()).map(({ pid }) => pid);
      expect(pids).toContain((JSON.parse(first.text) as { pid: number }).pid);
      if (language.announces)
        await managed.line(new RegExp(` err {3}\\[test ${pids[0]}\\] responder started$`));

      // What can be known from outside.
      await managed.until("memory", ({ pools }) => pools[0]?.workers.every((one) => one.memoryBytes));
      const shown = (await managed.cli("status")).stdout;
      for (const pid of pids) expect(shown).toMatch(new RegExp(` ${pid} +ready .* MB +[\\d.]+ m?s`));

      // Reload under load.
      writeFileSync(join(folder, "release.txt"), "two");
      const statuses = new Map<string, number>();
      let isOver = false;
      const ask = async (path: string): Promise<void> => {
        while (!isOver) {
          const { status, text } = await request(`${web.url}${path}`);
          const what =
            status === 200 ? `200 ${(JSON.parse(text) as { pid: number }).pid}` : `${status} ${text}`;
          statuses.set(what, (statuses.get(what) ?? 0) + 1);
        }
      };
      const loops = [ask("/"), ask("/slow"), ask("/")];
      expect((await managed.cli("reload")).code).toBe(0);
      await untilGone(pids, managed.log);
      const now = (await managed.workers()).map(({ pid }) => pid);
      try {
        await waitFor(() => now.some((pid) => statuses.has(`200 ${pid}`)), {
          what: "an answer of a new program",
          evidence: () => JSON.stringify([...statuses]),
        });
      } finally {
        isOver = true;
        await Promise.all(loops);
      }
      expect([...statuses.keys()].filter((text) => !text.startsWith("200 "))).toEqual([]);
      expect(managed.log()).not.toMatch(/did not end within|unexpectedly/);

      // A crash.
      expect((await request(`${web.url}/crash`)).status).toBe(502);
      await managed.line(new RegExp(`worker ended unexpectedly: ${language.crash}`));
      await managed.until("two workers again", ({ pools }) => {
        const ready = pools[0]?.workers.filter(({ stage }) => stage === "ready");
        return ready?.length === 2;
      });
      expect((await request(`${web.url}/`)).status).toBe(200);
      expect((await managed.pool()).workersCrashed).toBe(1);

      const all = descendantsOf(managed.process.pid);
      expect((await managed.cli("stop")).code).toBe(0);
      expect(await managed.process.exited).toEqual(CLEAN);
      await untilGone(all);
      expect(existsSync(application.unix)).toBe(false);
    });
  });
}

describe("the examples of docs/spawn.md", () => {
  const example = (language: string): string => {
    const block = readDocument("docs/spawn.md").blocks.find((one) => one.language === language);
    if (block === undefined) throw new Error(`docs/spawn.md has no ${language}`);
    return block.text;
  };
  const greets = async (folder: string, command: readonly string[]): Promise<void> => {
    const managed = await spawn(folder, command);
    expect(await outcome(managed.get("/there?x"))).toBe("200 Hello from /there?x\n");
  };

  describeWithServer(["gcc", "libc6-dev", "libfcgi-dev"], "C", () => {
    it("works", async () => {
      const folder = temporaryFolder("c");
      writeFileSync(join(folder, "hello.c"), example("c"));
      const compiled = await run(programOf("gcc"), ["-o", "hello", "hello.c", "-lfcgi"], { cwd: folder });
      expect(`${compiled.code} ${compiled.stderr}`).toBe("0 ");
      await greets(folder, ["./hello"]);
    });
  });

  describeWithServer(["perl", "libfcgi-perl"], "Perl", () => {
    it("works", async () => {
      const folder = temporaryFolder("p");
      writeFileSync(join(folder, "hello.pl"), example("perl"), { mode: 0o755 });
      await greets(folder, ["./hello.pl"]);
    });
  });

  it.runIf(existsSync(PYTHON))("is Python, the part that is shown", async () => {
    const { code, stderr } = await run(PYTHON, ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], {
      input: example("python"),
    });
    expect(`${code} ${stderr}`).toBe("0 ");
  });
});

describe("postern spawn", () => {
  const script = (folder: string, text: string): string => {
    const file = join(folder, "program.sh");
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
    return file;
  };
  const fails = async (...args: string[]) => {
    const cwd = temporaryFolder("f");
    const control = join(cwd, "c.sock");
    const all = [CLI, "spawn", "--control-socket", control, "--bind", "unix:x.sock", ...args];
    const finished = await run(process.execPath, all, { cwd, timeoutMs: 30_000 });
    expect(finished.stdout).toBe("");
    expect(finished.stderr).not.toMatch(/^ {4}at /m);
    for (const file of [control, join(cwd, "x.sock")]) expect(existsSync(file)).toBe(false);
    return finished;
  };

  it.each([
    [["no-such-program"], 2, /^postern: there is no program no-such-program in PATH \(/m],
    [["./no-such-program"], 2, /^postern: there is no program \/.*\/no-such-program; install it/m],
    [["/bin/false"], 4, /^postern: \/bin\/false ended with exit code 1$/m],
    [[], 2, /^postern: missing required argument 'program'$/m],
  ] as const)("ends with one sentence for %j", async (command, code, says) => {
    const finished = await fails("--", ...command);
    expect(finished.stderr).toMatch(says);
    expect(finished.code).toBe(code);
  });

  it("tells the last lines of a program that does not start", async () => {
    const program = script(temporaryFolder("w"), 'echo "cannot open the database" >&2; exit 5');
    const finished = await fails("--", program);
    expect(finished.stderr).toMatch(/^postern: cannot open the database$/m);
    expect(finished.code).toBe(4);
  });

  it("says that settings for JavaScript applications have no effect", async () => {
    const finished = await fails("--max-requests", "5", "--", "/bin/false");
    expect(finished.stderr).toMatch(/ warn .*maxRequests \(--max-requests\) has no effect on a command/);
  });

  it("gives the program the socket as fd 0, nothing else, its folder, and the environment", async () => {
    const folder = temporaryFolder("w");
    // Listed into a file: a pipe or a substitution would be one more descriptor of the shell.
    const program = script(
      folder,
      'ls /proc/$$/fd > fds.txt; echo "fds $(tr "\\n" " " < fds.txt) cwd $(pwd) colour $COLOUR umask $(umask) files $(ulimit -n)"; exec sleep 60',
    );
    const managed = await spawn(
      folder,
      [program],
      "--env",
      "COLOUR=blue",
      "--umask",
      "0027",
      "--rlimit-files",
      "99",
    );
    const [, fds] = await managed.line(
      new RegExp(` out {3}\\[test \\d+\\] fds ([\\d ]+) cwd ${folder} colour blue umask 0027 files 99$`),
    );
    // 10 and above are the shell's own.
    expect((fds ?? "").split(" ").filter((fd) => Number(fd) < 10 && fd !== "")).toEqual(["0", "1", "2"]);
  });

  it("kills a program that does not go when it is told to, with its children", async () => {
    const folder = temporaryFolder("w");
    const program = script(folder, 'trap "" TERM; sleep 1000 & wait; wait; while :; do sleep 1; done');
    const managed = await spawn(folder, [program], "--drain-timeout", "200ms");
    const all = descendantsOf(managed.process.pid);
    expect(all.length).toBeGreaterThanOrEqual(5); // two shells, their sleeps, the guardian
    managed.process.signal("SIGTERM");
    await managed.line(/did not end within its drainTimeout of 200 ms: TERM, then KILL/);
    expect(await managed.process.exited).toEqual(CLEAN);
    await untilGone(all, managed.log);
  });

  it.skipIf(!existsSync(PYTHON))(
    "starts one for the first connection in an ondemand pool, and ends it when it is idle",
    async () => {
      const folder = temporaryFolder("w");
      writeFileSync(join(folder, "release.txt"), "one");
      const command = await copied("responder.py", PYTHON, "responder.py")(folder);
      const address = `unix:${join(temporaryFolder("s"), "a.sock")}`;
      const args = ["spawn", "--bind", address, "--pm", "ondemand", "--chdir", folder];
      args.push("--max-children", "1", "--process-idle-timeout", "1s");
      const managed = await serveManaged({ args: [...args, "--", ...command], address, cwd: folder });
      expect(await managed.workers()).toEqual([]);
      expect(await outcome(managed.get("/"))).toMatch(/^200 .*"release":"one"/);
      await waitFor(async () => (await managed.workers()).length === 1, PATIENT);
      await waitFor(async () => (await managed.workers()).length === 0, PATIENT);
      await managed.line(/draining a worker .*reason=idle/);
      expect(await outcome(managed.get("/"))).toMatch(/^200 /);
    },
  );
});
