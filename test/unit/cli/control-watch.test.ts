/** `postern status --watch`: frames on a terminal, lines elsewhere, and the terminal as it was afterwards. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { silentLogger } from "../../../src/base/log.ts";
import { type ControlSocket, openControl } from "../../../src/manager/control.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { start } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import { examplePool, exampleSnapshot, exampleWorker, FakeCommands, NOW } from "../status/example.ts";
import { FakeTerminal, runCommand } from "./terminal.ts";

const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const WATCH = ["status", "--watch", "--interval", "0.1"] as const;

const opened: ControlSocket[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((control) => control.close()));
});

/** A manager whose clock and count go on by a second and ten requests each time it is asked. */
class Busy extends FakeCommands {
  #times = 0;

  override status(): ReturnType<FakeCommands["status"]> {
    const { pools, ...rest } = super.status();
    const [first] = pools;
    const requests = (first?.requests ?? 0) + 10 * this.#times;
    const now = NOW + 1000 * this.#times++;
    return { ...rest, now, pools: [{ ...first!, requests }, ...pools.slice(1)] };
  }
}

async function manager(folder: string, commands: FakeCommands = new Busy()): Promise<FakeCommands> {
  opened.push(await openControl(join(folder, "app.sock"), commands, silentLogger, { closeGraceMs: 100 }));
  return commands;
}

/** What is on the screen: the last complete frame, its escape sequences gone. */
function frames(terminal: FakeTerminal): string[] {
  return terminal.stdout.text.split("\x1b[H").slice(1);
}

