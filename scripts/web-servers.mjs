/**
 * Finds the foreign programs the end-to-end tests need (web-servers.json lists them), and installs what is missing
 * where that is possible without asking: as root on Debian and its relatives.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter } from "node:path";
import { quietly, StepError, step } from "./steps.mjs";

export const servers = JSON.parse(readFileSync(new URL("web-servers.json", import.meta.url), "utf8"));

const POLICY = "/usr/sbin/policy-rc.d";

/** Installs or reports what is missing. With CI set, something still missing is a failure. */
export async function webServers() {
  let missing = servers.filter((server) => !isThere(server));
  if (missing.length > 0 && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    await step(`install ${missing.map((server) => server.package).join(", ")}`, () => install(missing)).catch(
      (error) => {
        // Without a network, say: what is there can still be tested.
        if (!(error instanceof StepError)) throw error;
      },
    );
    missing = servers.filter((server) => !isThere(server));
  }
  for (const server of missing) {
    console.log(`- no ${server.name}: skipping ${server.for}; to run them: ${howToInstall(server)}`);
  }
  if (missing.length > 0 && process.env.CI) {
    console.log("✘ CI is set, and these tests must not be skipped there");
    throw new StepError("web servers are missing");
  }
}

/** By its program; of a library, by a command that succeeds with it. */
export function isThere(server) {
  if (server.check === undefined) return findProgram(server) !== undefined;
  const [command, ...args] = server.check;
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

/** The program's name as it is on this machine, such as `php-fpm8.2`; undefined when there is none. */
export function findProgram(server) {
  if (server.program === undefined) return undefined;
  // Servers live in sbin, which is not on every user's PATH.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  const name = new RegExp(`^(${server.program})$`);
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    const found = readdirSync(folder).find((entry) => name.test(entry));
    if (found) return found;
  }
  return undefined;
}

function howToInstall(server) {
  if (process.platform === "darwin") return `brew install ${server.brew ?? server.name}`;
  return existsSync("/usr/bin/apt-get")
    ? `apt-get install ${server.package}, or npm test as root`
    : `install ${server.package}`;
}

/** With apt, as root. */
export async function install(missing) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", APT_LISTCHANGES_FRONTEND: "none" };
  const apt = (...args) =>
    quietly("apt-get", ["-q", "-y", "-o", "DPkg::Lock::Timeout=300", ...args], { env });
  await withoutStartingServices(async () => {
    await apt("update");
    await apt("install", "--no-install-recommends", ...missing.map((server) => server.package));
  });
  // Where systemd runs, a package also asks to be started at the next boot, which nobody wanted from a test.
  if (!existsSync("/run/systemd/system")) return;
  for (const server of missing) {
    // PHP's program is php-fpm8.2 and its service php8.2-fpm; the others have one name for both, or no service.
    const service = server.service ?? findProgram(server)?.replace(/^php-fpm(.*)$/, "php$1-fpm");
    if (service) spawnSync("systemctl", ["disable", service], { stdio: "ignore" });
  }
}

/** Debian starts a server as soon as it is installed, on port 80, unless a policy forbids it. */
async function withoutStartingServices(work) {
  // One that is there already is the administrator's word.
  const isOurs = !existsSync(POLICY);
  if (isOurs)
    writeFileSync(
      POLICY,
      "#!/bin/sh\n# For the duration of Postern's npm test: do not start services.\nexit 101\n",
      { mode: 0o755 },
    );
  try {
    return await work();
  } finally {
    if (isOurs) rmSync(POLICY, { force: true });
  }
}
