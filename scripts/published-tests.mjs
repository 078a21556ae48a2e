/**
 * The tests that packages were released with and that npm leaves out: from Debian's source packages, which apt fetches
 * and verifies. They are unpacked beside the package that npm installed, in the same version; Node's own into a folder
 * of their own. test/compat/published/sources.json says which, test/compat/published.test.ts runs them.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { main, quietly, root, StepError, step } from "./steps.mjs";

const FOLDER = join(root, "test", "compat", "published");
const LIST = join(FOLDER, "sources.json");
const MODULES = join(FOLDER, "node_modules");
const CACHE = join(MODULES, ".cache", "postern");
const STAMP = join(CACHE, "sources.json");
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";
const ATTEMPTS = 3;

/** Fetches and unpacks what is not there. `projects()` comes first: it installs the packages. */
export async function publishedTests() {
  const list = readFileSync(LIST, "utf8");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === list) return;
  const archive = existsSync("/usr/bin/apt-get") && existsSync(KEYS) ? mirror() : undefined;
  if (archive === undefined) {
    const what =
      "the tests that packages were released with come from Debian's sources (apt-get with an archive of Debian, debian-archive-keyring)";
    if (process.env.CI) throw new StepError(`${what}, and CI is set`);
    console.log(`- no Debian: skipping ${what}`);
    return;
  }
  await step("published tests", async () => {
    const sources = JSON.parse(list);
    const apt = await privateApt(archive, new Set(sources.map(({ release }) => release)));
    for (const source of sources) await fetchAndUnpack(apt, source);
    for (const name of ["apt", "apt-cache", "downloads"])
      rmSync(join(CACHE, name), { recursive: true, force: true });
    writeFileSync(STAMP, list);
    return `${sources.length} source packages`;
  });
}

/** apt with lists and downloads of its own: this machine's stay as they are, and root is not needed. */
async function privateApt(archive, releases) {
  const lists = join(CACHE, "apt");
  mkdirSync(join(lists, "partial"), { recursive: true });
  const sourceList = join(CACHE, "sources.list");
  const lines = [...releases].map((release) => `deb-src [signed-by=${KEYS}] ${archive} ${release} main\n`);
  writeFileSync(sourceList, lines.join(""));
  const options = [
    `Dir::Etc::sourcelist=${sourceList}`,
    "Dir::Etc::sourceparts=-",
    `Dir::State::lists=${lists}`,
    `Dir::Cache=${join(CACHE, "apt-cache")}`,
    "APT::Sandbox::User=",
  ].flatMap((option) => ["-o", option]);
  mkdirSync(join(CACHE, "apt-cache"), { recursive: true });
  const apt = (args, cwd) => quietly("apt-get", ["-q", ...options, ...args], { cwd });
  await apt(["update"], CACHE);
  return apt;
}

/** The archive of Debian that this machine uses; undefined when it uses none, as a relative of Debian does. */
function mirror() {
  const format = "$(ORIGIN) $(SITE)";
  const { stdout } = spawnSync("apt-get", ["indextargets", "--format", format], { encoding: "utf8" });
  const debian = (stdout ?? "").split("\n").find((line) => /^Debian \S+\/debian\/?$/.test(line));
  return debian?.slice("Debian ".length);
}

async function fetchAndUnpack(apt, { source, release, archive, into, only = [] }) {
  const downloads = join(CACHE, "downloads");
  mkdirSync(downloads, { recursive: true });
  // Of the parts of a source package only this one is needed, and a mirror may lack one of the others.
  const pattern = archive ?? `${source}_*.orig.tar.*`;
  const name = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^_]*")}$`);
  const find = () => readdirSync(downloads).find((file) => name.test(file) && !file.endsWith(".asc"));
  let failure;
  for (let attempt = 1; find() === undefined && attempt <= ATTEMPTS; attempt++) {
    const args = ["source", "--tar-only", "--download-only", `${source}/${release}`];
    failure = await apt(args, downloads).catch((error) => error);
  }
  const found = find();
  if (found === undefined) throw new StepError(`no ${pattern} of Debian ${release}`, failure?.output);
  const target = join(MODULES, into);
  if (only.length > 0) rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  // What npm installed stays: the tests are for it.
  const options = ["--strip-components=1", "--skip-old-files", "--no-same-owner"];
  const which = only.length > 0 ? ["--wildcards", "--no-wildcards-match-slash", ...only] : [];
  await quietly("tar", ["xf", join(downloads, found), "-C", target, ...options, ...which]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(async () => {
    await publishedTests();
    return 0;
  });
}
