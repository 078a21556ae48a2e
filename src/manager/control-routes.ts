/**
 * What the control socket answers, as a table: method, path, what the body may hold, and the command behind it.
 * No HTTP in here: a body that has been parsed goes in, a status and something to print as JSON come out.
 */
import { SettingError } from "../base/errors.ts";
import { badOption, checkKeys } from "../base/settings.ts";
import { managerMetrics } from "../status/metrics.ts";
import { OPENMETRICS_TYPE } from "../status/openmetrics.ts";
import { listWorkers } from "../status/workers.ts";
import type { Commands, Outcome } from "./commands.ts";

/** Beyond this it is no count of workers. */
const MOST_WORKERS = 100_000;

export interface Answer {
  readonly status: number;
  /** Printed as JSON; text of another type as it is. */
  readonly body: unknown;
  readonly contentType?: string;
}

type Body = Readonly<Record<string, unknown>>;

export interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** The names that the body may hold. */
  readonly fields: Readonly<Record<string, true>>;
  run(commands: Commands, body: Body): Answer | Promise<Answer>;
}

/** Every endpoint; `docs/control.md` lists the same ones. */
export const ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/status",
    fields: {},
    run: (commands) => ({ status: 200, body: commands.status() }),
  },
  {
    method: "GET",
    path: "/workers",
    fields: {},
    run: (commands) => ({ status: 200, body: listWorkers(commands.status()) }),
  },
  {
    method: "GET",
    path: "/metrics",
    fields: {},
    run: (commands) => ({
      status: 200,
      body: managerMetrics(commands.status()),
      contentType: `${OPENMETRICS_TYPE}; charset=utf-8`,
    }),
  },
  {
    method: "POST",
    path: "/reload",
    fields: { pool: true, mode: true },
    run: async (commands, body) => {
      const mode = oneOf("mode", body["mode"], ["all", "phased"] as const);
      return answer(await commands.reload(poolOf(body), mode));
    },
  },
  {
    method: "POST",
    path: "/stop",
    fields: { how: true },
    run: (commands, body) => {
      return answer(commands.stop(oneOf("how", body["how"], ["graceful", "now"] as const) ?? "graceful"));
    },
  },
  {
    method: "POST",
    path: "/scale",
    fields: { pool: true, workers: true },
    run: (commands, body) => answer(commands.scale(poolOf(body), countOf(body["workers"]))),
  },
  {
    method: "POST",
    path: "/workers/replace",
    fields: { worker: true },
    run: (commands, body) => answer(commands.replace(workerOf(body["worker"]))),
  },
  {
    method: "POST",
    path: "/logs/reopen",
    fields: {},
    run: (commands) => answer(commands.reopenLogs()),
  },
];

/**
 * Answers one request.
 * @param readBody called once it is known that the endpoint takes one
 */
export async function answerRequest(
  commands: Commands,
  method: string,
  path: string,
  readBody: () => Promise<unknown>,
): Promise<Answer & { readonly allow?: string }> {
  const there = ROUTES.filter((route) => route.path === path);
  if (there.length === 0) {
    const all = ROUTES.map((route) => `${route.method} ${route.path}`).join(", ");
    return failure(404, `there is nothing at this path; there are ${all}`);
  }
  const route = there.find((candidate) => candidate.method === method);
  if (route === undefined) {
    const allow = there.map((candidate) => candidate.method).join(", ");
    return { ...failure(405, `${path} is asked with ${allow}`), allow };
  }
  const body = route.method === "GET" ? {} : await readBody();
  try {
    if (isNonEmpty(body) && Object.keys(route.fields).length === 0) {
      return failure(400, `${route.path} takes no options; leave the body out`);
    }
    checkKeys(route.path, body, route.fields);
    return await route.run(commands, body as Body);
  } catch (error) {
    if (error instanceof SettingError) return failure(400, error.message);
    throw error;
  }
}

function isNonEmpty(body: unknown): boolean {
  return typeof body === "object" && body !== null && Object.keys(body).length > 0;
}

/** An answer in the shape of an {@link Outcome}, for what went wrong before there was one. */
export function failure(status: number, message: string): Answer {
  return { status, body: { ok: false, message } satisfies Outcome };
}

function answer({ ok, message }: Outcome): Answer {
  return { status: ok ? 200 : 409, body: { ok, message } };
}

function poolOf(body: Body): string | undefined {
  const { pool } = body as { readonly pool?: unknown };
  if (pool === undefined || (typeof pool === "string" && pool !== "")) return pool;
  throw badOption("pool", pool, "the name of a pool; without it, all pools are meant");
}

function oneOf<T extends string>(name: string, value: unknown, words: readonly T[]): T | undefined {
  if (value === undefined) return undefined;
  const word = words.find((candidate) => candidate === value);
  if (word !== undefined) return word;
  throw badOption(name, value, words.map((candidate) => JSON.stringify(candidate)).join(" or "));
}

/** A count as a number or as text; `+1` and `-2` are relative. */
function countOf(value: unknown): string {
  const text = typeof value === "number" ? String(value) : value;
  const isCount = typeof text === "string" && /^[+-]?\d{1,6}$/.test(text);
  if (isCount && !(typeof value === "number" && value < 0) && Math.abs(Number(text)) <= MOST_WORKERS)
    return text;
  throw badOption("workers", value, 'a number of workers, or how many more or fewer, such as "+1" or "-2"');
}

function workerOf(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  throw badOption("worker", value, "the pid of a worker, as a number");
}
