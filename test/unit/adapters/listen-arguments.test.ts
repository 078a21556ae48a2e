/** What `server.listen()` was asked for, in every form; what Node refuses is compared with Node itself. */
import { createServer } from "node:http";
import { createServer as createNetServer } from "node:net";
import { describe, expect, it } from "vitest";
import { describeAsked, readListenArguments } from "../../../src/adapters/listen-arguments.ts";

const callback = (): void => {};
const { signal } = new AbortController();

describe("readListenArguments", () => {
  const forms: readonly [what: string, args: readonly unknown[], expected: object][] = [
    ["nothing", [], { port: 0 }],
    ["a callback alone", [callback], { port: 0, callback }],
    ["undefined and a callback", [undefined, callback], { port: 0, callback }],
    ["null", [null], { port: 0 }],
    ["a port", [3000], { port: 3000 }],
    ["a port as text", ["3000", callback], { port: 3000, callback }],
    ["a port and a host", [3000, "127.0.0.1"], { port: 3000, host: "127.0.0.1" }],
    ["a port, a host, a backlog", [3000, "::1", 511, callback], { port: 3000, host: "::1", callback }],
    ["a port and a backlog", [3000, 511, callback], { port: 3000, callback }],
    ["a path", ["/run/app.sock", callback], { path: "/run/app.sock", callback }],
    ["options", [{ port: 3000, host: "localhost", signal }], { port: 3000, host: "localhost", signal }],
    ["an empty host", [{ port: 3000, host: "" }], { port: 3000 }],
    ["a port that is undefined", [{ port: undefined }, callback], { port: 0, callback }],
    ["a port that is null", [{ port: null }], { port: 0 }],
    ["a path in options", [{ path: "app.sock" }], { path: "app.sock" }],
    ["a port and a path", [{ port: 1, path: "app.sock" }], { port: 1 }],
    ["a descriptor", [{ fd: 3 }], {}],
    ["a descriptor before a port", [{ fd: 3, port: 3000 }], {}],
    ["a server, for its handle", [{ _handle: {} }], {}],
  ];
  for (const [what, args, expected] of forms) {
    it(`reads ${what}`, () => {
      const nothing = { port: undefined, host: undefined, path: undefined, signal: undefined };
      expect(readListenArguments(args)).toEqual({ ...nothing, callback: undefined, ...expected });
    });
  }

  const refused: readonly (readonly unknown[])[] = [
    [65536],
    [-1],
    [{ port: "nonsense" }],
    [{ port: 1.5 }],
    [{ port: "" }],
    [{ port: true }],
    [true],
    [{}],
    [{ host: "localhost" }],
    [{ path: 7 }],
    [{ port: 1, signal: "now" }],
  ];
  for (const args of refused) {
    it(`leaves listen(${JSON.stringify(args).slice(1, -1)}) to Node, which refuses it`, () => {
      expect(readListenArguments(args)).toBeUndefined();
      const listen = createNetServer().listen as (...values: unknown[]) => unknown;
      expect(() => listen.apply(createServer(), [...args])).toThrow();
    });
  }
});

describe("describeAsked", () => {
  it("names a port, a path or neither", () => {
    const asked = (...args: unknown[]): string => describeAsked(readListenArguments(args)!);
    expect([asked(80), asked("/x"), asked({ fd: 3 })]).toEqual(["port 80", "/x", "a descriptor"]);
  });
});
