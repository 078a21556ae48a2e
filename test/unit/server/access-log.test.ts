/** The access log at work: one line for each request, whole, in files that are moved away and pipes that nobody reads. */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AccessLog } from "../../../src/server/access-log.ts";
import type { Exchange } from "../../../src/server/exchange.ts";
import { abortRecord } from "../../support/records.ts";
import { temporaryFolder } from "../../support/temp.ts";
import { waitFor } from "../../support/wait.ts";
import { startServer, TestLog } from "../../support/wire.ts";

const at = (url: string): { REQUEST_URI: string; PATH_INFO: string } => ({
  REQUEST_URI: url,
  PATH_INFO: url,
});

function logFile(): string {
  return join(temporaryFolder("l"), "access.log");
}

function linesOf(file: string): string[] {
  return readFileSync(file, "utf8").split("\n").slice(0, -1);
}

/** A request that is over, without a server. */
function record(log: AccessLog, url: string): void {
  const params = new Map([["REQUEST_URI", url]]);
  const exchange = { id: "1-1", params, client: params, tally: undefined } as unknown as Exchange;
  log.onRequestBegin(exchange);
  log.onRequestEnd(exchange);
}

describe("the option accessLog", () => {
  it("writes what was asked, and what came of it", async () => {
    const file = logFile();
    {
      await using server = await startServer(
        (request, response) => {
          if (request.url === "/throws") throw new Error("broken");
          response.statusCode = request.url === "/gone" ? 410 : 200;
          response.write("12345");
          response.end("größe");
        },
        { accessLog: file, accessLogFormat: "%m %r %s %b" },
      );
      await server.ask({ params: at("/a?b=c") });
      await server.ask({ params: at("/gone") });
      await server.ask({ params: at("/throws") });
    }
    expect(linesOf(file)).toEqual([
      "GET /a 200 12",
      "GET /gone 410 12",
      expect.stringMatching(/^GET \/throws 500 \d+$/),
    ]);
  });

  it("has 499 for a visitor who left before there was an answer, and the status where it had begun", async () => {
    const file = logFile();
    {
      await using server = await startServer(
        (request, response) => void (request.url === "/begun" && response.write("x")),
        {
          accessLog: file,
          accessLogFormat: "%r %s",
        },
      );
      for (const url of ["/never", "/begun"]) {
        const wire = await server.connect();
        wire.request({ params: at(url), keepConn: true });
        await waitFor(() => server.server.load.openRequests === 1);
        if (url === "/begun") await waitFor(() => wire.records.length > 0);
        wire.send(abortRecord(1));
        await waitFor(() => server.server.load.openRequests === 0);
      }
    }
    expect(linesOf(file)).toEqual(["/never 499", "/begun 200"]);
  });

  it("has no line for pings", async () => {
    const file = logFile();
    {
      await using server = await startServer((_request, response) => response.end(), {
        accessLog: file,
        accessLogFormat: "%r",
        pingPath: "/ping",
      });
      await server.ask({ params: at("/ping") });
      await server.ask({ params: at("/x") });
    }
    expect(linesOf(file)).toEqual(["/x"]);
  });

  it("writes by itself, without waiting for the end", async () => {
    const file = logFile();
    await using server = await startServer((_request, response) => response.end(), {
      accessLog: file,
      accessLogFormat: "%r",
    });
    await server.ask({ params: at("/x") });
    await waitFor(() => readFileSync(file, "utf8") === "/x\n");
  });

  it("refuses formats and files that cannot be used, before anything is served", async () => {
    const folder = temporaryFolder("l");
    await expect(startServer(() => {}, { accessLog: folder })).rejects.toThrow(/this is a folder/);
    await expect(startServer(() => {}, { accessLog: join(folder, "none", "a.log") })).rejects.toThrow(
      /mkdir -p/,
    );
    await expect(startServer(() => {}, { accessLog: "fd:99999" })).rejects.toThrow(/not open/);
    await expect(startServer(() => {}, { accessLog: logFile(), accessLogFormat: "%C" })).rejects.toThrow(
      /CPU time/,
    );
    await expect(startServer(() => {}, { accessLog: "" })).rejects.toThrow(/accessLog/);
    expect(existsSync(join(folder, "none"))).toBe(false);
  });

  it("is answered with requests also when the log cannot be written", async () => {
    await using server = await startServer((_request, response) => response.end("ok"), {
      accessLog: "/dev/full",
    });
    expect(String((await server.ask({ params: at("/x") })).body)).toBe("ok");
    expect(String((await server.ask({ params: at("/y") })).body)).toBe("ok");
    await waitFor(() =>
      server.log.text.includes("error the access log cannot be written: requests go on without it"),
    );
  });
});