function rowsOf(frame: string): string[] {
  return frame.replace(/\x1b\[[\d?]*[a-zA-Z]/g, "").split("\r\n");
}

async function quit(terminal: FakeTerminal, watching: Promise<unknown>): Promise<void> {
  terminal.stdin.emit("data", Buffer.from("q"));
  await watching;
}

describe("on a terminal", () => {
  it("draws frames over each other on the alternate screen, and puts everything back at q", async () => {
    const folder = temporaryFolder("w");
    await manager(folder);
    const terminal = new FakeTerminal(folder).asTty();
    const watching = runCommand(terminal, ...WATCH);
    await waitFor(() => terminal.stdout.text.includes("requests 51224 (10/s)"));
    expect([terminal.stdin.isRaw, terminal.stdin.isReading, terminal.enders]).toEqual([true, true, 1]);
    await quit(terminal, watching);
    expect(await watching).toEqual({ code: 0, error: "" });
    expect(terminal.stdout.text.startsWith(`${ENTER}\x1b[H`)).toBe(true);
    expect(terminal.stdout.text.endsWith(LEAVE)).toBe(true);
    expect(terminal.stdout.text.split(LEAVE)).toHaveLength(2);
    expect([terminal.stdin.isRaw, terminal.stdin.isReading, terminal.enders]).toEqual([false, false, 0]);
    for (const stream of [terminal.stdout, terminal.stdin]) expect(stream.eventNames()).toEqual([]);
  });

  it("quits at ctrl-C too, and when it is asked to end", async () => {
    const folder = temporaryFolder("w");
    await manager(folder);
    for (const how of ["key", "signal"]) {
      const terminal = new FakeTerminal(folder).asTty();
      const watching = runCommand(terminal, ...WATCH);
      await waitFor(() => frames(terminal).length > 0);
      if (how === "key") terminal.stdin.emit("data", Buffer.from("\x03"));
      else terminal.end();
      expect((await watching).code).toBe(0);
      expect(terminal.stdout.text.split(LEAVE)).toHaveLength(2);
    }
  });

  it("fills the screen and no more, whatever its size, and draws anew when that changes", async () => {
    const folder = temporaryFolder("w");
    const commands = await manager(folder);
    const workers = Array.from({ length: 30 }, (_, index) =>
      exampleWorker({ pid: 5000 + index, current: [] }),
    );
    commands.snapshot = exampleSnapshot({ pools: [examplePool({ workers })] });
    const terminal = new FakeTerminal(folder).asTty();
    terminal.stdout.rows = 12;
    terminal.stdout.columns = 60;
    const watching = runCommand(terminal, ...WATCH);
    await waitFor(() => frames(terminal).length > 0);
    const rows = rowsOf(frames(terminal)[0]!);
    expect(rows).toHaveLength(12);
    expect(rows.slice(-2)).toEqual(["… 26 more lines", "q quits, every 100 ms"]);
    for (const row of rows) expect(row.length).toBeLessThanOrEqual(60);
    terminal.stdout.rows = 50;
    const before = frames(terminal).length;
    terminal.stdout.emit("resize");
    expect(rowsOf(frames(terminal)[before]!)).toHaveLength(50);
    await quit(terminal, watching);
  });

  it("waits for a manager that goes away, says so, and says when it is back", async () => {
    const folder = temporaryFolder("w");
    await manager(folder);
    const terminal = new FakeTerminal(folder).asTty();
    terminal.stdout.columns = 200;
    const watching = runCommand(terminal, ...WATCH);
    await waitFor(() => frames(terminal).length > 0);
    await opened.pop()!.close();
    const gone = await waitFor(() => frames(terminal).find((frame) => frame.includes("does not answer")));
    expect(rowsOf(gone)[0]).toMatch(
      /^yourapplication does not answer, as it was .* ago; waiting for it: no manager runs at /,
    );
    expect(gone).toContain("generation 3");
    const commands = new Busy();
    commands.snapshot = exampleSnapshot({ pid: 77 });
    await manager(folder, commands);
    const back = await waitFor(() => frames(terminal).find((frame) => frame.includes("is back")));
    expect(rowsOf(back)[0]).toBe("yourapplication is back, pid 77");
    // What was counted by the one before it says nothing about this one.
    expect(back).not.toContain("/s)");
    await waitFor(() => !frames(terminal).at(-1)!.includes("is back"));
    await quit(terminal, watching);
  });

  it("draws no further frame while the terminal is behind", async () => {
    const folder = temporaryFolder("w");
    const commands = await manager(folder);
    const terminal = new FakeTerminal(folder).asTty();
    const write = terminal.stdout.write.bind(terminal.stdout);
    let isFull = true;
    terminal.stdout.write = (text) => write(text) && !isFull;
    let asked = 0;
    const { status } = commands;
    commands.status = () => {
      asked++;
      return status.call(commands);
    };
    const watching = runCommand(terminal, ...WATCH);
    await waitFor(() => terminal.stdout.listenerCount("drain") > 0);
    // Found, asked, and once more since.
    expect([asked, frames(terminal).length]).toEqual([3, 1]);
    isFull = false;
    terminal.stdout.emit("drain");
    await waitFor(() => frames(terminal).length > 2);
    await quit(terminal, watching);
  });

  const hasScript = process.platform === "linux" && existsSync("/usr/bin/script");
  it.runIf(hasScript)("a real one is left as it was found", async () => {
    const folder = temporaryFolder("w");
    await manager(folder);
    const program = `
      import { createJiti } from "jiti";
      const { controlCommands } = await createJiti(import.meta.url).import(${JSON.stringify(join(repositoryRoot, "src/cli/commands/control.ts"))});
      const [status] = controlCommands();
      await status.parseAsync(["--watch", "--interval", "0.1"], { from: "user" });
      console.log("left raw=" + process.stdin.isRaw);
    `;
    const shell = `stty rows 20 cols 90; ${process.execPath} --input-type=module -e '${program}'; stty -a`;
    const running = start("/usr/bin/script", ["-qfec", shell, "/dev/null"], {
      cwd: repositoryRoot,
      env: { ...process.env, POSTERN_RUN_DIR: folder, SHELL: "/bin/sh", TERM: "xterm" },
      stdin: "pipe",
    });
    await running.waitForLine(/q quits, every 100 ms|\(10\/s\)/, { timeoutMs: 9000 });
    running.child.stdin?.write("q");
    await running.waitForLine(/left raw=false/);
    const { code } = await running.exited;
    expect(code).toBe(0);
    const text = running.stdout();
    expect(text).toContain(ENTER);
    expect(text).toContain(LEAVE);
    expect(text.slice(text.indexOf(LEAVE))).toMatch(/[^-]icanon[\s\S]*[^-]echo/);
  });
});

describe("elsewhere", () => {
  it("prints one table each time, without a single escape sequence", async () => {
    const folder = temporaryFolder("w");
    await manager(folder);
    const terminal = new FakeTerminal(folder);
    const watching = runCommand(terminal, ...WATCH);
    await waitFor(() => terminal.stdout.text.split("running, postern").length > 3);
    terminal.end();
    expect((await watching).code).toBe(0);
    expect(terminal.stdout.text).not.toContain("\x1b");
    expect(terminal.stdout.text).toContain("\n\nyourapplication running, postern");
    expect(terminal.stdin.isReading).toBe(false);
  });

  it("prints with --json one line of JSON each time, on a terminal too", async () => {
    for (const isTty of [true, false]) {
      const folder = temporaryFolder("w");
      await manager(folder);
      const terminal = new FakeTerminal(folder);
      if (isTty) terminal.asTty();
      const watching = runCommand(terminal, ...WATCH, "--json");
      await waitFor(() => terminal.stdout.text.split("\n").length > 3);
      terminal.end();
      await watching;
      const lines = terminal.stdout.text.trimEnd().split("\n");
      const times = lines.map((line) => (JSON.parse(line) as { now: number }).now);
      expect(times.slice(0, 3)).toEqual([times[0]!, times[0]! + 1000, times[0]! + 2000]);
    }
  });

  it("tells once that the manager is gone, and once that it is back", async () => {
    const folder = temporaryFolder("w");
    await manager(folder);
    const terminal = new FakeTerminal(folder);
    const watching = runCommand(terminal, ...WATCH, "--json");
    await waitFor(() => terminal.stdout.text !== "");
    await opened.pop()!.close();
    await waitFor(() => terminal.stderr.text !== "");
    const before = terminal.stdout.text;
    await manager(folder);
    await waitFor(() => terminal.stdout.text !== before);
    await waitFor(() => terminal.stderr.text.includes("is back"));
    terminal.end();
    await watching;
    const said = terminal.stderr.text.trimEnd().split("\n");
    expect(said).toEqual([
      expect.stringMatching(/^postern: yourapplication does not answer/),
      "postern: yourapplication is back, pid 4242",
    ]);
  });

  it("ends when nobody reads any more", async () => {
    const folder = temporaryFolder("w");
    await manager(folder);
    const terminal = new FakeTerminal(folder);
    const watching = runCommand(terminal, ...WATCH);
    await waitFor(() => terminal.stdout.text !== "");
    terminal.stdout.emit("error", new Error("EPIPE"));
    expect((await watching).code).toBe(0);
  });

  it("does not begin without a manager", async () => {
    const { code, error } = await runCommand(new FakeTerminal(temporaryFolder("w")).asTty(), ...WATCH);
    expect(code).toBe(2);
    expect(error).toContain("no manager runs");
  });
});
