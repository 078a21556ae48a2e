/**
 * Everything that starts a `.fcgi` program: web servers from their generated configurations, and starters with nginx in
 * front of the socket that they open. What is known of each is data here, and what the tests hold it to.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type HttpAnswer, request } from "../http.ts";
import { type Running, run, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import { programOf, type ServerName } from "../web-servers/available.ts";
import { externalAt, type Release, startGenerated } from "../web-servers/generated.ts";
import { serverUser, type WebServer } from "../web-servers/web-server.ts";
import { PATIENT, type Program } from "./spawned-program.ts";

export interface SpawnOptions {
  /** How many processes, or how many at most. @default 2 */
  readonly processes?: number;
  /** Lines that an administrator adds to the web server's configuration. */
  readonly more?: string;
  /** How long the application may be silent. @default 60 */
  readonly timeoutSeconds?: number;
}

/** A program that somebody has started, or will. */
export interface Started extends AsyncDisposable {
  readonly url: string;
  /** Of the web server. */
  readonly version: string;
  /** The process that has started the program; of daemons that are gone, the last that was there. */
  readonly starter: Running;
  ask(path: string, timeoutMs?: number): Promise<HttpAnswer>;
  /** What web server, starter and program have written, wherever that is. */
  log(): string;
  untilLogged(pattern: RegExp): Promise<RegExpExecArray>;
  /** Signals for the program's processes and their starter; settles when all are gone. */
  stop(): Promise<void>;
}

export interface Starter {
  /** Of the table. */
  readonly column: string;
  readonly needs: readonly ServerName[];
  /** The newest version of a web server. */
  readonly isCurrent: boolean;
  readonly start: (program: Program, options?: SpawnOptions) => Promise<Started>;
  /** When the program is started. */
  readonly begins: "with the first request" | "at once";
  /** Whether it has the environment of whoever started the web server. */
  readonly environment: "none" | "the starter's";
  /** Where its output goes. */
  readonly output: "a log" | "nowhere";
  /** What becomes of it after a crash. */
  readonly crash: "started again" | "not started again";
  /** What a visitor gets when it ends before it serves, or after a crash that nobody mends. */
  readonly broken: readonly number[];
}

/** The nearly empty environment of a system service. */
const BARE = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

function webServer(
  column: string,
  server: "apache" | "lighttpd" | "h2o",
  release: Release,
  facts: Omit<Starter, "column" | "needs" | "isCurrent" | "start">,
): Starter {
  return {
    column,
    needs: server === "apache" ? ["apache", "apache-fcgid"] : [server],
    isCurrent: release === "current",
    ...facts,
    async start(program, { processes = 2, more = "", timeoutSeconds = 60 } = {}) {
      const web = await startGenerated(
        server,
        {
          apacheModule: "fcgid",
          timeoutSeconds,
          application: {
            kind: "spawned",
            program: program.path,
            processes,
            isDynamic: false,
            socket: join(writableFolder(), "app.sock"),
            environment: {},
          },
        },
        release,
        more,
      );
      return startedBy(web, web.process, program, () => "");
    },
  };
}

/** A folder in which the web server's user may make sockets. */
export function writableFolder(): string {
  const folder = temporaryFolder("run");
  chmodSync(folder, 0o777);
  return folder;
}

function startedBy(web: WebServer, starter: Running, program: Program, ownLog: () => string): Started {
  const log = (): string =>
    `${web.errorLog()}\n${starter === web.process ? "" : starter.output()}\n${ownLog()}`;
  const stop = async (): Promise<void> => {
    await starter.stop({ graceMs: 20_000 });
    for (const pid of program.alive()) signal(pid, "SIGTERM");
    await program.untilGone(program.alive(), log);
    if (starter !== web.process) await web.stop();
  };
  return {
    url: web.url,
    version: web.version,
    starter,
    ask: (path, timeoutMs = 30_000) => request(`${web.url}${path}`, { timeoutMs }),
    log,
    untilLogged: (pattern) =>
      waitFor(() => pattern.exec(log()), {
        ...PATIENT,
        what: `${pattern} in a log`,
        evidence: log,
      }) as Promise<RegExpExecArray>,
    stop,
    async [Symbol.asyncDispose]() {
      for (const pid of program.alive()) signal(pid, "SIGKILL");
      await starter.stop({ signal: "SIGKILL" });
      for (const pid of program.alive()) signal(pid, "SIGKILL");
      await web.stop();
    },
  };
}

/** One that may be gone already. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is.
  }
}

interface Opened {
  readonly starter: Running;
  readonly log?: () => string;
  /** Whether the socket was made by root for root. */
  readonly isPrivate?: boolean;
}

/** A starter: `open` starts it on a socket; nginx is in front of that. */
function starter(
  column: string,
  needs: readonly ServerName[],
  facts: Omit<Starter, "column" | "needs" | "isCurrent" | "start">,
  open: (program: Program, socket: string, processes: number) => Opened,
): Starter {
  return {
    column,
    needs: ["nginx", ...needs],
    isCurrent: false,
    ...facts,
    async start(program, { processes = 2, more = "", timeoutSeconds = 60 } = {}) {
      const socket = join(writableFolder(), "app.sock");
      const opened = open(program, socket, processes);
      await waitFor(() => existsSync(socket) || opened.starter.exit?.code, {
        ...PATIENT,
        what: socket,
        evidence: opened.starter.output,
      });
      // Looking whether somebody listens would be a connection, which starts the program. Only who binds has a file.
      if (opened.isPrivate && serverUser() !== undefined) chmodSync(socket, 0o666);
      const web = await startGenerated(
        "nginx",
        { application: externalAt({ unix: socket }), timeoutSeconds },
        "system",
        more,
      );
      return startedBy(web, opened.starter, program, opened.log ?? (() => ""));
    },
  };
}

