/**
 * The newest web servers, for the tests that an older distribution's cannot carry: WebSocket over FastCGI needs
 * lighttpd 1.4.74. They come from Debian sid, unpacked into a folder of their own and never installed: nothing of this
 * machine changes, nothing is configured or started, and no root is needed. test/support/web-servers/current.ts runs
 * them with the libraries they came with.
 *
 * apt does the work, under a configuration that knows sid alone and an empty list of installed packages, so that it
 * fetches every library down to libc. The folder survives between runs; delete it to get newer ones.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { main, quietly, StepError, step } from "./steps.mjs";

const PACKAGES = ["nginx", "lighttpd", "lighttpd-mod-openssl", "haproxy", "caddy"];
const STAMP = ".postern-made";

/** Where they are, or would be. */
export function currentServersFolder() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(cache, "postern-tests", `current-servers-${process.arch}`);
}

/** Fetches them where that is possible without asking: on Debian. With CI set, failing to is a failure. */
export async function currentServers() {
  const folder = currentServersFolder();
  const stamp = join(folder, STAMP);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === PACKAGES.join(" ")) return;
  const mirror = debianMirror();
  if (mirror !== undefined) {
    await step(`fetch ${PACKAGES.join(", ")} of Debian sid`, () => fetchTo(folder, mirror)).catch((error) => {
      if (!(error instanceof StepError)) throw error;
    });
    if (existsSync(stamp)) return;
  }
  console.log("- no current web servers: skipping what only they can do, such as WebSocket over FastCGI");
  if (process.env.CI)
    throw new StepError("current web servers are missing, and CI is set: they come with Debian");
}

/** The mirror that apt uses already; undefined where there is none. */
function debianMirror() {
  if (!existsSync("/etc/debian_version") || !existsSync("/usr/bin/apt-get")) return undefined;
  const [, codename] = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync("/etc/os-release", "utf8")) ?? [];
  const query = [
    "indextargets",
    "--format",
    "$(SITE) $(CODENAME)",
    "Created-By: Packages",
    "Component: main",
  ];
  const { stdout } = spawnSync("/usr/bin/apt-get", query, { encoding: "utf8" });
  const lines = (stdout ?? "").split("\n").map((line) => line.split(" "));
  return lines.find(([, of]) => of === codename)?.[0];
}

async function fetchTo(folder, mirror) {
  const work = `${folder}.new`;
  rmSync(work, { recursive: true, force: true });
  const at = (...names) => join(work, ...names);
  for (const name of ["lists/partial", "archives/partial", "etc", "tree"])
    mkdirSync(at(name), { recursive: true });
  writeFileSync(at("status"), "");
  writeFileSync(at("sources.list"), `deb ${mirror} sid main\n`);
  const settings = {
    "Dir::State::status": at("status"),
    "Dir::State::lists": at("lists"),
    "Dir::Cache": work,
    "Dir::Cache::archives": at("archives"),
    "Dir::Etc::sourcelist": at("sources.list"),
    "Dir::Etc::sourceparts": "-",
    "Dir::Etc::preferences": "-",
    "Dir::Etc::preferencesparts": "-",
    "APT::Sandbox::User": "", // the user apt would become cannot write here
    "Acquire::Languages": "none",
    "Acquire::Check-Valid-Until": "false", // where the clock is ahead of the mirror
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const apt = (...args) => quietly("apt-get", ["-q", "-y", ...options, ...args]);
  await apt("update");
  await apt("install", "--download-only", "--no-install-recommends", ...PACKAGES);
  for (const name of readdirSync(at("archives")).filter((one) => one.endsWith(".deb"))) {
    await quietly("dpkg-deb", ["-x", at("archives", name), at("tree")]);
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(at("tree"), folder);
  rmSync(work, { recursive: true, force: true });
  writeFileSync(join(folder, STAMP), PACKAGES.join(" "));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(async () => {
    await currentServers();
    return 0;
  });
}
