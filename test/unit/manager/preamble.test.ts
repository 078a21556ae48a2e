/** What a worker's program finds out about itself: user, groups, umask, limits. With real processes, as root. */
import { spawn } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  findLaunchTools,
  type Launch,
  type LaunchNeeds,
  type LaunchTools,
  planLaunch,
} from "../../../src/manager/preamble.ts";
import { findAccount, findGroup, findUser } from "../../../src/server/accounts.ts";
import { type Finished, run } from "../../support/process.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { startScript } from "../../support/typescript.ts";
import { patience } from "../../support/wait.ts";

const isRoot = process.geteuid?.() === 0;
const tools = findLaunchTools(process.env);
const hasSetpriv = tools.setpriv !== undefined;
const none: LaunchTools = { setpriv: undefined };
const isLinux = process.platform === "linux";

/** For tests that start several Nodes, on a machine that does other things too. */
const PATIENTLY = { timeout: patience(60_000) };

/** Prints what it is. */
const PROGRAM = [
  "/bin/sh",
  "-c",
  'echo "$(id -u) $(id -g) [$(id -G)] $(umask) $(ulimit -n) $(pwd) $*"',
  "name",
];

function runLaunch({ command, args, options }: Launch, cwd = "/"): Promise<Finished> {
  return run(command, args, { cwd, ...options });
}

async function printed(needs: LaunchNeeds, args: readonly string[] = []): Promise<string> {
  const result = await runLaunch(planLaunch([...PROGRAM, ...args], needs, tools));
  expect(result).toMatchObject({ code: 0, stderr: "" });
  return result.stdout;
}

describe("a program that needs nothing", () => {
  it("is started as it is", () => {
    const plan = planLaunch(["python3", "app.fcgi"], { umask: undefined, user: undefined }, tools);
    expect(plan).toEqual({ command: "python3", args: ["app.fcgi"], options: {}, warnings: [] });
  });
});

describe("umask and rlimitFiles", () => {
  it("are what the program finds", async () => {
    expect(await printed({ umask: 0o27, rlimitFiles: 123 })).toMatch(/ 0027 123 \/ $/);
    expect(await printed({ umask: 0 })).toMatch(/ 0000 \d+ \/ $/);
    expect(await printed({ rlimitFiles: 99 })).toMatch(/ \d{4} 99 \/ $/);
  });

  it("leave the arguments as they are, whatever a shell would make of them", async () => {
    const args = ["$HOME", "`id`", "a  b", "'", ";", "*"];
    expect(await printed({ umask: 0o22 }, args)).toMatch(/\$HOME `id` a {2}b ' ; \*$/);
  });

  it("keep the pid: the shell becomes the program", async () => {
    const { command, args } = planLaunch(["sh", "-c", "echo $$"], { umask: 0o22, rlimitFiles: 100 }, tools);
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (piece) => (output += piece));
    await new Promise((resolve) => child.once("close", resolve));
    expect(output.trim()).toBe(String(child.pid));
  });

  it("that are no such numbers never reach the shell", () => {
    for (const umask of [-1, 0o1000, 1.5, Number.NaN]) {
      expect(() => planLaunch(["x"], { umask }, none)).toThrow(`setting umask: ${umask} cannot be used`);
    }
    for (const rlimitFiles of [0, -1, 1.5, Number.NaN, "1; id" as unknown as number]) {
      expect(() => planLaunch(["x"], { rlimitFiles }, none)).toThrow(
        `setting rlimitFiles: ${rlimitFiles} cannot be used`,
      );
    }
  });
});

describe.runIf(isRoot && isLinux)("user", () => {
  const id = (user: string): string => `${findUser(user)} ${findAccount(user).gid}`;

  it.runIf(hasSetpriv)("has the identity, and everything else that was asked for", async () => {
    const found = await printed({ user: "www-data", umask: 0o77, rlimitFiles: 222 });
    expect(found).toBe(`${id("www-data")} [${findAccount("www-data").gid}] 0077 222 / `);
  });

  const member = userWithMoreGroups();
  it.runIf(hasSetpriv && member)("has the supplementary groups of that user", async () => {
    expect(member).toBeDefined();
    const [, groups = ""] = /\[(.*)\]/.exec(await printed({ user: member?.user ?? "" })) ?? [];
    expect(groups.split(" ")).toContain(String(member?.gid));
  });

  it.runIf(hasSetpriv)("can be in another group", async () => {
    const group = findGroup("www-data");
    expect(await printed({ user: "daemon", group })).toMatch(
      new RegExp(`^${findUser("daemon")} ${group} \\[${group}\\b`),
    );
  });

  it.runIf(hasSetpriv)("can be a number without an account, in no other groups", async () => {
    expect(await printed({ user: 54_321, group: 54_322 })).toMatch(/^54321 54322 \[54322\] /);
  });

  it.runIf(hasSetpriv)("can stay while the group changes", async () => {
    const group = findGroup("www-data");
    expect(await printed({ group: "www-data" })).toMatch(new RegExp(`^0 ${group} \\[${group}\\] `));
  });

  it.runIf(hasSetpriv)("keeps none of root's capabilities", async () => {
    const command = ["grep", "-E", "^Cap(Inh|Prm|Eff|Amb)", "/proc/self/status"];
    const { stdout } = await runLaunch(planLaunch(command, { user: "nobody" }, tools));
    expect(stdout.match(/Cap\w+:\s+0+$/gm)).toHaveLength(4);
  });

  it("works without setpriv, with a warning about the groups", async () => {
    const plan = planLaunch(PROGRAM, { user: "nobody", umask: 0o22, rlimitFiles: 111 }, none);
    expect(plan.warnings).toEqual([
      expect.stringMatching(/^user nobody: started without supplementary groups/),
    ]);
    expect((await runLaunch(plan)).stdout).toBe(`${id("nobody")} [${findAccount("nobody").gid}] 0022 111 / `);
  });

  it("that nothing is known about needs a group", () => {
    expect(() => planLaunch(["x"], { user: 54_321 }, none)).toThrow(
      "nothing is known about user 54321, not even its group; set group too",
    );
  });

  it("that does not exist is refused", () => {
    expect(() => planLaunch(["x"], { user: "nobody-here" }, none)).toThrow("there is no user named");
    expect(() => planLaunch(["x"], { group: "no-such-group" }, none)).toThrow("there is no group named");
  });
});