describe("a log file that is moved away", () => {
  it("is opened anew by reopen: each line is in one of both", () => {
    const file = logFile();
    const log = new AccessLog(file, "%r", new TestLog());
    record(log, "/before");
    log.flush();
    renameSync(file, `${file}.1`);
    record(log, "/meanwhile");
    log.reopen();
    record(log, "/after");
    log.close();
    expect([linesOf(`${file}.1`), linesOf(file)]).toEqual([["/before", "/meanwhile"], ["/after"]]);
  });

  it("is noticed without a word: at once where there is a new one, else at the second look", () => {
    const file = logFile();
    const log = new AccessLog(file, "%r", new TestLog());
    let now = 10_000;
    const flush = (url: string): void => {
      record(log, url);
      now += 2000;
      log.flush(now);
    };
    flush("/one");
    renameSync(file, `${file}.1`);
    flush("/two"); // whoever has moved it may be about to make the new one
    expect(existsSync(file)).toBe(false);
    flush("/three");
    renameSync(file, `${file}.2`);
    writeFileSync(file, "");
    flush("/four");
    log.close();
    expect([`${file}.1`, `${file}.2`, file].map(linesOf)).toEqual([["/one", "/two"], ["/three"], ["/four"]]);
  });

  it("goes on in the old one when the new one cannot be opened", () => {
    const folder = temporaryFolder("l");
    const file = join(folder, "access.log");
    const messages = new TestLog();
    const log = new AccessLog(file, "%r", messages);
    log.open();
    renameSync(file, `${file}.1`);
    spawnSync("mkdir", [file]);
    log.reopen();
    record(log, "/x");
    log.close();
    expect(linesOf(`${file}.1`)).toEqual(["/x"]);
    expect(messages.text).toEqual(["error the access log cannot be written: requests go on without it"]);
  });
});

describe("a log file that was moved away, and cannot be made anew", () => {
  it("is complained of once, however often one looks, and again when it happens again", () => {
    const folder = temporaryFolder("l");
    const file = join(folder, "logs", "access.log");
    mkdirSync(join(folder, "logs"));
    const messages = new TestLog();
    const log = new AccessLog(file, "%r", messages);
    let now = 10_000;
    const flushFor = (times: number): number => {
      for (let time = 0; time < times; time++) {
        record(log, `/${time}`);
        now += 300;
        log.flush(now);
      }
      return messages.lines.length;
    };
    expect(flushFor(5)).toBe(0);
    renameSync(join(folder, "logs"), join(folder, "old"));
    expect(flushFor(30)).toBe(1);
    mkdirSync(join(folder, "logs"));
    expect(flushFor(10)).toBe(1);
    renameSync(join(folder, "logs"), join(folder, "older"));
    expect(flushFor(30)).toBe(2);
    log.close();
    const all = ["old", "older"].flatMap((name) => linesOf(join(folder, name, "access.log")));
    expect(all.length).toBe(75); // nothing was lost
  });
});

describe("a pipe", () => {
  it("that nobody reads holds nobody up, and loses whole lines, which is said", () => {
    const pipe = join(temporaryFolder("l"), "pipe");
    spawnSync("mkfifo", [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const messages = new TestLog();
    const log = new AccessLog(pipe, "%r", messages);
    const url = (n: number): string => `/${String(n).padStart(6, "0")}${"x".repeat(600)}`;
    const all = 4000;
    for (let n = 0; n < all; n++) record(log, url(n)); // twice what waits, and the pipe
    const text = readAll(reader, () => log.flush());
    log.close();
    closeSync(reader);
    const lines = text.split("\n").slice(0, -1);
    expect(lines.length).toBeGreaterThan(1000);
    expect(lines).toEqual(lines.map((_, n) => url(n)));
    expect(messages.text).toEqual([
      `warn ${all - lines.length} lines of the access log were lost: nobody took them in time`,
    ]);
  });

  it("never gets a line that could be torn", () => {
    const pipe = join(temporaryFolder("l"), "pipe");
    spawnSync("mkfifo", [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const log = new AccessLog(pipe, "%r %r %r %r %r %r %r %r", new TestLog());
    log.open();
    record(log, `/${"x".repeat(5000)}`);
    record(log, "/y");
    const text = readAll(reader, () => log.flush());
    log.close();
    closeSync(reader);
    const [long = "", short, rest] = text.split("\n");
    expect(long).toHaveLength(4095);
    expect([short, rest]).toEqual(["/y /y /y /y /y /y /y /y", ""]);
  });
});

/** What is in the pipe, and comes as it is read. */
function readAll(fd: number, more: () => void): string {
  const buffer = Buffer.alloc(65536);
  let text = "";
  for (;;) {
    more();
    let length = 0;
    try {
      length = readSync(fd, buffer);
    } catch {
      return text; // EAGAIN: it is empty
    }
    if (length === 0) return text;
    text += buffer.toString("latin1", 0, length);
  }
}
