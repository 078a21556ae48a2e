/** The commands that speak to a running manager: which one they find, what they ask, print and exit with. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createNetServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { silentLogger } from "../../../src/base/log.ts";
import { controlCommands } from "../../../src/cli/commands/control.ts";
import { askControl } from "../../../src/cli/control-client.ts";
import { type ControlSocket, openControl } from "../../../src/manager/control.ts";
import { readDocument } from "../../support/markdown.ts";
import { run, start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import { exampleSnapshot, FakeCommands } from "../status/example.ts";
import { FakeTerminal, runCommand } from "./terminal.ts";

const opened: ControlSocket[] = [];
const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((control) => control.close()));
  for (const server of servers.splice(0)) server.close();
});

async function manager(
  folder: string,
  name: string,
  pid = 4242,
): Promise<{ commands: FakeCommands; control: ControlSocket }> {
  const commands = new FakeCommands();
  commands.snapshot = exampleSnapshot({ name, pid });
  const control = await openControl(join(folder, `${name}.sock`), commands, silentLogger, {
    closeGraceMs: 100,
  });
  opened.push(control);
  return { commands, control };
}

/** Something at a socket that is no manager. */
async function foreign(path: string, answer: RequestListener): Promise<void> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
}

/** A socket file nobody listens at: of a process that was killed. */
async function stale(path: string): Promise<void> {
  const program = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  await run(process.execPath, ["-e", program]);
}

