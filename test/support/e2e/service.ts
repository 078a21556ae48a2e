/** An application, the service files that `postern init` makes for it, and requests to it while it is reloaded. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { FastCGIClient } from "../../../src/client/index.ts";
import { repositoryRoot } from "../paths.ts";
import { run } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import { serverUser } from "../web-servers/web-server.ts";
import { built } from "./built.ts";

export const CLI: string = join(repositoryRoot, "dist", "cli", "main.js");
export const SERVICE = "shop";

/** A name that every file has to quote. */
const SITE = `it's 100% of "my" $HOME & co`;

export interface Site {
  /** For everything: sockets, logs, service files. */
  readonly folder: string;
  readonly app: string;
  readonly user: string;
  readonly group: string;
  /** The application's folder, in quotes where needed. */
  readonly path: string;
  /** Replaces the application by one that answers `text`, or by what cannot be loaded. */
  deploy(text: string | undefined): void;
}

const SOURCES = {
  javascript: {
    app: "app.js",
    file: "app.js",
    broken: 'throw new Error("broken");',
    answering: (text: string) => `export default (req, res) => res.end("${text}");`,
  },
  python: {
    app: "shop:app",
    file: "shop.py",
    broken: 'raise RuntimeError("broken")',
    answering: (text: string) =>
      `def app(environ, start_response):\n    start_response("200 OK", [])\n    return [b"${text}"]\n`,
  },
} as const;

export function makeSite(language: keyof typeof SOURCES = "javascript"): Site {
  const folder = temporaryFolder("s");
  const path = join(folder, SITE);
  const source = SOURCES[language];
  let count = 0;
  const app = join(path, source.app);
  mkdirSync(path);
  writeFileSync(join(path, "package.json"), '{ "type": "module" }');
  const site: Site = {
    folder,
    app,
    path,
    ...account(),
    deploy(text) {
      const written = text === undefined ? source.broken : source.answering(text);
      // Python knows what it has compiled by the size of the source, and the second of its change.
      const unlike = language === "python" ? `#${"x".repeat(++count)}\n` : "";
      writeFileSync(join(path, source.file), `${written}\n${unlike}`);
    },
  };
  site.deploy("one");
  return site;
}

/** Root runs the services as the web server's user, if that one can read what we run. */
function account(): { user: string; group: string } {
  const server = serverUser();
  const canRun =
    server !== undefined &&
    spawnSync(process.execPath, [CLI, "--version"], { cwd: "/", uid: server.uid, gid: server.gid }).status ===
      0;
  if (server !== undefined && canRun) return { user: server.user, group: server.group };
  const { username, gid } = userInfo();
  return { user: username, group: String(gid) };
}

/** The files of a kind, written below the folder; what they say of /run and /var/log is below it too. */
export async function initService(
  site: Site,
  kind: string,
  ...flags: string[]
): Promise<Map<string, string>> {
  await built();
  const output = join(site.folder, "files");
  const all = ["--name", SERVICE, "--user", site.user, "--group", site.group, "--output", output, ...flags];
  const { code, stderr } = await run(process.execPath, [CLI, "init", kind, site.app, ...all]);
  if (code !== 0) throw new Error(`postern init ${kind} ended with ${code}\n${stderr}`);
  const files = new Map<string, string>();
  for (const entry of readdirSync(output, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    writeFileSync(path, moved(readFileSync(path, "utf8"), site.folder));
    files.set(path.slice(output.length + 1), path);
  }
  return files;
}

/** The text with every folder of the system below `folder`. */
function moved(text: string, folder: string): string {
  return text
    .replace(new RegExp(`(?<!\\w)/run/${SERVICE}`, "g"), join(folder, "run"))
    .replaceAll(`/var/log/${SERVICE}`, join(folder, "log"))
    .replaceAll("/var/log/supervisor", folder);
}

export function writeScript(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** One GET on a connection of its own: the body. */
export async function ask(address: string): Promise<string> {
  const client = new FastCGIClient({ connect: address });
  try {
    const response = await client.request({
      params: {
        GATEWAY_INTERFACE: "CGI/1.1",
        REQUEST_METHOD: "GET",
        REQUEST_URI: "/",
        SCRIPT_NAME: "",
        PATH_INFO: "/",
        QUERY_STRING: "",
        SERVER_NAME: "localhost",
        SERVER_PORT: "80",
        SERVER_PROTOCOL: "HTTP/1.1",
        REMOTE_ADDR: "127.0.0.1",
      },
    });
    let text = "";
    for await (const piece of response.body) text += String(piece);
    return text;
  } finally {
    await client.close();
  }
}

/** Waits until the application answers `text`. */
export async function answers(address: string, text: string, evidence?: () => string): Promise<void> {
  await waitFor(async () => (await ask(address).catch(() => undefined)) === text, {
    timeoutMs: 30_000,
    what: `${address} to answer ${text}`,
    ...(evidence ? { evidence } : {}),
  });
}

/** Waits until one of the requests of {@link whileAsking} is answered `text`. */
type Heard = (text: string, evidence?: () => string) => Promise<void>;

/** Asks without a pause while `work` is done. @returns how often which answer came; failures count as `failed: …` */
export async function whileAsking(
  address: string,
  work: (heard: Heard) => Promise<void>,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  let isOver = false;
  const loop = async (): Promise<void> => {
    while (!isOver) {
      const answer = await ask(address).catch((error: Error) => `failed: ${error.message}`);
      counts[answer] = (counts[answer] ?? 0) + 1;
    }
  };
  const loops = [loop(), loop()];
  try {
    await work(async (text, evidence = () => "") => {
      await waitFor(() => counts[text], {
        timeoutMs: 30_000,
        what: `${address} to answer ${text}`,
        evidence: () => `${JSON.stringify(counts)}\n${evidence()}`,
      });
    });
  } finally {
    isOver = true;
    await Promise.all(loops);
  }
  return counts;
}

/** What is in a file so far. */
export function textOf(path: string): string {
  return statSync(path, { throwIfNoEntry: false }) === undefined ? "" : readFileSync(path, "utf8");
}
