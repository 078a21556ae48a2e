/** `postern dev --server nginx`: a real web server in front of the same worker, from a temporary configuration. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import { dirname, join } from "node:path";
import { SettingError } from "../base/errors.ts";
import type { PoolSettings } from "../config/types.ts";
import { captureLines } from "../manager/output.ts";
import { findProgram, STANDARD_PATH } from "../manager/programs.ts";
import { findUser } from "../server/accounts.ts";
import { generateSite, WEB_SERVERS, type WebServerName } from "../sites/index.ts";
import { followLog } from "./dev-log.ts";
import { siteModel } from "./site-model.ts";

/** The Debian packages of the servers, for who has none. */
const PACKAGES: Readonly<Record<WebServerName, string>> = {
  nginx: "nginx",
  apache: "apache2",
  lighttpd: "lighttpd",
  caddy: "caddy",
  haproxy: "haproxy",
  h2o: "h2o",
  cherokee: "cherokee",
};
const START_MS = 15_000;
const LOOK_MS = 30;
const END_MS = 2000;

export interface DevWebServerOptions {
  readonly server: WebServerName;
  readonly pool: PoolSettings;
  readonly host: string;
  readonly port: number;
  readonly mount: string | undefined;
  /** An empty folder for all that it writes. */
  readonly folder: string;
  readonly socket: string;
  readonly wsSocket: string | undefined;
  readonly onLine: (line: string) => void;
  /** It ended by itself. */
  readonly onEnd: (how: string) => void;
}

export interface DevWebServer {
  readonly pid: number;
  close(): Promise<void>;
}

/** @throws {SettingError} ERR_POSTERN_BAD_SETTING: there is none of that name */
export function readServerName(text: string): WebServerName {
  const found = WEB_SERVERS.find((name) => name === text);
  if (found !== undefined && found !== "cherokee") return found;
  const names = WEB_SERVERS.filter((name) => name !== "cherokee").join(", ");
  throw new SettingError(
    "ERR_POSTERN_BAD_SETTING",
    `--server ${JSON.stringify(text)}: it is one of ${names}`,
  );
}

/** @throws {SettingError} it is not installed, or does not start */
export async function startDevWebServer(options: DevWebServerOptions): Promise<DevWebServer> {
  const { server, pool, folder, host, port, mount } = options;
  const uid = process.getuid?.() ?? 0;
  const { site } = siteModel(
    {
      standalone: folder,
      bind: [`unix:${options.socket}`],
      listen: `${host.includes(":") ? `[${host}]` : host}:${port}`,
      serverName: ["localhost"],
      // h2o needs a URL that WebSockets have for themselves, which nobody has said.
      ...(server !== "h2o" && options.wsSocket !== undefined && { wsHttp: `unix:${options.wsSocket}` }),
      stream: true,
      keepAlive: false,
      ...(mount !== undefined && { mount }),
    },
    { server, pool, cwd: folder, uid },
  );
  const { files, run } = generateSite(server, site);
  if (run === undefined) throw new Error(`${server}: a standalone site without a command to run it`);
  for (const { path, text, mode } of files) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    chmodSync(path, mode);
  }
  const user = site.standalone?.user;
  if (user !== undefined) chownSync(folder, findUser(user), -1);
  const [name = server, ...args] = run;
  const path = `${process.env["PATH"] ?? ""}:${STANDARD_PATH}`;
  const program = findProgram(name, path);
  if (program === undefined) {
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      `--server ${server}: there is no ${name} on this machine; on Debian and Ubuntu: sudo apt-get install ${PACKAGES[server]} (without --server nothing needs to be installed)`,
    );
  }
  const said: string[] = [];
  const onLine = (line: string): void => {
    if (said.length < 20) said.push(line);
    options.onLine(line);
  };
  const home = join(folder, "home");
  mkdirSync(home, { recursive: true });
  const child = spawn(program, args, {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: path, HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home },
    detached: true,
  });
  const unfollow = followLog(folder, "error.log", onLine);
  captureLines(child.stdout, onLine);
  captureLines(child.stderr, onLine);
  let isClosing = false;
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  void ended.then((how) => {
    if (!isClosing) options.onEnd(how);
  });
  const close = async (): Promise<void> => {
    isClosing = true;
    end(child, "SIGTERM");
    const timer = setTimeout(() => end(child, "SIGKILL"), END_MS);
    await ended;
    clearTimeout(timer);
    unfollow();
    end(child, "SIGKILL"); // what it has started
  };
  if (!(await accepts(host, port, ended))) {
    await close();
    throw new SettingError(
      "ERR_POSTERN_BAD_SETTING",
      `--server ${server}: it does not start:\n${said.join("\n") || `it ended with ${await ended}`}`,
    );
  }
  return { pid: child.pid ?? 0, close };
}

function end(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It is gone.
  }
}

/** Whether it accepts before it ends, or the time is over. */
async function accepts(host: string, port: number, ended: Promise<unknown>): Promise<boolean> {
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  const until = performance.now() + START_MS;
  while (!isOver && performance.now() < until) {
    if (await canConnect(host, port)) return !isOver;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return false;
}

export function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, host);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
