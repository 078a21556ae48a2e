/** Options of a server: what is accepted, and what is said about the rest. */
import { describe, expect, it } from "vitest";
import { createServer, serve } from "../../../src/serve.ts";
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
      [{ maxConnections: Number.NaN }, "option maxConnections: NaN"],
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
    expect(() => resolve({ allowedClients: 5 as never })).toThrow(/option allowedClients: 5 cannot be used/);
    expect(() => resolve({ allowedClients: [null] as never })).toThrow(/option allowedClients: null /);
  });

  const app = (): void => {};
  const refusal = (message: string): unknown =>
    expect.objectContaining({ name: "SettingError", code: "ERR_POSTERN_BAD_SETTING", message });

  it.each([
    [{ alowedClients: "any" }, 'there is no option "alowedClients"; did you mean allowedClients?'],
    [{ allowedclients: "any" }, 'there is no option "allowedclients"; did you mean allowedClients?'],
    [{ maxParam: 5 }, 'there is no option "maxParam"; did you mean maxParams?'],
    [{ drainTimeout: 5 }, 'there is no option "drainTimeout"; did you mean drainTimeoutMs?'],
    [{ lighttpdRootFix: true }, 'there is no option "lighttpdRootFix"; did you mean LighttpdCGIRootFix?'],
    [{ port: 9000 }, 'there is no option "port"; write bind: "127.0.0.1:9000"'],
    [{ listen: { host: "::1", port: 1 } }, 'there is no option "listen"; write bind: "[::1]:1"'],
    [{ path: "/run/app.sock" }, 'there is no option "path"; write bind: "unix:/run/app.sock"'],
    [{ socket: "unix:./q.sock" }, 'there is no option "socket"; write bind: "unix:./q.sock"'],
    [{ host: "localhost" }, 'there is no option "host"; write bind: "127.0.0.1:9000"'],
  ])("an unknown name is refused with the one that was meant: %j", (options, message) => {
    expect(() => createServer(app, options as ServerOptions)).toThrow(
      refusal(`serve options: ${message}`) as Error,
    );
  });

  it("an unknown name like no other is refused with all there are", () => {
    expect(() => resolve({ cluster: 4 } as ServerOptions)).toThrow(
      /^serve options: there is no option "cluster"; there are LighttpdCGIRootFix, ScriptNameStripper, accessLog, accessLogFormat, allowedClients, backlog, .*upgrade$/,
    );
    expect(() => resolve({ bind: ":1", port: 9000 } as ServerOptions)).toThrow(/no option "port"; there are/);
  });

  it("undefined is as good as absent", () => {
    expect(resolve({ bind: undefined, nonsense: undefined } as never).bind).toEqual([]);
    expect(
      resolve({ signal: undefined, logger: undefined, development: undefined } as never).development,
    ).toBe(false);
  });

  const forms = 'it must be an address as text; write bind: "127.0.0.1:9000"';
  it.each([
    [
      "unix:./q.sock",
      'serve options: "unix:./q.sock" is not an object of options; write { bind: "unix:./q.sock" }, or leave the options out',
    ],
    [
      9000,
      'serve options: 9000 is not an object of options; write { bind: "127.0.0.1:9000" }, or leave the options out',
    ],
    [
      null,
      'serve options: null is not an object of options; write { bind: "127.0.0.1:9000" }, or leave the options out',
    ],
    [
      [":9000"],
      'serve options: [":9000"] is not an object of options; write { bind: "127.0.0.1:9000" }, or leave the options out',
    ],
    [{ bind: 9000 }, `option bind: 9000 cannot be used, ${forms}`],
    [{ bind: null }, `option bind: null cannot be used, ${forms}`],
    [{ bind: [9000] }, `option bind: 9000 cannot be used, ${forms}`],
    [{ bind: { port: 9000 } }, `option bind: {"port":9000} cannot be used, ${forms}`],
    [{ signal: false }, "option signal: false cannot be used, it must be an AbortSignal"],
    [{ bind: ":0", signals: "no" }, 'option signals: "no" cannot be used, it must be true or false'],
    [{ development: 1 }, "option development: 1 cannot be used, it must be true or false"],
    [
      { logger: false },
      "option logger: false cannot be used, it must be an object with debug, info, warn and error, such as silentLogger",
    ],
  ])("what cannot be options is told in one sentence: %j", async (options, message) => {
    await expect(serve(app, options as never)).rejects.toThrow(refusal(message) as Error);
  });

  it("whatever the value is, it is shown", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    for (const [value, shown] of [
      [circle, "[object Object]"],
      [1n, "1"],
      [() => {}, "a function"],
      [Symbol("x"), "Symbol(x)"],
      ["x".repeat(200), `"${"x".repeat(99)}… (102 more)`],
    ] as const) {
      expect(() => resolve({ mode: value as never })).toThrow(`option mode: ${shown} cannot be used`);
    }
  });
});
