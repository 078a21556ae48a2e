/** Python in tests: the interpreter, our application for it, and what the worker makes of parameters. */
import { join } from "node:path";
import type { MountRule } from "../../../src/cgi/mount-options.ts";
import { ClientPool } from "../../../src/client/index.ts";
import { repositoryRoot } from "../paths.ts";
import { type Running, run, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";

/** Debian's, which has Debian's packages; or another version to try the worker with. */
export const PYTHON: string = process.env["POSTERN_TEST_PYTHON"] ?? "/usr/bin/python3";
/** Where our Python files are; PYTHONPATH for a file that was written for flup. */
export const PYTHON_FOLDER: string = join(repositoryRoot, "python");
export const WSGI_APP: string = join(repositoryRoot, "test", "support", "python", "wsgi_app.py");

export interface Asked {
  readonly params: readonly (readonly [name: string, value: string])[];
  readonly rules: readonly MountRule[];
}

export interface Agreed {
  /** A Target, or `invalid`. */
  readonly target: unknown;
  readonly environ?: Readonly<Record<string, string>> | "invalid";
}

/** What the Python worker makes of requests, by request and rule. */
export async function askPython(requests: readonly Asked[]): Promise<Agreed[][]> {
  const input = requests
    .map(({ params, rules }) =>
      JSON.stringify({ params, rules: rules.map(({ kind, base }) => [kind, base]) }),
    )
    .join("\n");
  const program = join(repositoryRoot, "test", "support", "python", "agree.py");
  const { code, stdout, stderr } = await run(PYTHON, [program], { input, timeoutMs: 60_000 });
  if (code !== 0) throw new Error(stderr);
  return stdout.split("\n").map((line) => JSON.parse(line) as Agreed[]);
}

/** An application with a WSGIServer of its own, without any manager. */
export interface Alone {
  readonly running: Running;
  readonly address: string;
  /** For `/stream`: lets it go on. */
  readonly gate: string;
  readonly client: ClientPool;
  close(): Promise<void>;
}

export async function startAlone(env: Readonly<Record<string, string>> = {}): Promise<Alone> {
  const folder = temporaryFolder("w");
  const socket = join(folder, "a.sock");
  const running = start(PYTHON, [WSGI_APP], {
    env: {
      ...process.env,
      PYTHONPATH: PYTHON_FOLDER,
      PYTHONDONTWRITEBYTECODE: "1",
      BIND: socket,
      GATE: folder,
      ...env,
    },
  });
  const made = (): ClientPool => new ClientPool({ connect: `unix:${socket}`, timeoutMs: 30_000 });
  const isUp = async (): Promise<boolean> => {
    const first = made();
    try {
      await ask(first, "/environ");
      return true;
    } catch {
      return running.exit !== undefined;
    } finally {
      await first.close();
    }
  };
  await waitFor(isUp, { timeoutMs: 20_000, what: "a server of Python", evidence: () => running.output() });
  if (running.exit !== undefined) throw new Error(running.output());
  const client = made();
  return {
    running,
    address: `unix:${socket}`,
    gate: join(folder, "go"),
    client,
    async close() {
      await client.close();
      await running.stop();
    },
  };
}

export interface WsgiAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
  readonly stderr: string;
  readonly appStatus: number;
}

/** One request; the body as latin1. */
export async function ask(
  client: ClientPool,
  url: string,
  more: { readonly params?: Readonly<Record<string, string>>; readonly stdin?: Uint8Array } = {},
): Promise<WsgiAnswer> {
  const [path = "", query = ""] = url.split("?");
  const { stdin } = more;
  const response = await client.request({
    params: {
      GATEWAY_INTERFACE: "CGI/1.1",
      REQUEST_METHOD: stdin === undefined ? "GET" : "POST",
      REQUEST_URI: url,
      SCRIPT_NAME: "",
      PATH_INFO: path,
      QUERY_STRING: query,
      SERVER_NAME: "localhost",
      SERVER_PORT: "80",
      SERVER_PROTOCOL: "HTTP/1.1",
      REMOTE_ADDR: "203.0.113.9",
      ...(stdin !== undefined && { CONTENT_LENGTH: `${stdin.length}`, CONTENT_TYPE: "text/plain" }),
      ...more.params,
    },
    stdin,
  });
  let body = "";
  for await (const piece of response.body) body += (piece as Buffer).toString("latin1");
  const { appStatus } = await response.ended;
  return { status: response.status, headers: response.headers, body, stderr: response.stderr, appStatus };
}
