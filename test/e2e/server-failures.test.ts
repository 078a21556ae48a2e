/**
 * What visitors get and what the log says when an application is not there, dies, hangs or talks nonsense: behind every
 * web server, with the configuration that `postern config` writes. src/sites/failures.ts says what is to be seen.
 */
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  explainLogLine,
  FAILURES,
  type Failure,
  type FailureCause,
  linePattern,
  type Outcome,
} from "../../src/sites/failures.ts";
import { WEB_SERVERS } from "../../src/sites/index.ts";
import {
  type Backend,
  forbidden,
  httpServer,
  isSpawnedBy,
  nobody,
  responder,
  startBefore,
  withPostern,
} from "../support/e2e/failing.ts";
import "../support/e2e/observed.ts";
import { gate, servePostern } from "../support/e2e/served.ts";
import { COLUMNS, type Column, missingFor, SERVERS } from "../support/e2e/sites.ts";
import { connectHttp, request } from "../support/http.ts";
import { readDocument, tableRows } from "../support/markdown.ts";
import { notice } from "../support/notice.ts";
import { isThorough } from "../support/thorough.ts";
import { patience, waitFor } from "../support/wait.ts";
import { externalAt } from "../support/web-servers/generated.ts";
import type { WebServer } from "../support/web-servers/web-server.ts";

/** Seconds that a web server waits for an application that is silent. */
const PATIENCE = 1;

/** Where the two releases of a server differ, this one does otherwise than the list says. */
const DIFFERS: Partial<Record<Column, Partial<Record<FailureCause, Outcome>>>> = {
  Caddy: { "failed-answering": "unnoticed" },
};

/**
 * A web server that finds a kept connection closed may leave it to the visitor to ask again; whether it had kept it
 * already is its own affair.
 */
const DIED_KEPT: Partial<Record<Column, Outcome>> = { "HAProxy current": "cut" };

/**
 * Whoever writes a request in pieces, as Apache and Caddy do, may find the connection closed before the last, and says
 * that in the place of what the list has.
 */
const MAY_HANG_UP: ReadonlySet<FailureCause> = new Set(["died", "not-fastcgi"]);

const SILENT = "no answer in time";

interface Case {
  readonly title: string;
  readonly cause: FailureCause;
  readonly path: string;
  /** Where visitors can tell whatever the web server does. */
  readonly outcome?: Outcome;
}

const NOBODY: readonly (readonly [title: string, cause: FailureCause, how: () => Promise<Backend>])[] = [
  ["nobody has made the socket", "no-socket", () => nobody("no socket")],
  ["nobody listens on the socket any more", "socket-refused", () => nobody("stale socket")],
  ["nobody listens on the port", "port-refused", () => nobody("port")],
  ["the web server may not use the socket", "no-permission", forbidden],
  ["an HTTP server is there", "not-fastcgi", httpServer],
];

const ON_THE_WIRE: readonly Case[] = [
  { title: "the process dies before it answers", cause: "died", path: "/?way=die" },
  { title: "the process dies in an answer of no stated length", cause: "died-answering", path: "/?way=half" },
  {
    title: "the process dies in an answer of stated length",
    cause: "died-answering",
    path: "/?way=half-length",
    outcome: "cut",
  },
  { title: SILENT, cause: "silent", path: "/?way=silent" },
  { title: "text in the place of headers", cause: "not-a-head", path: "/?way=text" },
  { title: "a status that is no number", cause: "bad-status", path: "/?way=status" },
  { title: "headers that are too large", cause: "head-too-large", path: "/?way=big-head" },
];

const UNDER_POSTERN: readonly Case[] = [
  { title: "the application throws", cause: "threw", path: "/throw" },
  { title: "the application fails in the middle of an answer", cause: "failed-answering", path: "/cut" },
  { title: "the application ends its process", cause: "died", path: "/exit" },
  { title: "the application blocks its process", cause: "died", path: "/block" },
];

/** What is not caused, by row, and why. */
const LEFT: Partial<Record<Column, Readonly<Record<string, string>>>> = {
  "Apache mod_fcgid": {
    ...Object.fromEntries(NOBODY.map(([title]) => [title, "mod_fcgid starts the application itself"])),
    "too many connections": "mod_fcgid gives each process one request",
    "the application blocks its process": "no manager of Postern's watches over a process of mod_fcgid",
    "a request takes longer than Postern lets it": "a setting of the manager's",
  },
  Caddy: { [SILENT]: "Caddy's limit is for a whole answer; none is set" },
  "Caddy current": {
    [SILENT]: "Caddy's limit is for a whole answer; none is set",
    "the web server may not use the socket": "the tests start it as root",
  },
};