describe("the tools", () => {
  it("are not a setpriv without the options, as busybox has it", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "setpriv"), "#!/bin/sh\necho 'Usage: setpriv [--nnp] PROG' >&2\n");
    chmodSync(join(folder, "setpriv"), 0o755);
    expect(findLaunchTools({ PATH: folder })).toEqual({ setpriv: undefined });
  });
});

describe.runIf(isLinux)("dropPrivileges", PATIENTLY, () => {
  const drop = (args: string, as: { uid?: number; gid?: number } = {}): Promise<Finished> => {
    const code = `
      import { readFileSync } from "node:fs";
      const { dropPrivileges } = await load("manager/preamble.ts");
      ${isRoot && as.uid !== undefined ? `process.setgroups([]); process.setgid(${as.gid}); process.setuid(${as.uid});` : ""}
      try {
        dropPrivileges(${args});
        console.log(process.getuid(), process.getgid(), JSON.stringify(process.getgroups()));
        console.log(/^CapEff:\\s+0+$/m.test(readFileSync("/proc/self/status", "latin1")) ? "harmless" : "powerful");
      } catch (error) {
        console.log(error.name + ": " + error.message);
      }
    `;
    const script = startScript(code);
    return script.exited.then((exit) => ({ ...exit, stdout: script.stdout(), stderr: script.stderr() }));
  };

  it.runIf(isRoot)("makes a process another user's for good, with the user's primary group", async () => {
    const { uid, gid } = findAccount("www-data");
    expect((await drop('"www-data"')).stdout).toBe(`${uid} ${gid} [${gid}]\nharmless`);
  });

  const member = userWithMoreGroups();
  it.runIf(isRoot && member)("brings the supplementary groups", async () => {
    const { stdout } = await drop(JSON.stringify(member?.user));
    expect(JSON.parse(/\[.*\]/.exec(stdout)?.[0] ?? "[]")).toContain(member?.gid);
  });

  it.runIf(isRoot)("takes another group, and numbers", async () => {
    expect((await drop('"nobody", "www-data"')).stdout).toMatch(
      `${findUser("nobody")} ${findGroup("www-data")} [${findGroup("www-data")}]`,
    );
    expect((await drop("54321, 54322")).stdout).toBe("54321 54322 [54322]\nharmless");
  });

  it.runIf(isRoot)("does nothing when nothing is asked for", async () => {
    expect((await drop("undefined")).stdout).toMatch(/^0 0 /);
  });

  it("refuses what only root can do, in words", async () => {
    const { uid = 65_534, gid = 65_534 } = isRoot ? findAccount("nobody") : {};
    const { stdout } = await drop('"www-data"', { uid, gid });
    expect(stdout).toMatch(
      /^SettingError: setting user: only root can become user www-data; start the manager as root/,
    );
    expect((await drop('undefined, "www-data"', { uid, gid })).stdout).toMatch(
      /^SettingError: setting group: only root can become group www-data/,
    );
  });

  it.runIf(isRoot)("agrees when the process is that user's already", async () => {
    const { uid, gid = 0 } = findAccount("nobody");
    expect((await drop('"nobody"', { uid, gid })).stdout).toMatch(new RegExp(`^${uid} ${gid} `));
  });
});

describe.runIf(isRoot && isLinux)("a limit above that of a user who is not root", PATIENTLY, () => {
  it("is refused before anything is started, with the limit", async () => {
    const script = startScript(`
      const { planLaunch } = await load("manager/preamble.ts");
      process.setgid(65534); process.setuid(65534);
      try { planLaunch(["x"], { rlimitFiles: 2 ** 40 }, {}); } catch (error) { console.log(error.message); }
    `);
    await script.exited;
    expect(script.stdout()).toMatch(
      /^setting rlimitFiles: 1099511627776 is more than the \d+ this user may have/,
    );
  });
});

function userWithMoreGroups(): { user: string; gid: number } | undefined {
  if (!isLinux) return undefined;
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [, , gid, users = ""] = line.split(":");
    const user = users.split(",")[0];
    if (user) return { user, gid: Number(gid) };
  }
  return undefined;
}
