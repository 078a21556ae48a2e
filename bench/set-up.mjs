// What the benchmark needs beside Node: installs it where that is possible without asking (as root on Debian and its
// relatives; npm packages always), and says what is missing. Everything goes on without it.
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { findProgram, install, isThere } from "../scripts/web-servers.mjs";

const includes = (header) => ["gcc", "-E", "-include", header, "-x", "c", "/dev/null"];

/** By the name that candidates use in `needs`. In the shape of scripts/web-servers.json. */
const TOOLS = {
  gcc: { package: "gcc", program: "gcc" },
  libc: { package: "libc6-dev", check: includes("stdio.h") },
  libfcgi: { package: "libfcgi-dev", check: includes("fcgiapp.h") },
  go: { package: "golang-go", program: "go" },
  uwsgi: { package: "uwsgi-core", program: "uwsgi-core|uwsgi" },
  "uwsgi-python": {
    package: "uwsgi-plugin-python3",
    check: ["test", "-e", "/usr/lib/uwsgi/plugins/python3_plugin.so"],
  },
  php: { package: "php-fpm", program: "php-fpm[\\d.]*" },
  perl: { package: "libfcgi-perl", check: ["perl", "-MFCGI", "-e", "1"] },
  nginx: { package: "nginx", program: "nginx" },
  python: { package: "python3", check: ["/usr/bin/python3", "-c", "0"] },
  flask: { package: "python3-flask", check: ["/usr/bin/python3", "-c", "import flask"] },
  gunicorn: { package: "gunicorn", program: "gunicorn" },
};
const PEERS = new URL("peers/", import.meta.url);

/** The newest Node that the benchmark knows, once "npm" has been set up. */
export const NEWEST_NODE = new URL("node_modules/node/bin/node", PEERS).pathname;

/** The name of a tool's program on this machine. */
export function programOf(need) {
  return findProgram(TOOLS[need]);
}

/**
 * Sets up what is needed and not there yet.
 * @param needs names of TOOLS, and "npm" for the packages of peers/package.json
 * @param say called with a line for everything done
 * @param installs false: only says what is missing
 * @returns what could not be had: need → reason
 */
export async function setUp(needs, say, installs = true) {
  const missing = new Map();
  const tools = [...needs].filter((need) => need !== "npm");
  const wanted = tools.filter((need) => !isThere(TOOLS[need]));
  if (wanted.length > 0) {
    const packages = wanted.map((need) => TOOLS[need].package).join(", ");
    let reason = `not installed: apt-get install ${packages}, or run the benchmark as root`;
    if (installs && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
      say(`installing ${packages} …`);
      // One that cannot be had must not keep the others away.
      for (const need of wanted) {
        await install([TOOLS[need]]).catch((error) => {
          reason = `apt-get could not install ${TOOLS[need].package}: ${lastLine(error.output ?? error.message)}`;
        });
      }
    }
    for (const need of wanted) if (!isThere(TOOLS[need])) missing.set(need, reason);
  }
  if (new Set(needs).has("npm")) {
    await peers(say, installs).catch((error) => missing.set("npm", error.message));
  }
  for (const [need, reason] of missing) say(`missing: ${need} (${reason})`);
  return missing;
}

/** `npm ci` in peers/, when that is not what its lockfile says. */
async function peers(say, installs) {
  const lock = readFileSync(new URL("package-lock.json", PEERS), "utf8");
  const done = new URL("node_modules/.installed-lock.json", PEERS);
  if (existsSync(done) && readFileSync(done, "utf8") === lock) return;
  if (!installs) throw new Error("not installed: npm ci in bench/peers");
  say("installing the packages of bench/peers …");
  try {
    await promisify(execFile)("npm", ["ci", "--no-audit", "--no-fund"], { cwd: PEERS });
  } catch (error) {
    throw new Error(`npm ci in bench/peers failed: ${lastLine(error.stderr ?? error.message)}`);
  }
  writeFileSync(done, lock);
}

function lastLine(text) {
  return text.trim().split("\n").at(-1) ?? "";
}
