/** The files of `postern init`, each run by what they are for: start, reload under load, a bad reload, stop. */
import { chownSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { generateService } from "../../src/generate/services.ts";
import {
  answers,
  ask,
  CLI,
  initService,
  makeSite,
  SERVICE,
  type Site,
  textOf,
  whileAsking,
  writeScript,
} from "../support/e2e/service.ts";
import { type Finished, type Running, run, start } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience, waitFor, waitForFileLine } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { model } from "../unit/generate/models.ts";

/** These start node many times over. */
const LONG = { timeout: patience(180_000) };
const isRoot = process.getuid?.() === 0;

/** A file that was made; its absence is the test's mistake. */
function fileOf(files: ReadonlyMap<string, string>, name: string): string {
  const path = files.get(name);
  if (path === undefined) throw new Error(`no file ${name}, only ${[...files.keys()].join(", ")}`);
  return path;
}

/** New code, the command that reloads, and requests all the while: none fails, and in the end the new code answers. */
async function reloadUnderLoad(site: Site, address: string, reload: () => Promise<unknown>): Promise<void> {
  const counts = await whileAsking(address, async (heard) => {
    await heard("one");
    site.deploy("two");
    await reload();
    await heard("two");
  });
  expect(Object.keys(counts).sort()).toEqual(["one", "two"]);
}

/** The same test of an application in JavaScript, and of one in Python. */
function itInBoth(title: string, test: (site: Site) => Promise<void>): void {
  it(title, LONG, () => test(makeSite()));
  describeWithServer("python", "in Python", () => {
    it(title, LONG, () => test(makeSite("python")));
  });
}