function expected(column: Column, cause: FailureCause): Failure | undefined {
  const [server] = SERVERS[column];
  const module = server === "apache" ? (isSpawnedBy(column) ? "fcgid" : "proxy_fcgi") : undefined;
  const found = FAILURES.find((one) => one.server === server && one.module === module && one.cause === cause);
  if (found === undefined) return undefined;
  return { ...found, outcome: DIFFERS[column]?.[cause] ?? found.outcome };
}

/** What came for one request: the status, or how a broken answer ended. */
async function ask(web: WebServer, path: string): Promise<{ outcome: Outcome; text: string }> {
  const connection = await connectHttp(web.origin);
  try {
    await connection.send(`GET ${path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n`);
    const text = await connection.waitForEnd(20_000);
    return { outcome: outcomeOf(text), text };
  } finally {
    connection.close();
  }
}

function outcomeOf(text: string): Outcome {
  // Closed without a byte: nothing was passed on of an answer that broke off.
  if (text === "") return "cut";
  const status = /^HTTP\/1\.1 (\d{3})\b/.exec(text)?.[1];
  if (status === undefined) return "not HTTP";
  const end = text.indexOf("\r\n\r\n");
  const [head, body] = [text.slice(0, end), text.slice(end + 4)];
  if (status !== "200") return Number(status);
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  const isWhole = length === undefined ? body.endsWith("0\r\n\r\n") : body.length >= Number(length);
  return isWhole ? (/x{100}/.test(body) ? "unnoticed" : 200) : "cut";
}

// The newest releases only where everything is tested.
for (const column of COLUMNS.filter((name) => isThorough || !name.endsWith("current"))) {
  const missing = missingFor({ column });
  const title = `site | ${column} | failures`;
  if (missing === undefined) describe(title, () => failuresOf(column));
  else if (process.env["CI"]) it(title, () => expect.fail(missing));
  else {
    notice(`skipped "${title}": ${missing}`);
    describe.skip(title, () => failuresOf(column));
  }
}

async function expectFailure(
  { task }: TestContext,
  web: WebServer,
  failure: Failure,
  path: string,
): Promise<void> {
  const said = web.errorLogFromNow();
  const { outcome, text } = await ask(web, path);
  task.meta.observed = String(outcome);
  task.meta.version = web.version;
  expect(outcome, `${text.slice(0, 300)}\n${said()}`).toBe(failure.outcome);
  if (failure.lines.length === 0) return;
  const { server, cause, lines } = failure;
  const isSaid = (line: string): boolean =>
    lines.some((one) => linePattern(one).test(line)) ||
    (MAY_HANG_UP.has(cause) && explainLogLine(server, line)?.cause === "hung-up");
  await waitFor(() => said().split("\n").some(isSaid), {
    what: `${lines.join(" or ")} in the error log of ${web.name}`,
    evidence: said,
  });
}

