/**
 * Load for tests that look for lost requests: clients that ask without a pause, each request with an id of its own,
 * and every answer checked. Knows which ids failed, and how. Measures nothing.
 */
import { existsSync, readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { waitFor } from "../wait.ts";

export interface LoadOptions {
  /** The web server's URL, where {@link loadApplication} is. */
  readonly url: string;
  /** How many ask at once. @default 8 */
  readonly clients?: number;
  /** How long a request may take, ms. @default 60000 */
  readonly timeoutMs?: number;
  /**
   * Whether a client keeps its connection. Not where the web server itself is reloaded: a request that crosses the
   * close of a kept connection is lost in HTTP, whatever is behind. @default true
   */
  readonly isKeptAlive?: boolean;
}

export interface FailedRequest {
  readonly id: string;
  readonly method: string;
  readonly why: string;
  /** Of the epoch. */
  readonly at: number;
}

export interface Load {
  /** When each request that was answered as it should be was, by id; ms of the epoch. */
  readonly answered: ReadonlyMap<string, number>;
  readonly failed: readonly FailedRequest[];
  /** Answers by the version of the application that gave them. */
  readonly versions: ReadonlyMap<string, number>;
  /** Waits for so many more answers, good or bad. */
  more(answers: number): Promise<void>;
  /** Waits for a good answer from this version to a request that is yet to be made. */
  answersFrom(version: string): Promise<void>;
  /** Lets what is under way end. */
  stop(): Promise<void>;
}

/** Bodies and answers of these sizes, in turn: in one record and in many, in memory of nginx and in its files. */
const BODY_BYTES = [0, 100, 5_000, 0, 40_000];
const ANSWER_BYTES = [20, 3_000, 20, 70_000];

let runs = 0;

export function startLoad(options: LoadOptions): Load {
  const { url, clients = 8, isKeptAlive = true, timeoutMs = 60_000 } = options;
  const run = `r${process.pid}x${++runs}`;
  const answered = new Map<string, number>();
  const versions = new Map<string, number>();
  const failed: FailedRequest[] = [];
  let asked = 0;
  let isOver = false;
  const client = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: isKeptAlive, maxSockets: 1 });
    while (!isOver) {
      const number = asked++;
      const id = `${run}n${number}`;
      const bodyBytes = BODY_BYTES[number % BODY_BYTES.length]!;
      const answerBytes = ANSWER_BYTES[number % ANSWER_BYTES.length]!;
      // Not every body is in a POST and not every POST has one, but as a rule.
      const method = number % 2 === 0 ? "POST" : "GET";
      const one = { id, method, bodyBytes: method === "POST" ? bodyBytes : 0, answerBytes };
      try {
        const version = await askOnce(`${url}/load?id=${id}&size=${answerBytes}`, one, agent, timeoutMs);
        answered.set(id, Date.now());
        versions.set(version, (versions.get(version) ?? 0) + 1);
      } catch (error) {
        failed.push({ id, method, why: (error as Error).message, at: Date.now() });
      }
    }
    agent.destroy();
  };
  const all = Promise.all(Array.from({ length: clients }, client));
  const count = (): number => answered.size + failed.length;
  const evidence = (): string =>
    `${answered.size} answered, ${failed.length} failed\n${failed.slice(-5).map(describe).join("\n")}`;
  return {
    answered,
    failed,
    versions,
    async more(answers) {
      const wanted = count() + answers;
      await waitFor(() => count() >= wanted, { timeoutMs, what: `${answers} more answers`, evidence });
    },
    async answersFrom(version) {
      const before = versions.get(version) ?? 0;
      // Those that were under way may still be the old version's business; these may not.
      await waitFor(() => (versions.get(version) ?? 0) > before + clients, {
        timeoutMs,
        what: `answers from version ${version}`,
        evidence,
      });
    },
    async stop() {
      isOver = true;
      await all;
    },
  };
}

/** Runs `work` under load. @returns the load, ended */
export async function underLoad(options: LoadOptions, work: (load: Load) => Promise<void>): Promise<Load> {
  const load = startLoad(options);
  try {
    await load.more(20);
    await work(load);
    await load.more(20);
  } finally {
    await load.stop();
  }
  return load;
}

/** `GET id: 502 …`. */
export function describe({ id, method, why }: FailedRequest): string {
  return `${method} ${id}: ${why}`;
}

interface One {
  readonly id: string;
  readonly method: string;
  readonly bodyBytes: number;
  readonly answerBytes: number;
}

/** @returns the version that answered @throws when anything about the answer is not as it should be */
function askOnce(url: string, one: One, agent: Agent, timeoutMs: number): Promise<string> {
  const { id, method, bodyBytes, answerBytes } = one;
  return new Promise((resolve, reject) => {
    const headers = method === "POST" ? { "content-length": bodyBytes } : {};
    const outgoing = request(url, { method, agent, headers }, (answer) => {
      let text = "";
      answer.setEncoding("latin1");
      answer.on("data", (piece: string) => {
        text += piece;
      });
      answer.once("error", reject);
      answer.once("end", () => {
        const [first = "", rest] = text.split("\n");
        const [gotId, gotMethod, gotBytes, version = ""] = first.split(" ");
        const isRight =
          gotId === id &&
          gotMethod === method &&
          gotBytes === String(bodyBytes) &&
          rest === "x".repeat(answerBytes);
        if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`));
        else if (!isRight) reject(new Error(`a wrong answer of ${text.length} bytes: ${text.slice(0, 80)}`));
        else resolve(version);
      });
    });
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    outgoing.once("error", reject);
    outgoing.end("b".repeat(bodyBytes));
  });
}

/**
 * The application for this load.
 * @param version a word in its answers
 * @param begun the file to which it appends the id of each request, before anything else
 */
export function loadApplication(version: string, begun?: string): string {
  return `
import { appendFileSync } from "node:fs";
const begun = ${JSON.stringify(begun ?? "")};
export default (req, res) => {
  const query = new URL(req.url, "http://a").searchParams;
  const id = query.get("id");
  if (begun !== "") appendFileSync(begun, id + " " + process.pid + "\\n");
  let bytes = 0;
  req.on("data", (piece) => { bytes += piece.length; });
  req.on("end", () => {
    const answer = () => res.end(id + " " + req.method + " " + bytes + " ${version}\\n" + "x".repeat(Number(query.get("size"))));
    // Some take a moment, so that there is always something under way.
    if (id.endsWith("3") || id.endsWith("7")) setTimeout(answer, 15);
    else answer();
  });
};
`;
}

/** The ids in the file of {@link loadApplication}: whose handler had begun, and in which process. */
export function begunIn(file: string): Map<string, number> {
  if (!existsSync(file)) return new Map();
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return new Map(
    lines.map((line): [string, number] => {
      const [id = "", pid] = line.split(" ");
      return [id, Number(pid)];
    }),
  );
}
