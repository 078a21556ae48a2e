/**
 * What a worker of `postern dev` does beside serving: pages that show an error, to developers alone; a stream by which
 * such a page learns that the application is started anew; and it tells which files were loaded.
 */
import { fileURLToPath } from "node:url";
import type { ErrorPage } from "../cgi/error-page.ts";
import { serializeHead } from "../cgi/response-head.ts";
import { type BootFailure, failureHandler, isDeveloper } from "../server/boot-failure.ts";
import type { Exchange, Handler } from "../server/exchange.ts";
import type { DevSettings } from "./channel.ts";
import { devPage } from "./dev-page.ts";
import { devReport } from "./dev-report.ts";

/** Below the mount. */
const CHANGES_PATH = "/.postern/changes";
/** Web servers give up on an answer that is silent, some after 30 s. */
const SIGN_OF_LIFE_MS = 10_000;
/** Node tells of each file; the manager is told of all that came together. */
const COLLECT_MS = 20;

export class DevSide {
  readonly #hasSources: boolean;
  readonly #folder: string;
  readonly #streams = new Set<Exchange>();
  #isClosed = false;
  /** Tells at once what there is to tell of files: before a change to one of them could go unseen. */
  flushFiles: () => void = () => {};

  /** @param folder of the application */
  constructor({ hasSources }: DevSettings, folder: string) {
    this.#hasSources = hasSources;
    this.#folder = folder;
    setInterval(() => {
      for (const stream of this.#streams) stream.sendText(":\n", "latin1");
    }, SIGN_OF_LIFE_MS).unref();
  }

  /** The page for a request in which the application failed. */
  readonly failurePage = (exchange: Exchange, error: Error): ErrorPage | undefined =>
    this.#page(exchange, 500, "The application failed", error.stack ?? String(error));

  /** Answers every request with why there is no application. */
  failureHandler(failure: BootFailure): Handler {
    const plain = failureHandler(failure);
    return (exchange) => {
      const page = this.#page(exchange, 500, "The application could not be started", failure.detail);
      if (page === undefined) {
        plain(exchange);
        return;
      }
      exchange.respond(page.head, page.body, 1);
    };
  }

  /** The application, with the stream in front of it. */
  wrap(handler: Handler): Handler {
    return (exchange) => {
      if (isForChanges(exchange)) this.#open(exchange);
      else handler(exchange);
    };
  }

  /** A new process takes over: pages that show an error load themselves again. */
  close(): void {
    this.#isClosed = true;
    for (const stream of this.#streams) stream.end(0);
    this.#streams.clear();
  }

  /** Calls back with files of the application as they are loaded. Node tells them to `process.send`, if there is one. */
  tellFiles(tell: (files: readonly string[]) => void): void {
    if (process.send !== undefined) return;
    const files: string[] = [];
    this.flushFiles = () => {
      if (files.length > 0) tell(files.splice(0));
    };
    const collect = (message: unknown): boolean => {
      const told = Object(message) as Readonly<Record<string, unknown>>;
      const found = [told["watch:require"], told["watch:import"]].flat();
      const paths = found.flatMap((one) => (typeof one === "string" ? [pathOf(one)] : []));
      if (paths.length === 0) return true;
      if (files.length === 0) setTimeout(this.flushFiles, COLLECT_MS).unref();
      files.push(...paths.filter((path) => path !== "" && !path.includes("/node_modules/")));
      return true;
    };
    // Not for the application, which would take a parent of the kind for granted.
    Object.defineProperty(process, "send", { value: collect, configurable: true, enumerable: false });
  }

  #page(exchange: Exchange, status: number, title: string, text: string): ErrorPage | undefined {
    const { params } = exchange;
    if (!this.#hasSources || !isDeveloper((name) => params.get(name))) return undefined;
    const isGet = params.get("REQUEST_METHOD") === "GET";
    return devPage(devReport(title, text, this.#folder), {
      status,
      isHtml: params.get("HTTP_ACCEPT")?.includes("text/html") === true,
      changesUrl: isGet ? changesUrl(exchange) : undefined,
    });
  }

  #open(exchange: Exchange): void {
    const head = ["Content-Type", "text/event-stream", "Cache-Control", "no-store"];
    exchange.sendHead(serializeHead(200, "OK", head));
    exchange.sendText("retry: 500\n\n", "latin1");
    if (this.#isClosed) {
      exchange.end(0);
      return;
    }
    this.#streams.add(exchange);
    exchange.whenAborted(() => this.#streams.delete(exchange));
  }
}

function isForChanges(exchange: Exchange): boolean {
  return exchange.params.get("REQUEST_URI")?.endsWith(CHANGES_PATH) === true;
}

function changesUrl(exchange: Exchange): string {
  try {
    return exchange.target.base + CHANGES_PATH;
  } catch {
    return CHANGES_PATH;
  }
}

function pathOf(text: string): string {
  if (!text.includes("://")) return text.startsWith("/") ? text : "";
  try {
    return fileURLToPath(text);
  } catch {
    return ""; // node:fs, data:…
  }
}
