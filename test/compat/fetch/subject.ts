/** What the Fetch-semantics suite talks to: the application in its process, behind whatever is in front of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import {
  connectHttp,
  type HttpAnswer,
  type HttpConnection,
  type RequestOptions,
  request,
} from "../../support/http.ts";
import { repositoryRoot } from "../../support/paths.ts";
import type { Running } from "../../support/process.ts";
import { waitFor } from "../../support/wait.ts";

/** One application, and where HTTP reaches it. */
export interface Site {
  /** Where it is mounted, such as `http://127.0.0.1:PORT/mount`, without a slash at the end. */
  readonly url: string;
  /** The application's process, whose stdout holds the notes. */
  readonly app: Running;
  stop(): Promise<void>;
}

/** One way to run the application. */
export interface Target {
  readonly name: string;
  start(): Promise<Site>;
}

/** One run of one scenario. */
export interface Visit {
  readonly url: string;
  /** What the scenario has noted so far. */
  notes(): unknown[];
  /** Waits for a note, compared as JSON, and gives all notes up to and including it. */
  until(note: unknown): Promise<unknown[]>;
  /** The request, made in the ordinary way. */
  fetch(options?: RequestOptions): Promise<HttpAnswer>;
  /** A raw connection that has sent a head; `headers` are further header lines, each ended by CRLF. */
  open(method?: string, headers?: string): Promise<HttpConnection>;
  /** Lets a scenario go on that waits for it. */
  go(): Promise<void>;
}

const SUITE = "Fetch semantics";
let lastId = 0;

export class Subject {
  readonly target: Target;
  readonly #excluded: Set<string>;
  readonly #seen: Set<string> = new Set();
  #site: Promise<Site> | undefined = undefined;

  constructor(target: Target) {
    this.target = target;
    this.#excluded = new Set(excludedFrom(target.name));
  }

  get site(): Promise<Site> {
    this.#site ??= this.target.start();
    return this.#site;
  }

  async stop(): Promise<void> {
    if (this.#site !== undefined) await (await this.#site).stop();
  }

  /** A test of the suite, unless the lists of exclusions say that this target cannot carry it. */
  test(name: string, run: () => Promise<void>): void {
    if (this.#excluded.has(name)) this.#seen.add(name);
    else test(name, run);
  }

  /** Exclusions that name no test: out of date. */
  get staleExclusions(): string[] {
    return [...this.#excluded].filter((name) => !this.#seen.has(name));
  }

  async visit(scenario: string, query = ""): Promise<Visit> {
    const { url: base, app } = await this.site;
    const id = `${++lastId}`;
    const url = `${base}/s/${scenario}?id=${id}${query}`;
    const prefix = `note ${id} `;
    const texts = (): string[] =>
      app.lines.flatMap(({ text }) => (text.startsWith(prefix) ? [text.slice(prefix.length)] : []));
    const notes = (): unknown[] => texts().map((text) => JSON.parse(text) as unknown);
    return {
      url,
      notes,
      until(note) {
        const wanted = JSON.stringify(note);
        return waitFor(
          () => {
            const at = texts().indexOf(wanted);
            return at < 0 ? undefined : notes().slice(0, at + 1);
          },
          {
            what: `the note ${wanted}`,
            timeoutMs: 10_000,
            evidence: () => `noted: ${texts().join(" ")}\n${app.stderr().slice(-2000)}`,
          },
        );
      },
      fetch: (options) => request(url, options),
      async open(method = "GET", headers = "") {
        const connection = await connectHttp(base);
        const path = url.slice(new URL(url).origin.length);
        await connection.send(`${method} ${path} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n${headers}\r\n`);
        return connection;
      },
      async go() {
        await request(`${base}/go?id=${id}`);
      },
    };
  }
}

interface Exclusion {
  readonly suite: string;
  readonly target: string | readonly string[];
  readonly test: string;
}

function excludedFrom(target: string): string[] {
  const folder = join(repositoryRoot, "test", "compat", "exclusions");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Exclusion[])
    .filter((entry) => entry.suite === SUITE && [entry.target].flat().includes(target))
    .map((entry) => entry.test);
}
