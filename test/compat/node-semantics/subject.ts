/** What the Node-semantics suite talks to: the application in its process, behind whatever is in front of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
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

/** `plain`: a listener, defaults everywhere. `configured`: an http.Server with options, see configured.mjs. */
export type Variant = "plain" | "configured";

/** One application, and where HTTP reaches it. */
export interface Site {
  /** `http://127.0.0.1:PORT`. */
  readonly origin: string;
  /** The application's process, whose stdout holds the notes. */
  readonly app: Running;
  stop(): Promise<void>;
}

/** One way to run the application. */
export interface Target {
  readonly name: string;
  start(variant: Variant): Promise<Site>;
}

/** One run of one scenario. */
export interface Visit {
  readonly url: string;
  /** What the scenario has noted so far. */
  notes(): unknown[];
  /** Waits for a note, and gives all notes up to and including it. */
  until(note: string, timeoutMs?: number): Promise<unknown[]>;
  /** The request, made in the ordinary way. */
  fetch(options?: RequestOptions): Promise<HttpAnswer>;
  /** A raw connection; `head` is the request line's method and further header lines, each ended by CRLF. */
  open(method?: string, headers?: string): Promise<HttpConnection>;
  /** The same with HTTP/1.0. */
  open10(): Promise<HttpConnection>;
  /** A round trip of another request: what the application was about to do it has done. */
  settle(): Promise<void>;
  /** Waits until the process has seen an exception that nobody caught. */
  untilUncaught(code: string): Promise<void>;
  /** Lets a scenario go on that waits for it. */
  go(): Promise<void>;
}

/** What a scenario is expected to note and answer; what is left out is not compared. */
export interface Sight {
  readonly variant?: Variant;
  readonly request?: RequestOptions;
  /** What is added to the URL, such as `&how=pipe`. */
  readonly query?: string;
  /** All notes before "done". */
  readonly notes?: readonly unknown[];
  /** @default 200 */
  readonly status?: number;
  readonly statusText?: string;
  /** Lower-case names; undefined for a header that must not be there. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text?: string;
}

let lastId = 0;

export class Subject {
  readonly #target: Target;
  readonly #sites: Map<Variant, Promise<Site>> = new Map();
  readonly #excluded: Set<string>;
  readonly #seen: Set<string> = new Set();

  constructor(target: Target) {
    this.#target = target;
    this.#excluded = new Set(excludedFrom(target.name));
  }

  get name(): string {
    return this.#target.name;
  }

  /** The site of a variant, started when it is first asked for. */
  site(variant: Variant = "plain"): Promise<Site> {
    let site = this.#sites.get(variant);
    if (site === undefined) {
      site = this.#target.start(variant);
      this.#sites.set(variant, site);
    }
    return site;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#sites.values()].map(async (site) => (await site).stop()));
  }

  /** A test of the suite, unless the lists of exclusions say that this target cannot carry it. */
  test(name: string, run: () => Promise<void>): void {
    if (this.#excluded.has(name)) this.#seen.add(name);
    else test(name, run);
  }

  /** A test that makes one ordinary request, and compares the answer and what the scenario noted until "done". */
  sees(name: string, scenario: string, sight: Sight): void {
    this.test(name, async () => {
      const visit = await this.visit(scenario, sight.variant, sight.query);
      const answer = await visit.fetch(sight.request);
      if (sight.notes !== undefined) expect(await visit.until("done")).toEqual([...sight.notes, "done"]);
      expect(answer.status).toBe(sight.status ?? 200);
      if (sight.statusText !== undefined) expect(answer.statusText).toBe(sight.statusText);
      for (const [header, value] of Object.entries(sight.headers ?? {})) {
        expect([header, answer.headers[header]]).toEqual([header, value]);
      }
      if (sight.text !== undefined) expect(answer.text).toBe(sight.text);
    });
  }

  /** Exclusions that name no test: out of date. */
  get staleExclusions(): string[] {
    return [...this.#excluded].filter((name) => !this.#seen.has(name));
  }

  async visit(scenario: string, variant: Variant = "plain", query = ""): Promise<Visit> {
    const { origin, app } = await this.site(variant);
    const id = `${++lastId}`;
    const target = `/s/${scenario}?id=${id}${query}`;
    const prefix = `note ${id} `;
    const notes = (): unknown[] =>
      app.lines.flatMap(({ text }) =>
        text.startsWith(prefix) ? [JSON.parse(text.slice(prefix.length)) as unknown] : [],
      );
    const evidence = (): string => `noted: ${JSON.stringify(notes())}\n${app.stderr().slice(-2000)}`;
    return {
      url: `${origin}${target}`,
      notes,
      async until(note, timeoutMs = 5000) {
        return waitFor(
          () => {
            const all = notes();
            const at = all.indexOf(note);
            return at < 0 ? undefined : all.slice(0, at + 1);
          },
          { what: `the note "${note}"`, evidence, timeoutMs },
        );
      },
      fetch: (options) => request(`${origin}${target}`, options),
      async open(method = "GET", headers = "") {
        const connection = await connectHttp(origin);
        await connection.send(`${method} ${target} HTTP/1.1\r\nHost: example.com\r\n${headers}\r\n`);
        return connection;
      },
      async open10() {
        const connection = await connectHttp(origin);
        await connection.send(`GET ${target} HTTP/1.0\r\nHost: example.com\r\n\r\n`);
        return connection;
      },
      async settle() {
        for (let n = 0; n < 3; n++) await request(`${origin}/go?id=none`);
      },
      async untilUncaught(code) {
        await app.waitForLine(new RegExp(`^note uncaught "${code}"$`));
      },
      async go() {
        await request(`${origin}/go?id=${id}`);
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
    .filter((entry) => entry.suite === "Node semantics" && [entry.target].flat().includes(target))
    .map((entry) => entry.test);
}