describe("a command", () => {
  it("is for the only manager that answers, beside sockets left behind and strangers", async () => {
    const folder = temporaryFolder("r");
    await manager(folder, "app");
    await stale(join(folder, "old.sock"));
    await foreign(join(folder, "other.sock"), (_request, response) => response.end("hello"));
    writeFileSync(join(folder, "file.sock"), "");
    const terminal = new FakeTerminal(folder);
    expect(await runCommand(terminal, "status")).toEqual({ code: 0, error: "" });
    expect(terminal.stdout.text).toMatch(/^app running, postern 0\.2\.0, pid 4242,/);
  });

  it("is for the manager that is named, or at --control", async () => {
    const folder = temporaryFolder("r");
    const web = await manager(folder, "web", 11);
    await manager(folder, "mail", 12);
    for (const words of [["web"], ["--control", web.control.path]]) {
      const terminal = new FakeTerminal(folder);
      expect((await runCommand(terminal, "status", ...words)).code).toBe(0);
      expect(terminal.stdout.text).toContain("web running, postern 0.2.0, pid 11,");
    }
    expect(await runCommand(new FakeTerminal(folder), "status", "web", "--control", "/x")).toEqual({
      code: 2,
      error: "a name (web) and --control both say which manager is meant; give one of them",
    });
  });

  it("without a name among several managers lists what there is", async () => {
    const folder = temporaryFolder("r");
    await manager(folder, "web", 11);
    await manager(folder, "mail", 12);
    expect(await runCommand(new FakeTerminal(folder), "reload")).toEqual({
      code: 2,
      error:
        "several managers run, say which one by its name: mail (running, pid 12, 3 workers); web (running, pid 11, 3 workers)",
    });
    const { code, error } = await runCommand(new FakeTerminal(folder), "reload", "wbe");
    expect(code).toBe(2);
    expect(error).toMatch(/^no manager named wbe runs \(there is no .*wbe\.sock\); there are mail \(running/);
  });

  it("that finds no manager says how to start one", async () => {
    const folder = join(temporaryFolder("r"), "none");
    expect(await runCommand(new FakeTerminal(folder), "status")).toEqual({
      code: 2,
      error: `no manager runs (nothing answers in ${folder}); start one: postern serve app.js --workers 4; or say with --control where its socket is`,
    });
    const { error } = await runCommand(new FakeTerminal(folder), "stop", "web");
    expect(error).toContain("no manager named web runs");
    expect(error).toContain("--name web");
    const path = await runCommand(new FakeTerminal(folder), "stop", "./web.sock");
    expect(path.error).toBe("./web.sock is a path, not the name of a manager; write --control ./web.sock");
  });

  it("says why a socket does not answer: not there, left behind, no manager, a wrong answer, hung up", async () => {
    const folder = temporaryFolder("r");
    const at = (name: string): string => join(folder, name);
    const status = async (path: string): Promise<string> => {
      const { code, error } = await runCommand(new FakeTerminal(folder), "status", "--control", path);
      expect(code).toBe(2);
      return error;
    };
    expect(await status(at("none"))).toContain("there is no such socket");
    await stale(at("stale"));
    expect(await status(at("stale"))).toContain("nobody listens, so it was killed");
    await foreign(at("text"), (_request, response) => response.end("hello"));
    expect(await status(at("text"))).toContain("is no manager: the answer is not JSON");
    await foreign(at("json"), (_request, response) =>
      response.end('{"name":"x","state":"","pid":1,"pools":[{}]}'),
    );
    expect(await status(at("json"))).toContain("is no manager of this version of Postern");
    const rude = createNetServer((socket) => socket.destroy());
    servers.push(rude);
    await new Promise<void>((resolve) => rude.listen(at("rude"), resolve));
    expect(await status(at("rude"))).toContain("ended the connection without an answer");
  });

  it("waits for an answer no longer than it is told", async () => {
    const path = join(temporaryFolder("r"), "mute");
    await foreign(path, () => {});
    await expect(askControl(path, { path: "/status", timeoutMs: 50 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
  });

  it("does not trust a run folder that others may write to", async () => {
    const folder = temporaryFolder("r");
    await manager(folder, "app");
    chmodSync(folder, 0o777);
    for (const words of [[], ["app"]]) {
      const { code, error } = await runCommand(new FakeTerminal(folder), "stop", ...words);
      expect(code).toBe(2);
      expect(error).toContain("other users may write to it");
    }
  });

  it.runIf(process.getuid?.() === 0)("without permission says as which user the manager runs", async () => {
    const folder = join(temporaryFolder("r"), "run");
    mkdirSync(folder, { mode: 0o700 });
    const { control } = await manager(folder, "app");
    // Root may do anything, so the file is asked about as somebody else.
    const effective = process.geteuid!();
    process.seteuid!(65534);
    try {
      const { code, error } = await runCommand(new FakeTerminal(folder), "status", "--control", control.path);
      expect(code).toBe(2);
      expect(error).toBe(
        `no permission to use ${control.path}: the manager runs as root; run this as root: sudo postern …`,
      );
    } finally {
      process.seteuid!(effective);
    }
  });
});

describe("postern", () => {
  it.each([
    [["reload"], ["reload", undefined, undefined]],
    [
      ["reload", "app", "--pool", "web", "--phased"],
      ["reload", "web", "phased"],
    ],
    [
      ["scale", "4"],
      ["scale", undefined, "4"],
    ],
    [
      ["scale", "-1"],
      ["scale", undefined, "-1"],
    ],
    [
      ["scale", "app", "+2", "--pool", "web"],
      ["scale", "web", "+2"],
    ],
    [
      ["scale", "app", "-2"],
      ["scale", undefined, "-2"],
    ],
    [
      ["workers", "--replace", "4251"],
      ["replace", 4251],
    ],
    [["logs", "reopen"], ["reopenLogs"]],
    [["logs", "reopen", "app"], ["reopenLogs"]],
    [
      ["stop", "--no-wait"],
      ["stop", "graceful"],
    ],
    [
      ["stop", "app", "--now", "--no-wait"],
      ["stop", "now"],
    ],
  ] as const)("%j asks the manager for %j, and prints its answer", async (words, command) => {
    const folder = temporaryFolder("r");
    const { commands } = await manager(folder, "app");
    const terminal = new FakeTerminal(folder);
    expect(await runCommand(terminal, ...words)).toEqual({ code: 0, error: "" });
    expect(commands.asked).toEqual([command]);
    expect(terminal.stdout.text).toBe("done\n");
  });

  it("reload that failed exits with 1 and prints what failed, harmless", async () => {
    const folder = temporaryFolder("r");
    const { commands } = await manager(folder, "app");
    commands.outcome = {
      ok: false,
      message: "web: the new workers do not start\nError: \x1b]0;x\x07\n  at y",
    };
    const terminal = new FakeTerminal(folder);
    expect(await runCommand(terminal, "reload")).toEqual({
      code: 1,
      error: "postern: web: the new workers do not start\nError: \\x1b]0;x\\x07\n  at y\n",
    });
    expect(terminal.stdout.text).toBe("");
    expect((await runCommand(new FakeTerminal(folder), "stop")).code).toBe(1);
  });

  it.each([
    [["scale", "many"], "many is no number of workers; write postern scale many 4, or +1, or -1"],
    [["scale", "app", "many"], "many is no number of workers; write postern scale app 4, or +1, or -1"],
    [["scale"], "missing required argument"],
    [["workers", "--replace", "x"], "It is the pid of a worker"],
    [["logs", "rotate"], "Allowed choices are reopen"],
    [["status", "--interval", "2"], "--interval needs --watch"],
    [["status", "--watch", "--interval", "0"], "It is a number of seconds"],
  ] as const)("%j exits with 2 and says what is wrong", async (words, message) => {
    const folder = temporaryFolder("r");
    const { commands } = await manager(folder, "app");
    const { code, error } = await runCommand(new FakeTerminal(folder), ...words);
    expect(code).toBe(2);
    expect(error).toContain(message);
    expect(commands.asked).toEqual([]);
  });

  it("scale beyond any count exits with 2, in the manager's words", async () => {
    const folder = temporaryFolder("r");
    await manager(folder, "app");
    const { code, error } = await runCommand(new FakeTerminal(folder), "scale", "999999");
    expect(code).toBe(2);
    expect(error).toContain('option workers: "999999" cannot be used');
  });

  it("status --json and workers --json print everything", async () => {
    const folder = temporaryFolder("r");
    const { commands } = await manager(folder, "app");
    const terminal = new FakeTerminal(folder);
    await runCommand(terminal, "status", "--json");
    expect(JSON.parse(terminal.stdout.text)).toEqual(JSON.parse(JSON.stringify(commands.snapshot)));
    const other = new FakeTerminal(folder);
    await runCommand(other, "workers", "--json");
    expect(JSON.parse(other.stdout.text)).toMatchObject([{ pool: "web", pid: 4251 }, {}, {}]);
  });

  it("workers prints a table", async () => {
    const folder = temporaryFolder("r");
    await manager(folder, "app");
    const terminal = new FakeTerminal(folder);
    await runCommand(terminal, "workers");
    expect(terminal.stdout.text).toMatch(/^pool {2}gen {3}pid {2}stage .*\nweb {5}3 {2}4251 {2}ready /);
  });

  it("has colour on a terminal alone, and not with NO_COLOR", async () => {
    const folder = temporaryFolder("r");
    await manager(folder, "app");
    const print = async (terminal: FakeTerminal): Promise<string> => {
      await runCommand(terminal, "status");
      return terminal.stdout.text;
    };
    expect(await print(new FakeTerminal(folder).asTty())).toContain("\x1b[32mrunning\x1b[0m");
    const wish = new FakeTerminal(folder).asTty();
    wish.env["NO_COLOR"] = "1";
    expect(await print(wish)).not.toContain("\x1b");
    expect(await print(new FakeTerminal(folder))).not.toContain("\x1b");
  });

  it("stop waits until the manager is gone: its socket, and its process", async () => {
    const folder = temporaryFolder("r");
    const process_ = start("sleep", ["60"]);
    const { commands, control } = await manager(folder, "app", process_.pid);
    let isDone = false;
    const terminal = new FakeTerminal(folder);
    const stopping = runCommand(terminal, "stop").then((result) => {
      isDone = true;
      return result;
    });
    await waitFor(() => terminal.stdout.text === "done\n");
    await control.close();
    // The process goes on, so the manager is not gone yet.
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDone).toBe(false);
    await process_.stop();
    expect(await stopping).toEqual({ code: 0, error: "" });
    expect(terminal.stdout.text).toBe("done\napp has stopped\n");
    expect(commands.asked).toEqual([["stop", "graceful"]]);
  });

  it("stop does not wait for another manager that takes the place", async () => {
    const folder = temporaryFolder("r");
    const { stdout } = await run(process.execPath, ["-p", "process.pid"]);
    const { commands } = await manager(folder, "app", Number(stdout));
    commands.onStop = () => {
      commands.snapshot = exampleSnapshot({ name: "app", pid: process.pid });
    };
    expect(await runCommand(new FakeTerminal(folder), "stop")).toEqual({ code: 0, error: "" });
  });

  it("has every command and flag of docs/control.md, and no other", () => {
    const { prose } = readDocument("docs/control.md");
    const documented = new Set<string>();
    for (const [, code = ""] of prose.matchAll(/`([^`]+)`/g)) {
      const [, command, rest = ""] =
        /^postern (status|reload|stop|scale|workers|logs)\b(.*)/.exec(code) ?? [];
      if (command !== undefined) documented.add(command);
      for (const [flag] of `${command === undefined ? code : rest}`.matchAll(/(?<!\S)--[\w-]+/g))
        documented.add(flag);
    }
    const real = new Set<string>();
    for (const command of controlCommands(new FakeTerminal("/nowhere"))) {
      real.add(command.name());
      for (const { long } of command.options) real.add(long ?? "");
    }
    // The default is not worth a line; --name and --workers are of postern serve.
    real.delete("--wait");
    for (const other of ["--name", "--workers"]) documented.delete(other);
    expect([...documented].sort()).toEqual([...real].sort());
  });
});
