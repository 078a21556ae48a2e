/**
 * The arguments of `server.listen()` in every form that Node takes, read as Node reads them. What Node would refuse is
 * not judged here: Node's own `listen` is called for that, and throws its own error.
 */

/** Where a server was asked to listen. */
export interface Asked {
  /** 0 when any port will do, undefined when it is no TCP address. */
  readonly port: number | undefined;
  readonly host: string | undefined;
  /** Of a unix socket or a Windows pipe. */
  readonly path: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly callback: ((...values: unknown[]) => void) | undefined;
}

const HIGHEST_PORT = 65535;

/** @returns undefined for what Node refuses */
export function readListenArguments(args: readonly unknown[]): Asked | undefined {
  const [first, second] = args;
  const last = args.at(-1);
  const callback = typeof last === "function" ? (last as Asked["callback"]) : undefined;
  const nothing = { port: undefined, host: undefined, path: undefined, signal: undefined, callback };
  if (first === undefined || first === null || typeof first === "function") return { ...nothing, port: 0 };
  if (typeof first !== "object") {
    const host = typeof second === "string" ? second : undefined;
    return typeof first === "string" && isPath(first)
      ? { ...nothing, path: first }
      : withPort(first, { ...nothing, host });
  }
  const options = first as Readonly<Record<string, unknown>>;
  const signal = options["signal"] as AbortSignal | undefined;
  if (signal !== undefined && typeof (Object(signal) as { aborted?: unknown }).aborted !== "boolean") {
    return undefined;
  }
  const asked = { ...nothing, signal };
  const { port, host, path, fd } = options;
  const handle = options["_handle"] ?? options["handle"];
  if ((typeof handle === "object" && handle !== null) || (typeof fd === "number" && fd >= 0)) return asked;
  if (port !== undefined || "port" in options) {
    return withPort(port ?? 0, {
      ...asked,
      host: typeof host === "string" && host !== "" ? host : undefined,
    });
  }
  return typeof path === "string" && isPath(path) ? { ...asked, path } : undefined;
}

function withPort(value: unknown, asked: Asked): Asked | undefined {
  const isNumber = typeof value === "number" || (typeof value === "string" && value.trim() !== "");
  const port = isNumber ? Number(value) : -1;
  return Number.isInteger(port) && port >= 0 && port <= HIGHEST_PORT ? { ...asked, port } : undefined;
}

/** Text that is no number names a pipe. */
function isPath(text: string): boolean {
  return !(Number(text) >= 0);
}

/** What was asked for, for messages: `port 3000`, `/run/app.sock`. */
export function describeAsked({ port, path }: Asked): string {
  if (path !== undefined) return path;
  return port === undefined ? "a descriptor" : `port ${port}`;
}