function failuresOf(column: Column): void {
  const isSpawned = isSpawnedBy(column);
  const left = LEFT[column] ?? {};
  const row = (title: string, test: (context: TestContext) => Promise<void>): void => {
    if (title in left) return;
    it(`failure: ${title}`, { timeout: patience(60_000) }, test);
  };
  /** One failure behind a web server of its own, which has no connection to the application yet. */
  const alone = async (
    context: TestContext,
    { title, cause, path, outcome }: Case,
    backend: Backend,
  ): Promise<void> => {
    const [server] = SERVERS[column];
    // What has no entry is taken.
    const failure = expected(column, cause) ?? { server, cause, outcome: 200, lines: [] };
    const web = await startBefore(column, backend, title === SILENT ? PATIENCE : 60);
    try {
      // HAProxy 2.6 has died of the way in which Postern breaks off: not each time.
      const times = cause === "failed-answering" && server === "haproxy" ? 12 : 1;
      for (let time = 0; time < times; time++) {
        await expectFailure(context, web, outcome === undefined ? failure : { ...failure, outcome }, path);
      }
      if (cause === "threw" || path === "/exit") {
        expect((await ask(web, "/fine")).outcome, web.errorLog()).toBe(200);
      }
    } finally {
      await web.stop();
    }
  };

  for (const [title, cause, how] of NOBODY) {
    row(title, async (context) => {
      const backend = await how();
      await alone(context, { title, cause, path: "/" }, backend).finally(() => backend.close());
    });
  }
  for (const one of ON_THE_WIRE) {
    // lighttpd takes more than the others.
    const path = column.startsWith("lighttpd") ? one.path.replace("big", "huge") : one.path;
    row(one.title, async (context) => {
      const backend = await responder(isSpawned);
      await alone(context, { ...one, path }, backend).finally(() => backend.close());
    });
  }

  row("too many connections", async ({ task }) => {
    const arrived = gate();
    const open = gate<() => void>();
    const served = await servePostern(
      (_req, res) => {
        arrived.open();
        open.open(() => res.end("the first"));
      },
      "unix",
      { maxConnections: 1 },
    );
    const application = externalAt(served.address);
    const web = await startBefore(column, { application, log: () => "", close: () => served.close() });
    try {
      const first = request(web.origin);
      await arrived.opened;
      const { outcome, text } = await ask(web, "/");
      task.meta.observed = String(outcome);
      task.meta.version = web.version;
      expect(outcome, text + web.errorLog()).toBe(503);
      (await open.opened)();
      expect((await first).text).toBe("the first");
      expect(served.log.map(({ message }) => message).join("\n")).toContain("more than 1 connections");
    } finally {
      await web.stop();
      await served.close();
    }
  });

  describe("under Postern", () => {
    let backend: Backend;
    let end: () => void;
    let over: Promise<void>;
    beforeAll(async () => {
      const started = gate<Backend>();
      const ended = gate();
      end = () => ended.open();
      const flags = ["--max-loop-delay", "1s", "--request-terminate-timeout", "2s"];
      over = withPostern(isSpawned, flags, (one) => {
        started.open(one);
        return ended.opened;
      });
      backend = await Promise.race([started.opened, over.then(() => expect.fail("it has ended"))]);
    });
    afterAll(async () => {
      end();
      await over;
    });

    for (const one of UNDER_POSTERN) row(one.title, (context) => alone(context, one, backend));

    row("the process dies with a request on a kept connection", async (context) => {
      const web = await startBefore(column, backend);
      try {
        expect((await ask(web, "/fine")).outcome, web.errorLog()).toBe(200);
        const { outcome, text } = await ask(web, "/exit");
        context.task.meta.observed = String(outcome);
        context.task.meta.version = web.version;
        const failure = expected(column, "died")!;
        expect([failure.outcome, DIED_KEPT[column]], text + web.errorLog()).toContain(outcome);
        expect((await ask(web, "/fine")).outcome, web.errorLog()).toBe(200);
      } finally {
        await web.stop();
      }
    });

    row("a request takes longer than Postern lets it", async ({ task }) => {
      const web = await startBefore(column, backend);
      try {
        const { outcome, text } = await ask(web, "/hold");
        task.meta.observed = String(outcome);
        task.meta.version = web.version;
        expect(outcome, text + backend.log()).toBe(504);
        await waitFor(() => /url=\/hold/.test(backend.log()), { what: "the request in the log" });
      } finally {
        await web.stop();
      }
    });
  });

  it("what is left out has a reason", ({ task }) => {
    task.meta.left = Object.fromEntries(
      Object.entries(left).map(([title, why]) => [`failure: ${title}`, why]),
    );
    for (const [title, why] of Object.entries(left)) expect(why, title).not.toBe("");
  });
}

describe("the pages about web servers", () => {
  it.each(WEB_SERVERS)("%s: says every line of the log that is known", (server) => {
    const { prose } = readDocument(`docs/deploy/${server}.md`);
    const cells = tableRows(prose).map(([cell = ""]) => cell);
    const lines = FAILURES.filter((failure) => failure.server === server).flatMap(({ lines }) => lines);
    const missing = lines.filter(
      (line) => !cells.some((cell) => linePattern(line.trim()).test(cell.replaceAll("`", ""))),
    );
    expect([...new Set(missing)]).toEqual([]);
  });
});