/** What a spawn-fcgi as root gives its socket, so that the web server may connect. */
function socketFlags(): string[] {
  const user = serverUser();
  return user === undefined ? [] : ["-M", "0660", "-G", user.group];
}

function userFlags(): string[] {
  const user = serverUser();
  return user === undefined ? [] : ["-u", user.user, "-g", user.group];
}

function supervised(program: Program, socket: string, processes: number): Opened {
  const folder = writableFolder();
  const user = serverUser();
  const log = join(folder, "app.log");
  const starter = startSupervisor(`[fcgi-program:yourapplication]
command=${program.path}
socket=unix://${socket}
socket_mode=0660
${user === undefined ? "" : `socket_owner=${user.user}:${user.group}\nuser=${user.user}`}
process_name=%(program_name)s_%(process_num)02d
numprocs=${processes}
directory=${program.folder}
autorestart=true
startsecs=0
stopsignal=TERM
stopwaitsecs=45
redirect_stderr=true
stdout_logfile=${log}
`);
  return { starter, log: () => (existsSync(log) ? readFileSync(log, "utf8") : "") };
}

/** supervisord with these programs. Its configuration is the last word of its command line. */
export function startSupervisor(programs: string): Running {
  const folder = writableFolder();
  const config = join(folder, "supervisord.conf");
  writeFileSync(
    config,
    `[supervisord]
logfile=${join(folder, "supervisord.log")}
pidfile=${join(folder, "supervisord.pid")}
childlogdir=${folder}
${serverUser() === undefined ? "" : "user=root"}
[unix_http_server]
file=${join(folder, "ctl.sock")}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://${join(folder, "ctl.sock")}
${programs}`,
  );
  return start(programOf("supervisor"), ["-n", "-c", config], { cwd: folder, env: BARE });
}

/** `supervisorctl` for the supervisor of {@link STARTERS}. */
export async function supervisorctl(started: Started, ...words: string[]): Promise<string> {
  const config = started.starter.child.spawnargs.at(-1) ?? "";
  const { stdout, stderr } = await run("supervisorctl", ["-c", config, ...words], { timeoutMs: 60_000 });
  return stdout + stderr;
}

const env = (...command: string[]): string[] => ["-i", `PATH=${BARE.PATH}`, ...command];

export const STARTERS: readonly Starter[] = [
  webServer("Apache mod_fcgid", "apache", "system", {
    begins: "with the first request",
    environment: "none",
    output: "a log",
    crash: "started again",
    broken: [500],
  }),
  ...(["system", "current"] as const).map((release) =>
    webServer(release === "system" ? "lighttpd" : "lighttpd current", "lighttpd", release, {
      begins: "at once",
      environment: "none",
      output: "a log",
      crash: "started again",
      broken: [500, 503],
    }),
  ),
  webServer("h2o", "h2o", "system", {
    begins: "at once",
    environment: "the starter's",
    output: "a log",
    crash: "not started again",
    broken: [503],
  }),
  starter(
    "spawn-fcgi",
    ["spawn-fcgi"],
    {
      begins: "at once",
      environment: "the starter's",
      output: "nowhere",
      crash: "not started again",
      broken: [502],
    },
    (program, socket, processes) => ({
      starter: start(
        programOf("spawn-fcgi"),
        ["-s", socket, ...socketFlags(), ...userFlags(), "-F", String(processes), "--", program.path],
        { env: BARE },
      ),
    }),
  ),
  starter(
    "multiwatch",
    ["spawn-fcgi", "multiwatch"],
    {
      begins: "at once",
      environment: "the starter's",
      output: "a log",
      crash: "started again",
      broken: [502, 504],
    },
    (program, socket, processes) => ({
      starter: start(
        programOf("spawn-fcgi"),
        [
          ...["-n", "-s", socket, ...socketFlags(), ...userFlags(), "--"],
          ...[programOf("multiwatch"), "-s", "TERM", "-f", String(processes), "--", program.path],
        ],
        { env: BARE },
      ),
    }),
  ),
  starter(
    "supervisor",
    ["supervisor"],
    {
      begins: "at once",
      environment: "the starter's",
      output: "a log",
      crash: "started again",
      broken: [502],
    },
    supervised,
  ),
  ...["", "--inetd"].map((flag) =>
    starter(
      `systemd-socket-activate${flag === "" ? "" : ` ${flag}`}`,
      ["systemd"],
      {
        begins: "with the first request",
        environment: "none",
        output: "a log",
        crash: "not started again",
        broken: [502],
      },
      (program, socket) => ({
        starter: start(programOf("systemd"), [...(flag === "" ? [] : [flag]), "-l", socket, program.path], {
          env: BARE,
        }),
        isPrivate: true,
      }),
    ),
  ),
  starter(
    "cgi-fcgi -start",
    ["cgi-fcgi"],
    {
      begins: "at once",
      environment: "none",
      output: "nowhere",
      crash: "not started again",
      broken: [502],
    },
    (program, socket) => ({
      starter: start("env", env(programOf("cgi-fcgi"), "-start", "-connect", socket, program.path)),
      isPrivate: true,
    }),
  ),
];

/** @throws when there is none of that name */
export function starterNamed(column: string): Starter {
  const found = STARTERS.find((one) => one.column === column);
  if (found === undefined) throw new Error(`no starter ${column}`);
  return found;
}
