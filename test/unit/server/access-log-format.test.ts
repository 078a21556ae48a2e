/** Every field and format of the access log, and what no visitor can do to it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SettingError } from "../../../src/base/errors.ts";
import {
  compileFormat,
  type LoggedRequest,
  type LoggingProcess,
} from "../../../src/server/access-log-format.ts";

const PROCESS: LoggingProcess = { pool: "web", pid: 42, ppid: 7, memoryBytes: () => 50_000_000 };
/** 22 November 2026, 13:15:41.250 UTC. */
const ENDED = 1_795_353_341_250;

const PARAMS = {
  REQUEST_METHOD: "POST",
  REQUEST_URI: "/shop/cart?item=3&n=1",
  SCRIPT_NAME: "/shop",
  SCRIPT_FILENAME: "/srv/shop/app.fcgi",
  QUERY_STRING: "item=3&n=1",
  SERVER_PROTOCOL: "HTTP/2.0",
  CONTENT_LENGTH: "17",
  REMOTE_ADDR: "10.0.0.2",
  REMOTE_USER: "kim",
  HTTP_HOST: "shop.example",
  HTTP_REFERER: "https://shop.example/",
  HTTP_USER_AGENT: "Some Browser/1.0",
};

interface Change {
  readonly params?: Readonly<Record<string, string | undefined>>;
  readonly client?: Readonly<Record<string, string>>;
  readonly head?: string;
  readonly durationMs?: number;
}

function request({
  params = {},
  client,
  head = "Status: 201 Created\r\nContent-Type: text/html; charset=utf-8\r\n\r\n",
  durationMs = 1250.5,
}: Change = {}): LoggedRequest {
  const all = Object.entries({ ...PARAMS, ...params }).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  );
  const source = new Map(all);
  const seen = client === undefined ? source : new Map([...all, ...Object.entries(client)]);
  return {
    exchange: { id: "42-9", params: source, client: seen },
    method: source.get("REQUEST_METHOD"),
    uri: source.get("REQUEST_URI"),
    address: seen.get("REMOTE_ADDR"),
    head,
    status: 201,
    sentBytes: 512,
    durationMs,
    endedAt: ENDED,
  };
}

function line(format: string, change?: Change, mostField = 4096): string {
  return compileFormat(format, mostField, PROCESS)(request(change));
}

describe("a field", () => {
  it.each([
    ["%b", "512"],
    ["%d", "1.250"],
    ["%{seconds}d", "1.250"],
    ["%{milliseconds}d", "1250.500"],
    ["%{milli}d", "1250.500"],
    ["%{microseconds}d", "1250500"],
    ["%{micro}d", "1250500"],
    ["%{HTTP_HOST}e", "shop.example"],
    ["%{NOT_THERE}e", "-"],
    ["%f", "/srv/shop/app.fcgi"],
    ["%i", "42-9"],
    ["%l", "17"],
    ["%m", "POST"],
    ["%M", "50000000"],
    ["%{kilobytes}M", "48828"],
    ["%{mega}M", "47"],
    ["%n", "web"],
    ["%{Content-Type}o", "text/html;\\x20charset=utf-8"],
    ['"%{content-type}o"', '"text/html; charset=utf-8"'],
    ["%{X-None}o", "-"],
    ["%p", "42"],
    ["%P", "7"],
    ["%q", "item=3&n=1"],
    ["%Q", "?"],
    ["%r", "/shop/cart"],
    ["%r%Q%q", "/shop/cart?item=3&n=1"],
    ["%R", "10.0.0.2"],
    ["%s", "201"],
    ["%{%s}t", "1795353339"],
    ["%{%s}T", "1795353341"],
    ["%u", "kim"],
    ["%%", "%"],
    ["a 100%% b", "a 100% b"],
  ])("%s is %s", (format, expected) => {
    expect(line(format)).toBe(expected);
  });

  it("about the client is what trustProxy lets be seen", () => {
    const client = { REMOTE_ADDR: "203.0.113.9" };
    expect(line("%R %{REMOTE_ADDR}e", { client })).toBe("203.0.113.9 203.0.113.9");
    expect(line("json", { client })).toContain('"client":"203.0.113.9"');
  });

  it("of a request without REQUEST_URI is put together from the script and the rest", () => {
    const params = { REQUEST_URI: undefined, PATH_INFO: "/cart" };
    expect(line("%r%Q%q", { params })).toBe("/shop/cart?item=3&n=1");
    expect(line("%r%Q%q", { params: { ...params, QUERY_STRING: "" } })).toBe("/shop/cart");
  });

  it("%l is 0 where there is no length, or one that is none", () => {
    expect(line("%l", { params: { CONTENT_LENGTH: undefined } })).toBe("0");
    expect(line("%l", { params: { CONTENT_LENGTH: "1 2" } })).toBe("0");
  });

  it.each([
    ["%C", "the CPU time of one"],
    ["%x", "%R"],
    ["50%", "%% for a percent sign"],
    ["%{minutes}d", "%{milliseconds}d"],
    ["%{giga}M", "%{megabytes}M"],
    ["%{%Q}t", "%Y"],
    ["%e", "%{REMOTE_PORT}e"],
    ["%{}e", "%{REMOTE_PORT}e"],
    ["%{a b}o", "the name of a header"],
    ["%{x}s", "%s"],
    ["%__proto__", "%s"],
  ])("that makes no sense (%s) is refused with what there is", (format, remedy) => {
    expect(() => line(format)).toThrow(SettingError);
    expect(() => line(format)).toThrow(remedy);
  });
});

