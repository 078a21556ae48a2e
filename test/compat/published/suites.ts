/** Which published tests are run with Postern in the place of node:http, and where they lie. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../../support/paths.ts";

/** So much runs at once: a test of Node's is short and mostly waits, those of a package keep a processor busy. */
export const CAPACITY = 4;
const PACKAGE_WEIGHT = 2;
/** Their files all listen on the same port. */
const ALONE = new Set(["st"]);

export type Kind = "script" | "mocha" | "node:test";

/** Tests that were published together. */
export interface Suite {
  /** As docs/compatibility.md calls it. */
  readonly name: string;
  readonly kind: Kind;
  readonly folder: string;
  /** In that folder. */
  readonly files: readonly string[];
  /** How many of those that may run at once one file counts for. */
  readonly weight: number;
  /** Fewer that pass over node:http mean that something is missing here. */
  readonly atLeast: number;
}

const MODULES = join(repositoryRoot, "test", "compat", "published", "node_modules");
const NODE_TESTS: string = join(MODULES, ".cache", "postern", "nodejs", "test");

/** Releases from which scripts/published-tests.mjs took the tests, or which npm installed with them. */
const MOCHA: readonly (readonly [name: string, atLeast: number])[] = [
  ["express", 1200],
  ["connect", 40],
  ["body-parser", 240],
  ["compression", 36],
  ["on-finished", 40],
  ["on-headers", 17],
  ["morgan", 75],
  ["finalhandler", 48],
  ["raw-body", 45],
  ["cors", 45],
  ["cookie-parser", 30],
  ["response-time", 13],
  ["serve-favicon", 28],
  ["errorhandler", 20],
  ["vhost", 18],
];

const NODE_TEST: readonly (readonly [name: string, atLeast: number])[] = [
  ["@fastify/middie", 70],
  ["@fastify/multipart", 80],
  ["pino-http", 20],
  ["st", 10],
];

/** Of fastify's: what a server and its clients have to do with. The others never listen, or are about HTTP/2 and TLS. */
const FASTIFY =
  /^(404s|async-await|body-limit|content-length|content-type|custom-parser|delete|diagnostics|encapsulated|fastify-instance|genReqId|get|head|header|hooks|http-methods|keep-alive|nullable|options|output|post|proto|reply|request|route|stream|throw|trust-proxy|upgrade|url-rewriting|web-api)/;

/** The suites in the order in which they are run. @throws nothing: what is not there has no files */
export function suites(): Suite[] {
  const node: Suite = {
    name: "Node's own tests (test-http-*)",
    kind: "script",
    folder: join(NODE_TESTS, "parallel"),
    // A test of the client or of a constant says nothing about who serves.
    files: filesBelow(
      join(NODE_TESTS, "parallel"),
      /^test-http-.*\.m?js$/,
      /createServer|new (http\.)?Server\b/,
    ),
    weight: 1,
    atLeast: 240,
  };
  const mocha = MOCHA.map(([name, atLeast]): Suite => {
    const folder = join(MODULES, name);
    return {
      name: `${name}'s own tests`,
      kind: "mocha",
      folder,
      files: ["test"],
      weight: PACKAGE_WEIGHT,
      atLeast,
    };
  });
  const tests = [["fastify", 400] as const, ...NODE_TEST].map(([name, atLeast]): Suite => {
    const folder = join(MODULES, name, "test");
    const files = filesBelow(folder, /(^|[.-])test\.m?js$/, /\blisten\(/);
    const chosen =
      name === "fastify" ? files.filter((file) => FASTIFY.test(file) && !/http2|https/.test(file)) : files;
    const weight = ALONE.has(name) ? CAPACITY : PACKAGE_WEIGHT;
    return { name: `${name}'s own tests`, kind: "node:test", folder, files: chosen, weight, atLeast };
  });
  return [node, ...mocha, ...tests];
}

/** Names of the files whose name and content match. */
function filesBelow(folder: string, name: RegExp, content: RegExp): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((file) => name.test(file) && content.test(readFileSync(join(folder, file), "utf8")))
    .sort();
}
