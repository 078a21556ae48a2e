/** The Python worker believes the proxies of `trustProxy` as far as the JavaScript does. */
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { throughHops } from "../../../src/cgi/forwarded.ts";
import { Params } from "../../../src/protocol/params.ts";
import { resolveTrustProxy } from "../../../src/server/trusted-hops.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { run } from "../../support/process.ts";
import { PYTHON } from "../../support/python/python.ts";
import { describeWithServer } from "../../support/web-servers/available.ts";

type Pairs = readonly (readonly [string, string])[];
type Asked = readonly [trust: readonly string[], pairs: Pairs];

const TRUSTED: readonly (readonly string[])[] = [
  ["10.0.0.0/8", "2001:db8:1::/48", "unix"],
  ["private", "loopback"],
  ["192.0.2.7"],
];
const NAMES = [
  ...["REMOTE_ADDR", "REMOTE_PORT", "REMOTE_HOST", "REMOTE_IDENT", "HTTPS", "REQUEST_SCHEME", "HTTP_HOST"],
  ...["SERVER_PORT", "SSL_CLIENT_VERIFY", "VERIFIED", "VERIFIED_BY", "DN", "TLS_CIPHER", "REQUEST_URI"],
];

const address = fc.oneof(
  fc.constantFrom(
    ..."10.0.0.1 10.9.9.9 192.0.2.7 203.0.113.5 2001:db8:1::2 2001:db8:2::2 ::1 ::ffff:10.0.0.2 ::FFFF:192.0.2.7 127.0.0.1".split(
      " ",
    ),
  ),
  fc.constantFrom(
    ..."unix: /run/x.sock unknown _hidden 01.2.3.4 1.2.3 1.2.3.256 1::2::3 : :: 1:2:3:4:5:6:7:8:9".split(" "),
  ),
  fc.constant(""),
  fc.ipV4(),
  fc.ipV6(),
);
const port = fc.constantFrom("", ":80", ":443", ":5555", ":0", ":99999", ":8080", ":x");
const node = fc
  .tuple(address, port, fc.boolean())
  .map(([one, at, isBracketed]) => (isBracketed ? `[${one}]${at}` : one + at));
const blank = fc.constantFrom("", "", " ", "\t", "\xa0");
const list = (item: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .array(fc.tuple(blank, item, blank), { maxLength: 5 })
    .map((items) => items.map((parts) => parts.join("")).join(","));
const host = fc
  .tuple(
    fc.constantFrom(
      ..."a.example shop.example a_b.c x~y 1.2.3.4 1.2.3.999 0x7f.1 1.2.3.4.5 09.1 a.1 [::1] [1:2] a/b a@b a%41 . a..b 4294967295 4294967296 [::1]x -".split(
        " ",
      ),
      "",
      "1".repeat(5000), // more digits than int() takes
      `a.0${"7".repeat(5000)}`,
    ),
    port,
  )
  .map((parts) => parts.join(""));
const proto = fc.constantFrom("http", "https", "HTTPS", "ws", "", "Http");
const plainPort = fc.constantFrom("80", "443", "8443", "0", "99999", "x", "");
const pair = fc.oneof(
  node.map((one) => `for="${one}"`),
  node.map((one) => `For=${one}`),
  proto.map((one) => `proto=${one}`),
  host.map((one) => `host="${one}"`),
  fc.constantFrom('by="a,b"', 'for="_x\\",y"', "=", "x", ' secret="\\""', 'for="'),
);
const element = fc.array(pair, { maxLength: 4 }).map((pairs) => pairs.join(";"));
const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const asked: fc.Arbitrary<Asked> = fc
  .tuple(
    fc.constantFrom(...TRUSTED),
    fc.record(
      {
        REMOTE_ADDR: fc.oneof(fc.constantFrom("10.0.0.1", "192.0.2.7", "unix:", "127.0.0.1"), address),
        REMOTE_PORT: fc.constant("4711"),
        REMOTE_HOST: fc.constant("proxy.example"),
        HTTPS: fc.constantFrom("on", "off", "", "1"),
        REQUEST_SCHEME: proto,
        SERVER_PORT: plainPort,
        HTTP_HOST: host,
        SSL_CLIENT_VERIFY: fc.constant("SUCCESS"),
        VERIFIED: fc.constant("SUCCESS"),
        VERIFIED_BY: fc.constant("x"),
        DN: fc.constant("x"),
        TLS_CIPHER: fc.constant("x"),
        REQUEST_URI: fc.constant("/"),
      },
      { requiredKeys: ["REMOTE_ADDR"] },
    ),
    some(list(node)),
    some(list(node)),
    some(list(proto)),
    some(list(host)),
    some(list(plainPort)),
    some(list(element)),
  )
  .map(([trust, base, chain, more, protos, hosts, ports, forwarded]) => {
    const headers: [string, string | undefined][] = [
      ["HTTP_X_FORWARDED_FOR", chain],
      ["HTTP_X_FORWARDED_FOR", more],
      ["HTTP_X_FORWARDED_PROTO", protos],
      ["HTTP_X_FORWARDED_HOST", hosts],
      ["HTTP_X_FORWARDED_PORT", ports],
      ["HTTP_FORWARDED", forwarded],
    ];
    const there = headers.filter((one): one is [string, string] => one[1] !== undefined);
    return [trust, [...(Object.entries(base) as [string, string][]), ...there]] as const;
  });

describeWithServer("python", "trustProxy in Python", () => {
  it("sees the client that the JavaScript sees", { timeout: 60_000 }, async () => {
    const cases = fc.sample(asked, 5000);
    const { code, stdout, stderr } = await run(
      PYTHON,
      [join(repositoryRoot, "test", "support", "python", "forwarded.py")],
      { input: cases.map((one) => JSON.stringify(one)).join("\n"), timeoutMs: 50_000 },
    );
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const answers = stdout.trim().split("\n");
    let changed = 0;
    for (const [at, [trust, pairs]] of cases.entries()) {
      const raw = Params.from(pairs);
      const seen = throughHops(raw, resolveTrustProxy(trust)!);
      if (seen !== raw) changed++;
      const wanted = Object.fromEntries(NAMES.map((name) => [name, seen.get(name)]));
      const params = JSON.parse(answers[at]!) as Record<string, string>;
      const found = Object.fromEntries(NAMES.map((name) => [name, params[name]]));
      expect(found, JSON.stringify([trust, pairs])).toEqual(wanted);
    }
    expect(changed).toBeGreaterThan(1000);
  });
});
