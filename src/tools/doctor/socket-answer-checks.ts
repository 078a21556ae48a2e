/** Questions that are asked of the socket itself: who is there, does it speak FastCGI, and does it answer in time? */
import { readlinkSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { type Answer, askFor, firstBytesOf, knowsValues } from "./answer.ts";
import { findingsOfAnswer, linesOf } from "./answer-findings.ts";
import { deadline } from "./deadline.ts";
import { wantsProcessor, withChildren } from "./listening.ts";
import type { Check, Facts, Finding, Remedy } from "./model.ts";
import { badSocket, holderOf, isSame, perSocket, type SocketOf } from "./sockets.ts";
import { passingPlace, taking } from "./web-server-remedies.ts";

/** Longer than the shortest limits of web servers, ms. */
const PATIENCE_MS = 8000;
/** Beyond a web server's limit by this much an answer is waited for, so that it can be said how slow it is, ms. */
const BEYOND_MS = 4000;

const owner = perSocket(
  "socket.owner",
  "Is it the application's socket, and not another's?",
  async (socket, facts) => {
    const { application } = facts;
    if (application?.path === undefined || application.spawnedAt !== undefined) return [];
    const holder = holderOf(socket.address);
    if (holder === undefined) return [];
    if (application.listens.some((one) => isSame(one, socket.address))) return [];
    const name = application.path.slice(application.path.lastIndexOf("/") + 1);
    if (holder.text.includes(name) || folderOf(holder.pid) === application.folder) return [];
    // Somewhere behind a name that tells nothing: php-fpm: master process, a container's proxy.
    if (application.processes?.length) return [];
    const says = `${socket.name} belongs to another program than ${application.file}`;
    const finding = badSocket("other-application", socket, says, [`it is held by ${holder.text}`], {
      advice: `give each application a socket of its own: postern serve ${application.file} --bind unix:/run/${name.replace(/\.\w+$/, "")}/app.sock, and the same path in ${socket.place ?? "the web server's configuration"}`,
    });
    return [{ ...finding, verdict: facts.trial === undefined ? "doubtful" : finding.verdict }];
  },
);

function folderOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined; // another user's, or gone
  }
}

const answers = perSocket(
  "socket.answers",
  "Does it speak FastCGI, and answer before the web server gives up?",
  async (socket, facts, signal) => {
    const { address, backend, server, name } = socket;
    const limitMs = backend?.timeout === undefined ? undefined : backend.timeout * 1000;
    const patienceMs = Math.min(PATIENCE_MS, limitMs === undefined ? PATIENCE_MS : limitMs + BEYOND_MS);
    const { url } = facts;
    const target = url === undefined ? "/" : `${url.pathname}${url.search}`;
    const host = url?.host;
    const question = { target, patienceMs, ...(host !== undefined && { host }) };
    const limit = deadline(patienceMs, signal);
    const answer = await askFor(address, question, limit);
    if (answer.kind === "unconnected") return unconnected(socket, answer);
    if (answer.kind === "stranger" || answer.kind === "closed" || answer.kind === "silent") {
      const stranger = await recognise(socket, answer);
      if (stranger !== undefined) return [stranger];
    }
    if (answer.kind === "silent") return [await silent(socket, answer, facts, signal)];
    if (answer.kind === "closed") return [await closed(socket, answer, signal)];
    if (answer.kind === "answered" && limitMs !== undefined && answer.firstByteMs > limitMs) {
      return [tooSlow(socket, answer.firstByteMs, target)];
    }
    const webServers =
      server === undefined ? [] : [{ ...server, backends: backend === undefined ? [] : [backend] }];
    return findingsOfAnswer(answer, { stage: "socket", name, target, webServers });
  },
);

function unconnected(socket: SocketOf, { code, message }: Answer & { kind: "unconnected" }): Finding[] {
  // The other questions say these with their evidence.
  if (/^(?:ENOENT|ECONNREFUSED|EACCES|EPERM|EINVAL|ENOTSOCK)$/.test(code)) return [];
  return [
    badSocket("unreachable", socket, `${socket.name} cannot be reached`, [message], {
      advice:
        "compare the address with where the application listens; between machines a firewall may be in the way",
    }),
  ];
}

