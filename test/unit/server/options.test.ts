/** Options of a server: what is accepted, and what is said about the rest. */
import { describe, expect, it } from "vitest";
import { resolveOptions, type ServerOptions } from "../../../src/server/options.ts";

const resolve = (options: ServerOptions, env: NodeJS.ProcessEnv = {}): ReturnType<typeof resolveOptions> =>
  resolveOptions(options, env);

describe("options", () => {
  it("have the documented defaults", () => {
    expect(resolve({})).toMatchObject({
      bind: [],
      mode: 0o660,
      owner: undefined,
      group: undefined,
      backlog: 511,
      development: false,
      stripBase: false,
      maxParamsBytes: 262144,
      maxParams: 1000,
      maxRequestsPerConnection: 100,
      maxConnections: 10000,
      maxUnreadBytes: 1048576,
      maxDrainBytes: 1073741824,
      recordTimeoutMs: 30000,
      idleTimeoutMs: 0,
      stallTimeoutMs: 5000,
      lingerTimeoutMs: 30000,
      drainTimeoutMs: 30000,
    });
    expect(Object.isFrozen(resolve({}))).toBe(true);
  });

  it("development follows NODE_ENV unless it is stated", () => {
    expect(resolve({}, { NODE_ENV: "development" }).development).toBe(true);
    expect(resolve({}, { NODE_ENV: "production" }).development).toBe(false);
    expect(resolve({ development: false }, { NODE_ENV: "development" }).development).toBe(false);
  });

  it("numbers are whole and not negative; counts are at least 1; the message names option, value and rule", () => {
    const wrong: readonly (readonly [ServerOptions, string])[] = [
      [{ maxParams: 0 }, "option maxParams: 0 cannot be used, it must be a whole number from 1"],
      [
        { recordTimeoutMs: -1 },
        "option recordTimeoutMs: -1 cannot be used, it must be a whole number from 0",
      ],
      [{ backlog: 1.5 }, "option backlog: 1.5"],
      [{ maxConnections: Number.NaN }, "option maxConnections: null"],
      [{ maxConnections: "10" as never }, 'option maxConnections: "10"'],
      [{ drainTimeoutMs: Number.POSITIVE_INFINITY }, "option drainTimeoutMs"],
    ];
    for (const [options, message] of wrong) {
      expect(() => resolve(options)).toThrow(
        expect.objectContaining({
          code: "ERR_POSTERN_BAD_SETTING",
          message: expect.stringContaining(message),
        }),
      );
    }
    expect(resolve({ recordTimeoutMs: 0 }).recordTimeoutMs).toBe(0);
  });

  it("mode is a number or octal text", () => {
    for (const mode of ["0660", "660", "0o660", 0o660])
      expect(resolve({ mode }).mode, String(mode)).toBe(0o660);
    for (const mode of ["0888", "rw-rw----", "", 0o1777, -1, 1.5]) {
      expect(() => resolve({ mode }), String(mode)).toThrow(/option mode: .*octal permissions/);
    }
  });

  it("allowedClients are addresses or ranges, with those of FCGI_WEB_SERVER_ADDRS; otherwise loopback", () => {
    const nobody = resolve({}).allowedClients;
    expect(nobody.isStated).toBe(false);
    expect([
      nobody.allows("127.0.0.1"),
      nobody.allows("127.9.9.9"),
      nobody.allows("::1"),
      nobody.allows("::ffff:127.0.0.1"),
    ]).toEqual([true, true, true, true]);
    expect([nobody.allows("10.0.0.1"), nobody.allows("::2"), nobody.allows(undefined)]).toEqual([
      false,
      false,
      false,
    ]);

    const some = resolve(
      { allowedClients: "10.1.0.0/16, 192.0.2.7" },
      { FCGI_WEB_SERVER_ADDRS: "198.51.100.1,2001:db8::/32" },
    ).allowedClients;
    expect(some.isStated).toBe(true);
    for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "198.51.100.1", "2001:db8:1::1"])
      expect(some.allows(address), address).toBe(true);
    for (const address of ["10.2.0.1", "192.0.2.8", "127.0.0.1", "2001:db9::1", "::1"])
      expect(some.allows(address), address).toBe(false);

    expect(resolve({ allowedClients: ["any"] }).allowedClients.allows("203.0.113.9")).toBe(true);
    for (const entry of [
      "localhost",
      "10.0.0.0/33",
      "10.0.0.0/",
      "::/129",
      "10.0.0.0/8/8",
      "1.2.3",
      "10.0.0.1/-1",
    ]) {
      expect(() => resolve({ allowedClients: entry }), entry).toThrow(
        /option allowedClients: .*an IP address, a range/,
      );
    }
  });
});