describe("times", () => {
  it.each([
    ["%d/%b/%Y:%H:%M:%S", /^22\/Nov\/2026:\d\d:15:40$/],
    ["%F %T %z", /^2026-11-2\d \d\d:15:40 [+-]\d{4}$/],
    [
      "%a %A %B %e %j %y %I %p %D %R %h %%",
      /^\w{3} \w+day November 2\d 32\d 26 \d\d [AP]M 11\/2\d\/26 \d\d:15 Nov %$/,
    ],
  ])("%s", (pattern, expected) => {
    expect(line(`%{${pattern}}t`, { durationMs: 1000 })).toMatch(expected);
  });

  it("are the beginning and the end of the request, and move on", () => {
    const format = compileFormat("%{%S}t %{%S}T", 4096, PROCESS);
    expect(format(request({ durationMs: 2250 }))).toBe("39 41");
    expect(format({ ...request({ durationMs: 0 }), endedAt: ENDED + 5000 })).toBe("46 46");
  });
});

describe("a format with a name", () => {
  it("common is what every tool reads", () => {
    expect(line("common")).toMatch(
      /^10\.0\.0\.2 - kim \[22\/Nov\/2026:\d\d:15:39 [+-]\d{4}\] "POST \/shop\/cart\?item=3&n=1 HTTP\/2\.0" 201 512$/,
    );
  });

  it("combined has referrer and browser as well", () => {
    expect(line("combined")).toMatch(/" 201 512 "https:\/\/shop\.example\/" "Some Browser\/1\.0"$/);
    expect(line("combined", { params: { HTTP_REFERER: undefined, HTTP_USER_AGENT: "" } })).toMatch(
      / "-" "-"$/,
    );
  });

  it("json is one object", () => {
    expect(JSON.parse(line("json", { durationMs: 1250 }))).toEqual({
      time: "2026-11-22T13:15:40.000Z",
      id: "42-9",
      client: "10.0.0.2",
      user: "kim",
      method: "POST",
      url: "/shop/cart?item=3&n=1",
      protocol: "HTTP/2.0",
      status: 201,
      bytes: 512,
      durationMs: 1250,
      host: "shop.example",
      referer: "https://shop.example/",
      userAgent: "Some Browser/1.0",
      pool: "web",
      pid: 42,
    });
    expect(
      JSON.parse(line("json", { params: { REMOTE_USER: undefined, HTTP_REFERER: "" } })),
    ).not.toHaveProperty("user");
  });

  it("json has durations to the microsecond", () => {
    for (const durationMs of [0, 0.0004, 0.0016, 0.05, 7.25, 12.9996, 3_600_000.125]) {
      expect(line("json", { durationMs })).toContain(`"durationMs":${durationMs.toFixed(3)},`);
    }
  });

  it("json has the letters of a URL or a browser, not their bytes", () => {
    const name = Buffer.from('größe "😀"\\').toString("latin1");
    const text = line("json", { params: { HTTP_USER_AGENT: name } });
    expect(text).toMatch(/^[\x20-\x7e]+$/);
    expect((JSON.parse(text) as { userAgent: string }).userAgent).toBe('größe "😀"\\');
  });
});

/** What a visitor, or a program that speaks FastCGI, can put into a parameter: any bytes. */
const bytes = fc.oneof(
  fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 40,
  }),
  fc.constantFrom(
    '" 200 0 "-" "-"\n10.0.0.1 - - ',
    "\r\nx",
    "\\",
    '\\"',
    " ",
    "\x1b[31m",
    "\u0085",
    "-",
    '","status":500,"a":"',
  ),
);
const hostile = fc.record({
  REQUEST_METHOD: bytes,
  REQUEST_URI: bytes,
  SERVER_PROTOCOL: bytes,
  REMOTE_ADDR: bytes,
  REMOTE_USER: bytes,
  HTTP_REFERER: bytes,
  HTTP_USER_AGENT: bytes,
  HTTP_HOST: bytes,
});
/** Text between quotes, as tools read it. */
const QUOTED = /"((?:[^"\\]|\\.)*)"/.source;
const COMBINED = new RegExp(
  String.raw`^(\S+) - (\S+) \[([^\]]+)\] ${QUOTED} (\d{3}) (\d+) ${QUOTED} ${QUOTED}$`,
);

