/** The places where the WebSocket tests find their application: node:http itself, or Postern behind lighttpd. */
import { join } from "node:path";
import type { ClientOptions } from "ws";
import { WebSocket } from "ws";
import { request } from "../http.ts";
import { repositoryRoot } from "../paths.ts";
import { type Running, start } from "../process.ts";
import { temporaryFolder } from "../temp.ts";
import { waitFor } from "../wait.ts";
import { startLighttpd } from "../web-servers/lighttpd.ts";
import { serverUser, type WebServer } from "../web-servers/web-server.ts";
import { built } from "./built.ts";

export const CLI: string = join(repositoryRoot, "dist", "cli", "main.js");
const APP = join(repositoryRoot, "test", "compat", "websocket", "app.js");
const READY = { timeoutMs: 40_000 } as const;

export interface WebSocketSite {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  readonly application: Running;
  readonly web: WebServer | undefined;
  stop(): Promise<void>;
}

export async function startOnNode(): Promise<WebSocketSite> {
  const application = start(process.execPath, [APP, "--listen"]);
  const [, port = ""] = await application.waitForLine(/listening on (\d+)/, READY);
  return {
    url: `http://127.0.0.1:${port}`,
    port: Number(port),
    application,
    web: undefined,
    stop: async () => void (await application.stop()),
  };
}

export interface LighttpdSite {
  readonly mount?: string;
  readonly streaming?: boolean;
  readonly flags?: readonly string[];
  readonly directives?: string;
}

/** `postern serve` with a worker, on a unix socket, behind the current lighttpd. */
export async function startBehindLighttpd(options: LighttpdSite = {}): Promise<WebSocketSite> {
  const { flags = ["--workers", "1"], ...more } = options;
  const { application, socket } = await serveApplication(APP, flags);
  const web = await startLighttpd({ ...more, application: { unix: socket }, isCurrent: true, upgrade: true });
  return {
    url: web.url,
    port: web.port,
    application,
    web,
    async stop() {
      await web.stop();
      await application.stop();
    },
  };
}

let lastName = 0;

/** `postern serve`, as a manager of its own name, on a unix socket that www-data may use. */
export async function serveApplication(
  file: string,
  flags: readonly string[],
  socket: string = join(temporaryFolder("ws"), "app.sock"),
): Promise<{ readonly application: Running; readonly socket: string; readonly name: string }> {
  await built();
  const group = serverUser() === undefined ? [] : ["--listen-group", "www-data"];
  const name = `ws-${process.pid}-${++lastName}`;
  const args = [CLI, "serve", file, "--name", name, "--bind", `unix:${socket}`, ...group, ...flags];
  const application = start(process.execPath, args);
  await application.waitForLine(
    flags.includes("--ws-http") ? /ready|listening for upgrades/ : /ready|info {2}listening for FastCGI/,
    READY,
  );
  return { application, socket, name };
}

let lastId = 0;

/** A name for what one test does, under which the application keeps what it observes. */
export function newId(): string {
  return `t${++lastId}`;
}

/** What the application has observed, when it has observed enough. */
export async function observed(
  site: Pick<WebSocketSite, "url">,
  id: string,
  isEnough: (all: readonly string[]) => boolean,
): Promise<readonly string[]> {
  let all: readonly string[] = [];
  await waitFor(
    async () => {
      all = JSON.parse((await request(`${site.url}/observed?id=${id}`)).text) as string[];
      return isEnough(all);
    },
    { timeoutMs: 20_000, what: "the application to observe it", evidence: () => JSON.stringify(all) },
  );
  return all;
}

/** How a client saw its WebSocket end. */
export interface Closed {
  readonly code: number;
  readonly reason: string;
}

export interface Client {
  readonly socket: WebSocket;
  /** Texts as they are, of binary messages the buffer. */
  readonly messages: (string | Buffer)[];
  readonly closed: Promise<Closed>;
  next(): Promise<string | Buffer>;
}

/** A WebSocket that is open. @throws what the opening handshake came to */
export async function open(
  url: string,
  options: ClientOptions & { protocols?: string[] } = {},
): Promise<Client> {
  const { protocols = [], ...rest } = options;
  const socket = new WebSocket(url.replace(/^http/, "ws"), protocols, { perMessageDeflate: false, ...rest });
  const messages: (string | Buffer)[] = [];
  let taken = 0;
  socket.on("message", (data, isBinary) => messages.push(isBinary ? (data as Buffer) : String(data)));
  const closed = new Promise<Closed>((resolve) => {
    socket.once("close", (code, reason) => resolve({ code, reason: String(reason) }));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  socket.on("error", () => {});
  return {
    socket,
    messages,
    closed,
    async next() {
      await waitFor(() => messages.length > taken, { timeoutMs: 30_000, what: "a message" });
      return messages[taken++]!;
    },
  };
}

/** What a handshake that is refused gets. */
export interface Refusal {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** A WebSocket that is to be refused. Status 0: closed without an answer. */
export function refused(url: string): Promise<Refusal> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), { perMessageDeflate: false });
  return new Promise((resolve, reject) => {
    socket.once("open", () => reject(new Error("it was not refused")));
    socket.once("error", () => resolve({ status: 0, headers: {}, body: "" }));
    socket.once("unexpected-response", (_request, response) => {
      let body = "";
      response.on("data", (piece: Buffer) => (body += String(piece)));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    });
  });
}