describe("postern init", () => {
  const init = (...args: string[]): Promise<Finished> =>
    run(process.execPath, [CLI, "init", ...args], { cwd: site.path });
  const site = makeSite();
  writeFileSync(join(site.path, "shop.py"), "app = None\n");
  const who = ["--name", SERVICE, "--user", site.user, "--group", site.group];

  it("prints the files, each with its place, and steps only when it wrote them", async () => {
    const printed = await init("systemd", "app.js", ...who, "--socket-activation");
    expect(printed.code).toBe(0);
    expect(printed.stdout).toMatch(/^# File: \/etc\/systemd\/system\/shop\.service \(mode 0644\)\n/);
    expect(printed.stdout).toContain("\n# File: /etc/systemd/system/shop.socket (mode 0644)\n");
    expect(printed.stdout).not.toContain("systemctl");
    const folder = join(site.folder, "written");
    const written = await init("systemd", "app.js", ...who, "--output", folder);
    expect(written.stdout).toMatch(
      /^wrote .*\/shop\.service\n\n {2}copy {5}(?:mkdir -p \S+ && )?cp -R .*\n {2}install {2}systemctl daemon-reload\n/,
    );
    expect(readFileSync(join(folder, "shop.service"), "utf8")).toContain("\nExecStart=");
  });

  it("puts the line about the place of a script below its first line", async () => {
    const { stdout } = await init("sysv", "app.js", ...who);
    expect(stdout).toMatch(/^#!\/bin\/sh\n# File: \/etc\/init\.d\/shop \(mode 0755\)\n/);
  });

  it("does not replace a file, unless it is told to", async () => {
    const folder = temporaryFolder("o");
    writeFileSync(join(folder, "shop.conf"), "mine");
    const refused = await init("supervisor", "app.js", ...who, "--output", folder);
    expect(refused.stderr).toMatch(/shop\.conf is there already; --force replaces it$/);
    expect(refused.code).toBe(2);
    expect(textOf(join(folder, "shop.conf"))).toBe("mine");
    expect((await init("supervisor", "app.js", ...who, "--output", folder, "--force")).code).toBe(0);
    expect(textOf(join(folder, "shop.conf"))).toContain("[fcgi-program:shop]");
  });

  it.each([
    [["nonsense", "app.js"], /'nonsense' is invalid.*systemd, supervisor, sysv/],
    [["systemd"], /say what to serve: postern init <kind> app\.js/],
    [["systemd", "gone.js"], /there is no file .*gone\.js/],
    [["systemd", "gone.py"], /there is no file .*gone\.py/],
    [["systemd", "gone:app"], /there is no module gone in \//],
    [["shared-hosting", "shop.py", "--workers", "2"], /shared hosting in Python runs without a manager/],
    [["shared-hosting", "shop.py", "--", "--base", "/x"], /it takes --python alone/],
    [["shared-hosting", "shop.py", "--", "--python", "python9"], /there is no program python9 in PATH/],
    [["systemd", "."], /is not a file/],
    [["systemd", "app.js", "--config", "x.js"], /not both/],
    [["systemd", "app.js", "--bind", "9000"], /--bind "9000": for TCP write/],
    [["systemd", "app.js", "--bind", "fd:3"], /--bind fd:3: give the address itself/],
    [["runit", "app.js", "--socket-activation"], /--socket-activation is systemd's/],
    [["systemd", "app.js", "--workers", "many"], /--workers "many": it is a number/],
    [["systemd", "app.js", "--drain-timeout", "soon"], /--drain-timeout "soon": it is a time/],
    [["systemd", "app.js", "--user", "nobody-at-all"], /there is no user named "nobody-at-all"/],
    [["systemd", "app.js", "--name", "a b"], /--name "a b": a name is of at most 40/],
  ])("tells %j in one sentence", async (args, says) => {
    const { code, stderr, stdout } = await init(...args);
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(/(^|\n)postern: /);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("serves an application in Python by its module", async () => {
    const { stdout, stderr, code } = await init("systemd", "shop:app", ...who);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^Description=.* a Python application /m);
    expect(stdout.replace(/\\\n\s*/g, "")).toMatch(/^ExecStart=.* serve \S*.*\/shop:app\W/m);
    expect(stdout).not.toContain("NODE_ENV");
  });

  it("passes on what stands after --", async () => {
    const { stdout } = await init("runit", "app.js", ...who, "--", "--allowed-clients", "10.0.0.5");
    expect(stdout).toMatch(/--allowed-clients 10\.0\.0\.5/);
  });

  it.skipIf(!isRoot)("never chooses root by itself", async () => {
    const { stdout, stderr } = await init("systemd", "app.js");
    expect(stderr).toMatch(/no --user: it will run as \S+, not as root/);
    expect(stdout).not.toMatch(/^User=root$/m);
  });
});

describe("SysV", () => {
  it("starts, tells, reloads and stops by the rules of the LSB", LONG, async () => {
    const site = makeSite();
    const address = `unix:${join(site.folder, "run", "app.sock")}`;
    const script = fileOf(await initService(site, "sysv", "--bind", address), SERVICE);
    const call = async (action: string): Promise<Finished> =>
      run(script, [action], { cwd: "/", timeoutMs: 50_000 });
    try {
      expect(await call("status")).toMatchObject({ code: 3, stdout: "shop is not running" });
      expect(await call("stop")).toMatchObject({ code: 0, stdout: "shop is not running" });
      expect(await call("reload")).toMatchObject({ code: 7 });
      const started = await call("start");
      expect(started, started.stderr).toMatchObject({ code: 0, stdout: "starting shop" });
      // It says so only when it serves.
      expect(await ask(address)).toBe("one");
      const { code, stdout } = await call("status");
      expect(stdout).toMatch(/^shop is running \(process \d+\)$/);
      expect(code).toBe(0);
      expect((await call("start")).stdout).toMatch(/running already/);
      await reloadUnderLoad(site, address, async () => expect((await call("reload")).code).toBe(0));
      site.deploy(undefined);
      const refused = await call("force-reload");
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/broken/);
      expect(await ask(address)).toBe("two");
      site.deploy("three");
      expect((await call("restart")).code).toBe(0);
      expect(await ask(address)).toBe("three");
      expect((await call("try-restart")).code).toBe(0);
      expect((await call("nonsense")).code).toBe(2);
      expect(await call("stop")).toMatchObject({ code: 0 });
      expect((await call("status")).code).toBe(3);
      expect((await call("try-restart")).code).toBe(0);
      expect((await call("status")).code).toBe(3);
    } finally {
      await call("stop");
    }
  });

  it("shows the end of the log when it does not start", async () => {
    const site = makeSite();
    site.deploy(undefined);
    const script = fileOf(await initService(site, "sysv"), SERVICE);
    const { code, stderr } = await run(script, ["start"], { timeoutMs: 50_000 });
    expect(stderr).toMatch(/shop ended; the end of .*shop\.log:\n[\s\S]*Error: broken/);
    expect(code).toBe(1);
  });

  it("knows a manager that was killed, and one whose number another program has", async () => {
    const site = makeSite();
    const script = fileOf(await initService(site, "sysv"), SERVICE);
    mkdirSync(join(site.folder, "run"));
    const pidFile = join(site.folder, "run", `${SERVICE}.pid`);
    // Not node, and of the same user.
    const other = start("sleep", ["60"]);
    for (const content of ["", "nonsense\n", `${other.pid}\n`, "2147483646\n"]) {
      writeFileSync(pidFile, content);
      expect(await run(script, ["status"]), content).toMatchObject({ code: 1 });
      expect(await run(script, ["stop"]), content).toMatchObject({ code: 0 });
    }
    expect(other.exit).toBeUndefined();
    await other.stop();
  });

  it.skipIf(!isRoot)("refuses another user with the code for that", async () => {
    const site = makeSite();
    const script = fileOf(await initService(site, "sysv"), SERVICE);
    const { code, stderr } = await run("/bin/sh", [script, "status"], { cwd: "/", uid: 65_534, gid: 65_534 });
    expect(stderr).toMatch(/only root and \S+ can do that/);
    expect(code).toBe(4);
  });
});

describeWithServer("screen", "GNU screen", () => {
  itInBoth("runs it in a detached session, and the script reloads and stops it", async (site) => {
    const folder = site.path;
    const socket = join(site.folder, "app.sock");
    const address = `unix:${socket}`;
    const files = await initService(site, "screen", "--bind", address);
    const script = fileOf(files, `${SERVICE}-screen.sh`);
    const screens = join(site.folder, "screens");
    mkdirSync(screens, { mode: 0o700 });
    const env = { ...process.env, SCREENDIR: screens, TERM: "xterm" };
    const call = async (action: string): Promise<Finished> =>
      run(script, [action], { cwd: "/", env, timeoutMs: 50_000 });
    try {
      expect((await call("status")).code).toBe(3);
      const started = await call("start");
      expect(started.code, started.stderr).toBe(0);
      expect(started.stdout).toMatch(/screen -r shop/);
      expect((await run("screen", ["-ls"], { env })).stdout).toMatch(/\.shop\s.*Detached/);
      expect(await ask(address)).toBe("one");
      expect((await call("status")).code).toBe(0);
      await reloadUnderLoad(site, address, async () => expect((await call("reload")).code).toBe(0));
      expect((await call("stop")).code).toBe(0);
      expect((await call("status")).code).toBe(3);
      await waitFor(async () => /No Sockets/.test((await run("screen", ["-ls"], { env })).stdout));
      expect(textOf(join(folder, "run", `${SERVICE}.log`))).toMatch(/\S/);
      site.deploy(undefined);
      const refused = await call("start");
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/shop ended; the end of/);
    } finally {
      await call("stop");
    }
  });
});

describeWithServer("supervisor", "supervisor", () => {
  /** supervisord with one program. */
  async function supervised(
    site: Site,
    conf: string,
  ): Promise<{ ctl: (...args: string[]) => Promise<Finished>; daemon: Running }> {
    const config = join(site.folder, "supervisord.conf");
    const socket = join(site.folder, "ctl.sock");
    writeFileSync(
      config,
      `[supervisord]
logfile=${join(site.folder, "supervisord.log")}
pidfile=${join(site.folder, "supervisord.pid")}
childlogdir=${site.folder}
${isRoot ? "user=root" : ""}
[unix_http_server]
file=${socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://${socket}
[include]
files=${conf}
`,
    );
    const daemon = start(programOf("supervisor"), ["-n", "-c", config], { cwd: site.folder });
    await waitFor(() => existsSync(socket) || daemon.exit, { timeoutMs: 15_000, evidence: daemon.output });
    return { daemon, ctl: (...args) => run("supervisorctl", ["-c", config, ...args], { timeoutMs: 50_000 }) };
  }

  itInBoth("opens the socket and passes it, tells it to reload, restarts and stops it", async (site) => {
    const address = `unix:${join(site.folder, "app.sock")}`;
    const conf = fileOf(await initService(site, "supervisor", "--bind", address), `${SERVICE}.conf`);
    expect(textOf(conf)).toContain("[fcgi-program:shop]");
    const { ctl, daemon } = await supervised(site, conf);
    const log = (): string => daemon.output() + textOf(join(site.folder, `${SERVICE}.log`));
    try {
      await answers(address, "one", log);
      await reloadUnderLoad(site, address, async () => {
        expect((await ctl("signal", "HUP", SERVICE)).stdout).toMatch(/shop: signalled/);
      });
      // A restart has a gap: supervisor closes the socket when its one process has ended.
      site.deploy("three");
      expect((await ctl("restart", SERVICE)).stdout).toMatch(/shop: started/);
      await answers(address, "three", log);
      expect((await ctl("stop", SERVICE)).stdout).toMatch(/shop: stopped/);
      expect((await ctl("status", SERVICE)).stdout).toMatch(/^shop\s+STOPPED/);
    } finally {
      await daemon.stop({ graceMs: 30_000 });
    }
  });

  it("runs a program that listens itself", async () => {
    const site = makeSite();
    const more = `unix:${join(site.folder, "run", "more.sock")}`;
    const address = `unix:${join(site.folder, "run", "app.sock")}`;
    mkdirSync(join(site.folder, "run"));
    if (isRoot) {
      const { stdout } = await run("id", ["-u", site.user]);
      chownSync(join(site.folder, "run"), Number(stdout), -1);
    }
    const files = await initService(site, "supervisor", "--bind", address, "--bind", more);
    const conf = fileOf(files, `${SERVICE}.conf`);
    expect(textOf(conf)).toContain("[program:shop]");
    const { daemon } = await supervised(site, conf);
    try {
      await answers(address, "one", daemon.output);
      await answers(more, "one", daemon.output);
    } finally {
      await daemon.stop({ graceMs: 30_000 });
    }
  });

  it("passes arguments and variables as they were meant, whatever is in them", async () => {
    const site = makeSite();
    const shown = join(site.folder, "shown.json");
    const words = ["two  words", "it's", '"q"', "100% %(here)s %%", "$HOME `id`", "a ;b", "c #d", "\\", ""];
    const postern = writeScript(
      join(site.path, "show ;me.mjs"),
      `import { writeFileSync } from "node:fs";
writeFileSync(${JSON.stringify(shown)}, JSON.stringify([process.argv.slice(2), process.env.HOSTILE, process.cwd()]));
setInterval(() => {}, 1000);
`,
    );
    const [file] = generateService("supervisor", {
      ...model,
      name: SERVICE,
      node: process.execPath,
      postern,
      user: (await run("id", ["-un"])).stdout,
      arguments: words,
      workingDirectory: site.path,
      environment: { HOSTILE: "it's 5% of $x; a,b=c" },
      logDirectory: site.folder,
    }).files;
    const conf = join(site.folder, "program.conf");
    writeFileSync(conf, file?.text ?? "");
    const { daemon } = await supervised(site, conf);
    try {
      await waitFor(() => textOf(shown) !== "", { timeoutMs: 15_000, evidence: daemon.output });
      expect(JSON.parse(textOf(shown))).toEqual([
        [...words, "--name", SERVICE],
        "it's 5% of $x; a,b=c",
        site.path,
      ]);
    } finally {
      await daemon.stop({ graceMs: 30_000 });
    }
  });
});

describeWithServer("runit", "runit", () => {
  itInBoth("starts, reloads on sv hup, stops on sv stop, and logs", async (site) => {
    const address = `unix:${join(site.folder, "run", "app.sock")}`;
    const files = await initService(site, "runit", "--bind", address);
    const service = dirname(fileOf(files, join(SERVICE, "run")));
    const services = join(site.folder, "service");
    mkdirSync(services);
    symlinkSync(service, join(services, SERVICE));
    const log = join(site.folder, "log", "current");
    const daemon = start("runsvdir", ["-P", services], { cwd: site.folder });
    const sv = (...args: string[]): Promise<Finished> =>
      run("sv", args, { env: { ...process.env, SVDIR: services }, timeoutMs: 50_000 });
    const evidence = (): string => daemon.output() + textOf(log);
    try {
      await answers(address, "one", evidence);
      await reloadUnderLoad(site, address, async () => expect((await sv("hup", SERVICE)).code).toBe(0));
      expect((await sv("-w", "45", "stop", SERVICE)).stdout).toMatch(/^ok: down: shop/);
      await waitForFileLine(log, /shop: ended with exit code 0/);
      site.deploy(undefined);
      const size = textOf(log).length;
      await sv("up", SERVICE);
      await waitForFileLine(log, /shop: ended with exit code 4/, { fromOffset: size, timeoutMs: 20_000 });
      // It waits before it tries again: meanwhile it is finishing.
      expect((await sv("status", SERVICE)).stdout).toMatch(/^finish: shop/);
      expect((await sv("-w", "45", "force-stop", SERVICE)).stdout).toMatch(/^ok: down: shop/);
    } finally {
      await sv("-w", "45", "force-shutdown", SERVICE);
      // HUP makes it end the log services too.
      await daemon.stop({ signal: "SIGHUP", graceMs: 15_000 });
    }
  });
});

describeWithServer("spawn-fcgi", "shared hosting", () => {
  it("serves the socket it was started with, and ends on the command for new code", async () => {
    const site = makeSite();
    const files = await initService(site, "shared-hosting");
    const program = fileOf(files, `${SERVICE}.fcgi`);
    const socket = join(site.folder, "app.sock");
    const running = start(programOf("spawn-fcgi"), ["-s", socket, "-n", "--", program], {
      env: { PATH: process.env["PATH"] },
    });
    try {
      await answers(`unix:${socket}`, "one", running.output);
      const printed = await run(process.execPath, [
        ...[CLI, "init", "shared-hosting", site.app, "--name", SERVICE, "--user", site.user],
        ...["--output", temporaryFolder("o")],
      ]);
      const reload = /^ {2}reload +(.*)$/m.exec(printed.stdout)?.[1] ?? "";
      expect(await run("/bin/sh", ["-c", reload])).toMatchObject({ code: 0, stderr: "" });
      expect(await running.exited).toEqual({ code: 0, signal: null });
    } finally {
      await running.stop();
    }
  });
});

/** The words of a setting of a unit, read as systemd does. */
function unitWords(text: string, name: string): string[] {
  const [, line = ""] = new RegExp(`^${name}=(.*)$`, "m").exec(text.replace(/\\\n\s*/g, "")) ?? [];
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    (quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "").replaceAll("%%", "%").replaceAll("$$", "$"),
  );
}

describeWithServer(["systemd", "perl"], "systemd", () => {
  const RECEIVER = `
use IO::Socket::UNIX; use Socket;
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die "$!";
chmod 0777, $ARGV[0]; $| = 1; print "open\\n";
while (defined $socket->recv(my $text, 8192)) { $text =~ s/\\n/ | /g; print "$text\\n"; }
`;

  it.each([
    ["a service", []],
    ["a service with its socket", ["--socket-activation"]],
    ["one over TCP", ["--socket-activation", "--bind", "127.0.0.1:9000"]],
  ])("finds nothing wrong with %s", async (_, flags) => {
    const site = makeSite();
    const paths = [...(await initService(site, "systemd", ...flags)).values()];
    const { code, stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", ...paths]);
    expect(stdout + stderr).toBe("");
    expect(code).toBe(0);
  });

  it("finds something wrong where there is", async () => {
    const site = makeSite();
    const path = fileOf(await initService(site, "systemd"), `${SERVICE}.service`);
    writeFileSync(
      path,
      textOf(path).replace("KillMode=mixed", "KillMode=mxied").replace("ExecStart=/", "ExecStart=/gone/"),
    );
    const { code, stderr } = await run("systemd-analyze", ["verify", "--man=no", path]);
    expect(stderr).toMatch(/mxied/);
    expect(code).not.toBe(0);
  });

  itInBoth("gives it its socket, and is told when it is ready, reloads and stops", async (site) => {
    const files = await initService(site, "systemd", "--socket-activation");
    const unit = textOf(fileOf(files, `${SERVICE}.service`));
    mkdirSync(join(site.folder, "run"));
    const socket = join(site.folder, "app.sock");
    const address = `unix:${socket}`;
    const notify = join(site.folder, "notify");
    const receiver = start(programOf("perl"), ["-e", RECEIVER, notify]);
    await receiver.waitForLine(/^open$/);
    const told = (pattern: RegExp, from = 0): Promise<unknown> =>
      receiver.waitForLine(pattern, { from, timeoutMs: 30_000 });
    const variables = [`NOTIFY_SOCKET=${notify}`, "WATCHDOG_USEC=1000000", "NODE_ENV=production"];
    const service = start(programOf("systemd"), [
      ...["-l", socket, "--fdname=app"],
      ...variables.flatMap((variable) => ["-E", variable]),
      ...unitWords(unit, "ExecStart"),
    ]);
    try {
      await service.waitForLine(/Listening on/);
      expect(await ask(address)).toBe("one");
      await told(/\bREADY=1\b/);
      await told(/\bWATCHDOG=1\b/);
      const [node = "", ...reload] = unitWords(unit, "ExecReload");
      const from = receiver.lines.length;
      await reloadUnderLoad(site, address, async () => {
        const { code, stderr } = await run(node, reload, { timeoutMs: 30_000 });
        expect(stderr).toBe("");
        expect(code).toBe(0);
      });
      await told(/\bRELOADING=1\b/, from);
      await told(/\bREADY=1\b/, from);
      site.deploy(undefined);
      const refused = await run(node, reload, { timeoutMs: 30_000 });
      expect(refused.stderr).toMatch(/broken/);
      expect(refused.code).toBe(1);
      expect(await ask(address)).toBe("two");
      service.signal("SIGTERM");
      expect(await service.exited).toEqual({ code: 0, signal: null });
      await told(/\bSTOPPING=1\b/);
      // The socket is systemd's to remove.
      expect(existsSync(socket)).toBe(true);
    } finally {
      await service.stop();
      await receiver.stop();
    }
  });

  it("is given an exit code after which it does not try again, when the application is broken", async () => {
    const site = makeSite();
    site.deploy(undefined);
    const unit = textOf(fileOf(await initService(site, "systemd"), `${SERVICE}.service`));
    mkdirSync(join(site.folder, "run"));
    const [node = "", ...args] = unitWords(unit, "ExecStart");
    const { code } = await run(node, args, { timeoutMs: 30_000 });
    expect(unitWords(unit, "RestartPreventExitStatus")).toContain(String(code));
  });
});

/**
 * OpenRC's own packages replace the init system, so these stand in: what openrc-run does with the variables (a shell
 * that evaluates them, as its supervise-daemon.sh does), and commands that print how they were called.
 */
const OPENRC_RUN = `
PATH=\${0%/*}/bin:$PATH
RC_SVCNAME=shop
show() { for word in "$@"; do printf '[%s]' "$word"; done; printf '\\n'; }
checkpath() { show checkpath "$@"; }
ebegin() { show ebegin "$@"; }
eend() { show eend "$@"; return "$1"; }
need() { show need "$@"; }
use() { show use "$@"; }
after() { show after "$@"; }
script=$1
action=$2
. "$script"
case $action in
	start) start_pre && cd / && eval cd $directory && eval exec $command $command_args ;;
	show) start_pre; depend; eval show --user $command_user --retry $retry --stdout $output_log ;;
	*) "$action" ;;
esac
`;

describe("OpenRC, by stand-ins for its programs", () => {
  it("is told what to do, and its command serves", async () => {
    const site = makeSite();
    const address = `unix:${join(site.folder, "run", "app.sock")}`;
    const script = fileOf(await initService(site, "openrc", "--bind", address), SERVICE);
    const shim = writeScript(join(site.folder, "openrc-run"), OPENRC_RUN);
    writeScript(
      join(site.folder, "bin", "supervise-daemon"),
      `#!/bin/sh\nprintf '[%s]' supervise-daemon "$@"; echo\n`,
    );
    const owner = `[--owner][${site.user}:${site.group}][--mode][0750]`;
    expect((await run("/bin/sh", [shim, script, "show"])).stdout.split("\n")).toEqual([
      `[checkpath][--directory]${owner}[${join(site.folder, "run")}]`,
      `[checkpath][--directory]${owner}[${join(site.folder, "log")}]`,
      "[need][localmount]",
      "[use][net][dns][logger]",
      "[after][firewall]",
      `[--user][${site.user}:${site.group}][--retry][TERM/45/KILL/5][--stdout][${join(site.folder, "log", "shop.log")}]`,
    ]);
    expect((await run("/bin/sh", [shim, script, "reload"])).stdout.split("\n")).toEqual([
      "[ebegin][Reloading shop]",
      `[supervise-daemon][shop][--signal][HUP][--pidfile][${join(site.folder, "run")}.supervise.pid]`,
      "[eend][0][shop could not be told to reload]",
    ]);
    mkdirSync(join(site.folder, "run"));
    const daemon = start("/bin/sh", [shim, script, "start"]);
    try {
      await answers(address, "one", daemon.output);
      await reloadUnderLoad(site, address, async () => daemon.signal("SIGHUP"));
      daemon.signal("SIGTERM");
      expect(await daemon.exited).toEqual({ code: 0, signal: null });
    } finally {
      await daemon.stop();
    }
  });
});
