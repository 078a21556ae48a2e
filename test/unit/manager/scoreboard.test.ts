/** What a worker works on, as the manager reads it: also from a worker that lies. */
import { writeSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { Scoreboard, ScoreboardFile } from "../../../src/manager/scoreboard.ts";
import type { Exchange } from "../../../src/server/exchange.ts";

const files: ScoreboardFile[] = [];
afterEach(() => {
  for (const file of files.splice(0)) file.close();
});

function makeBoard(): { board: Scoreboard; file: ScoreboardFile } {
  const file = new ScoreboardFile();
  files.push(file);
  return { board: new Scoreboard(file.fd), file };
}

/** An exchange, as far as the scoreboard looks at it. */
function exchange(params: Readonly<Record<string, string>>): Exchange {
  const source = new Map(Object.entries(params));
  return { params: source, client: source } as unknown as Exchange;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe("a scoreboard", () => {
  it("shows a request from its first moment to the end of the turn in which it ends", async () => {
    const { board, file } = makeBoard();
    const one = exchange({ REQUEST_METHOD: "POST", REQUEST_URI: "/a?b=c d", REMOTE_ADDR: "10.0.0.1" });
    const before = Date.now();
    board.onRequestBegin(one);
    const [shown] = file.read();
    expect(shown).toMatchObject({ method: "POST", url: "/a?b=c d", client: "10.0.0.1" });
    expect(shown?.startedAt).toBeGreaterThanOrEqual(before);
    expect(board.list()).toEqual([shown]);
    board.onRequestEnd(one);
    expect(file.read()).toHaveLength(1); // its answer may not have left yet
    expect(board.list()).toEqual([]);
    await turn();
    expect(file.read()).toEqual([]);
  });

  it("gives the place of one that has ended to one that begins in the same turn", async () => {
    const { board, file } = makeBoard();
    const [one, two] = [exchange({ REQUEST_URI: "/one" }), exchange({ REQUEST_URI: "/two" })];
    board.onRequestBegin(one);
    board.onRequestEnd(one);
    board.onRequestBegin(two);
    await turn();
    expect(file.read().map(({ url }) => url)).toEqual(["/two"]);
  });

  it("has the oldest first, and never more than it has room for", async () => {
    const { board, file } = makeBoard();
    const all = Array.from({ length: 300 }, (_, n) =>
      exchange({ REQUEST_METHOD: "GET", REQUEST_URI: `/${n}` }),
    );
    for (const one of all) board.onRequestBegin(one);
    expect(file.read()).toHaveLength(256);
    expect(board.list()).toHaveLength(300);
    for (const one of all.slice(0, 100)) board.onRequestEnd(one);
    await turn();
    expect(file.read()).toHaveLength(156);
    const late = exchange({ REQUEST_URI: "/late" });
    board.onRequestBegin(late);
    expect(file.read().map(({ url }) => url)).toContain("/late");
    for (const one of [...all.slice(100), late]) board.onRequestEnd(one);
    await turn();
    expect(file.read()).toEqual([]);
  });

  it("lists what is open, oldest first, in whatever order requests end", () => {
    const { board } = makeBoard();
    const all = ["/a", "/b", "/c", "/d"].map((url) => exchange({ REQUEST_URI: url }));
    for (const one of all) board.onRequestBegin(one);
    const left = [...all];
    for (const at of [1, 2, 0, 0]) {
      board.onRequestEnd(left.splice(at, 1)[0]!);
      expect(board.list().map(({ url }) => url)).toEqual(left.map(({ params }) => params.get("REQUEST_URI")));
    }
  });

  it("cuts what is too long for its slot, and uses the path where there is no REQUEST_URI", () => {
    const { board, file } = makeBoard();
    board.onRequestBegin(exchange({ REQUEST_URI: `/${"x".repeat(5000)}`, REMOTE_ADDR: "y".repeat(5000) }));
    board.onRequestBegin(exchange({ SCRIPT_NAME: "/app", PATH_INFO: "/x" }));
    const urls = file.read().map(({ url }) => url);
    expect(urls[0]).toHaveLength(800);
    expect(urls[1]).toBe("/app/x");
  });

  it("leaves out what a worker wrote that makes no sense", () => {
    const { file } = makeBoard();
    for (const [slot, text] of ["1nonsense", "1x GET / c\n", "2000", "1", "\0", "1 5 a b c\n"].entries()) {
      writeSync(file.fd, text, slot * 1024);
    }
    expect(file.read().filter(({ startedAt }) => startedAt > 5)).toEqual([]);
  });

  it("is empty once the manager has closed it", () => {
    const { board, file } = makeBoard();
    board.onRequestBegin(exchange({ REQUEST_URI: "/" }));
    file.close();
    file.close();
    expect(file.read()).toEqual([]);
    expect(() => board.onRequestBegin(exchange({ REQUEST_URI: "/" }))).not.toThrow();
  });
});