describe("hostile values", () => {
  it("can forge neither a line nor a field of combined", () => {
    const format = compileFormat("combined", 4096, PROCESS);
    const property = fc.property(hostile, (params) => {
      const text = format(request({ params }));
      expect(text).toMatch(/^[\x20-\x7e]+$/);
      const [, client, user, , asked = "", status, size, referer = "", agent] = COMBINED.exec(text) ?? [];
      expect([status, size]).toEqual(["201", "512"]);
      expect(asked.split(" ")).toHaveLength(3);
      for (const [shown, value] of [
        [client, params.REMOTE_ADDR],
        [user, params.REMOTE_USER],
        [referer, params.HTTP_REFERER],
        [agent, params.HTTP_USER_AGENT],
      ] as const) {
        expect(unescaped(shown ?? "")).toBe(value === "" ? "-" : value);
      }
    });
    fc.assert(property, { numRuns: 300 });
  });

  it("leave json an object with the keys it always has", () => {
    const format = compileFormat("json", 4096, PROCESS);
    const property = fc.property(hostile, (params) => {
      const text = format(request({ params }));
      expect(text).toMatch(/^[\x20-\x7e]+$/);
      const read = JSON.parse(text) as Record<string, unknown>;
      expect(read).toMatchObject({ status: 201, bytes: 512, pid: 42 });
      expect(read["userAgent"] ?? "").toBe(Buffer.from(params.HTTP_USER_AGENT, "latin1").toString("utf8"));
    });
    fc.assert(property, { numRuns: 300 });
  });

  it("leave no trace in the lines of others, equal values or not", () => {
    const property = fc.property(
      fc.constantFrom("combined", "json", '%m %r%Q%q "%{HTTP_USER_AGENT}e" %R %u'),
      fc.array(fc.record({ REQUEST_METHOD: bytes, REQUEST_URI: bytes, HTTP_USER_AGENT: bytes }), {
        minLength: 2,
        maxLength: 6,
      }),
      (format, all) => {
        const shared = compileFormat(format, 60, PROCESS);
        for (const params of [...all, ...all]) {
          expect(shared(request({ params }))).toBe(line(format, { params }, 60));
        }
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  it("of a header the application sends stay in their field", () => {
    const head = 'Status: 200 OK\r\nX-Name: a" "b\\\xff\r\nX-Other: c\r\n\r\n';
    expect(line('"%{X-Name}o"', { head })).toBe('"a\\" \\"b\\\\\\xff"');
  });

  it("are bounded, and never cut within an escape", () => {
    const long = '"'.repeat(5000);
    expect(line("%{HTTP_HOST}e", { params: { HTTP_HOST: long } }, 100)).toBe(`${'\\"'.repeat(48)}...`);
    expect(line("%{HTTP_HOST}e", { params: { HTTP_HOST: "x".repeat(101) } }, 100)).toBe(
      `${"x".repeat(97)}...`,
    );
    expect(line("%{HTTP_HOST}e", { params: { HTTP_HOST: "x".repeat(100) } }, 100)).toBe("x".repeat(100));
    const all = Object.fromEntries(Object.keys(PARAMS).map((name) => [name, "\x01".repeat(20_000)]));
    expect(line("json", { params: all }, 640).length).toBeLessThan(4096);
    expect(() => JSON.parse(line("json", { params: all }, 640))).not.toThrow();
    expect(line("combined", { params: all }, 640).length).toBeLessThan(4096 + 640);
  });
});

function unescaped(text: string): string {
  return text.replace(/\\(?:x(..)|(.))/g, (_, code: string | undefined, character: string) =>
    code === undefined ? character : String.fromCharCode(Number.parseInt(code, 16)),
  );
}