/** What else may speak there, by what it answers to its own language. */
async function recognise(socket: SocketOf, answer: Answer): Promise<Finding | undefined> {
  const { address } = socket;
  const fromHttp = await firstBytesOf(
    address,
    Buffer.from("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"),
  ).catch(() => Buffer.alloc(0));
  const text = fromHttp.toString("latin1", 0, 40);
  // Postern tells whoever speaks HTTP to it that it does not.
  if (/\bspeaks FastCGI\b/.test(fromHttp.toString("latin1"))) return undefined;
  if (/^HTTP\/1\.[01] /.test(text)) {
    // A TLS port tells so in plain HTTP.
    if (!(await speaksTls(socket)))
      return stranger(
        socket,
        "HTTP",
        `it answers GET / with ${firstLine(text)}; a web server's log calls that "unsupported FastCGI protocol version: 72", the H of HTTP`,
        "http",
      );
  }
  if (await speaksTls(socket)) {
    return stranger(
      socket,
      "TLS (HTTPS)",
      'it answers a TLS greeting; a web server\'s log calls that "unsupported FastCGI protocol version: 21" or 22',
      "https",
    );
  }
  if (/^[-+]/.test(text) && /\r\n/.test(text))
    return stranger(socket, "the protocol of Redis", `it answers ${firstLine(text)}`);
  if (text.startsWith("SSH-")) return stranger(socket, "SSH", `it greets with ${firstLine(text)}`);
  if (/^Status: \d/i.test(text)) return stranger(socket, "SCGI", `it answers ${firstLine(text)}`);
  if (answer.kind !== "stranger") return undefined;
  return stranger(socket, answer.name, answer.message);
}

function firstLine(text: string): string {
  return JSON.stringify(text.split("\r\n", 1)[0]);
}

function stranger(socket: SocketOf, what: string, evidence: string, scheme?: "http" | "https"): Finding {
  const holder = holderOf(socket.address);
  const says = `${socket.name} speaks ${what}, not FastCGI`;
  const held = holder === undefined ? [] : [`it is held by ${holder.text}`];
  return badSocket("not-fastcgi", socket, says, [evidence, ...held], ...passOn(socket, scheme));
}

/** The web server can pass on by HTTP what speaks HTTP. */
function passOn({ address, place, server }: SocketOf, scheme: "http" | "https" | undefined): Remedy[] {
  if (server?.server === "nginx" && place !== undefined && scheme !== undefined && address.kind === "tcp") {
    return [
      { ...passingPlace(server, place), from: "fastcgi_pass ", to: `proxy_pass ${scheme}://` },
      ...taking(server),
    ];
  }
  return [
    {
      advice:
        scheme === undefined
          ? "name the FastCGI socket of the application"
          : "serve the application with Postern there (postern serve APPLICATION --bind …), or let the web server pass on by HTTP",
    },
  ];
}

const TLS_MS = 1500;

function speaksTls({ address }: SocketOf): Promise<boolean> {
  return new Promise((resolve) => {
    if (address.kind !== "tcp" && address.kind !== "unix") return resolve(false);
    const at =
      address.kind === "unix"
        ? { path: address.path }
        : { host: address.host || "localhost", port: address.port };
    // It is asked which language it speaks, and told nothing.
    const socket = connectTls({ ...at, rejectUnauthorized: false });
    const done = (is: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(is);
    };
    const timer = setTimeout(() => done(false), TLS_MS);
    socket.on("secureConnect", () => done(true));
    // An alert is an answer, too: "no shared cipher", "certificate required".
    socket.on("error", (error) => done(/alert/.test(error.message)));
    socket.on("close", () => done(false));
  });
}

async function silent(
  socket: SocketOf,
  { stderr, waitedMs }: Answer & { kind: "silent" },
  { application }: Facts,
  signal: AbortSignal,
): Promise<Finding> {
  const holder = holderOf(socket.address);
  const evidence = [
    `nothing came within ${waitedMs} ms`,
    ...(holder === undefined ? [] : [`it is held by ${holder.text}`]),
    ...linesOf(stderr),
  ];
  const pids = [
    ...(holder === undefined ? [] : [holder.pid]),
    ...(application?.processes ?? []).map(({ pid }) => pid),
  ];
  const isAwake = await knowsValues(socket.address, deadline(1000, signal));
  if (isAwake) {
    return badSocket(
      "no-answer",
      socket,
      `${socket.name} takes the request, and does not answer it`,
      evidence,
      {
        advice:
          "end every response: something waits for what does not come, a database or a call without a deadline",
      },
    );
  }
  if (await wantsProcessor(withChildren(pids))) {
    return badSocket(
      "blocked",
      socket,
      `the application behind ${socket.name} is busy with itself: its event loop is blocked`,
      evidence,
      {
        advice:
          "find the loop (postern serve logs the stack of a worker that stands still), then start the application again",
      },
    );
  }
  return badSocket(
    "no-answer",
    socket,
    `${socket.name} takes connections, and nobody answers on them: all workers are busy or blocked`,
    evidence,
    {
      advice: "postern status shows what each worker is doing; more of them with --workers",
    },
  );
}

async function closed(
  socket: SocketOf,
  { message, stderr }: Answer & { kind: "closed" },
  signal: AbortSignal,
): Promise<Finding> {
  const isAwake = await knowsValues(socket.address, deadline(1000, signal));
  const evidence = [message, ...linesOf(stderr)];
  if (isAwake || socket.address.kind !== "tcp") {
    return badSocket(
      "dies",
      socket,
      `${socket.name} takes the request, and closes the connection without an answer: the process ends, or crashes`,
      evidence,
      {
        advice: "its own log says why: process.exit, an error outside of a request, memory",
      },
    );
  }
  return badSocket(
    "refuses-client",
    socket,
    `${socket.name} closes connections at once: it does not allow this client, or it dies`,
    evidence,
    {
      advice: "name the web server's address: postern serve --allowed-clients 127.0.0.1",
    },
  );
}

function tooSlow(socket: SocketOf, tookMs: number, target: string): Finding {
  const { backend, server, place } = socket;
  const limit = backend?.timeout ?? 0;
  const seconds = Math.max(60, Math.ceil((tookMs / 1000) * 3));
  const says = `${socket.name} answers ${target} after ${(tookMs / 1000).toFixed(1)} s, and the web server waits ${limit} s`;
  const edits = server === undefined || place === undefined ? [] : longer(socket, seconds);
  const steps =
    edits.length > 0
      ? [...edits, ...taking(server!)]
      : [{ advice: `raise the web server's limit to ${seconds} s, or answer faster` }];
  return badSocket("too-slow", socket, says, [], ...steps);
}

/** The edit that lets a web server wait longer: where the limit stands, else beside the address. */
function longer({ server, place }: SocketOf, seconds: number): Remedy[] {
  const text = server?.text ?? "";
  const where = (pattern: RegExp, to: string): Remedy[] => {
    const number = text.split("\n").findIndex((line) => pattern.test(line));
    const line = server?.lines?.[number];
    const from = pattern.exec(text.split("\n")[number] ?? "")?.[0];
    return line === undefined || from === undefined ? [] : [{ file: line.file, line: line.line, from, to }];
  };
  switch (server?.server) {
    case "nginx": {
      const there = where(/fastcgi_read_timeout\s+\w+/, `fastcgi_read_timeout ${seconds}s`);
      return there.length > 0
        ? there
        : [
            {
              ...passingPlace(server, place!),
              from: "fastcgi_pass",
              to: `fastcgi_read_timeout ${seconds}s; fastcgi_pass`,
            },
          ];
    }
    case "haproxy":
      return where(/timeout server\s+\w+/, `timeout server ${seconds}s`);
    case "apache": {
      const fcgid = where(/FcgidIOTimeout\s+\d+/, `FcgidIOTimeout ${seconds}`);
      const proxy = where(/\btimeout=\d+/, `timeout=${seconds}`);
      return (
        [
          fcgid,
          proxy,
          where(/ProxyTimeout\s+\d+/, `ProxyTimeout ${seconds}`),
          where(/^\s*Timeout\s+\d+/, `Timeout ${seconds}`),
        ].find((one) => one.length > 0) ?? []
      );
    }
    case "lighttpd":
      return where(/"read-timeout"\s*=>\s*\d+/, `"read-timeout" => ${seconds}`);
    default:
      return [];
  }
}

export const socketAnswerChecks: readonly Check[] = [owner, answers];
