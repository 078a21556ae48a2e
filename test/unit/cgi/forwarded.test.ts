/** Proxies in front of the web server: whose word counts, how far, and what becomes of nonsense. */
import { describe, expect, it } from "vitest";
import { addresses, authority, type ParamSource, scheme } from "../../../src/cgi/environ.ts";
import { throughHops } from "../../../src/cgi/forwarded.ts";
import { gatewayFacts } from "../../../src/cgi/gateway-facts.ts";
import { Params } from "../../../src/protocol/params.ts";
import { resolveTrustProxy } from "../../../src/server/trusted-hops.ts";

const TRUST = resolveTrustProxy(["10.0.0.0/8", "2001:db8:1::/48", "unix"])!;
const HOP = { REMOTE_ADDR: "10.0.0.1", REMOTE_PORT: "4711", SERVER_PORT: "80", HTTP_HOST: "inner.example" };

function seen(pairs: Readonly<Record<string, string>>): ParamSource {
  return throughHops(Params.from(Object.entries({ ...HOP, ...pairs })), TRUST);
}
const client = (pairs: Readonly<Record<string, string>>): string | undefined =>
  addresses(seen(pairs)).remoteAddress;
const origin = (pairs: Readonly<Record<string, string>>): string => {
  const params = seen(pairs);
  return `${scheme(params)}://${authority(params)}`;
};

describe("X-Forwarded-For", () => {
  it("counts when the web server saw a named proxy, and only then", () => {
    expect(client({ HTTP_X_FORWARDED_FOR: "192.0.2.7" })).toBe("192.0.2.7");
    expect(client({ HTTP_X_FORWARDED_FOR: "192.0.2.7", REMOTE_ADDR: "203.0.113.5" })).toBe("203.0.113.5");
    expect(client({ HTTP_X_FORWARDED_FOR: "192.0.2.7", REMOTE_ADDR: "" })).toBeUndefined();
  });

  it("is read from the right, past named proxies, to the first address that is none", () => {
    expect(client({ HTTP_X_FORWARDED_FOR: "198.51.100.9, 192.0.2.7, 10.0.0.3, 10.0.0.2" })).toBe("192.0.2.7");
    expect(client({ HTTP_X_FORWARDED_FOR: "10.9.9.9, 192.0.2.7" })).toBe("192.0.2.7");
  });

  it("of proxies alone names the outermost of them", () => {
    expect(client({ HTTP_X_FORWARDED_FOR: "10.0.0.3,10.0.0.2" })).toBe("10.0.0.3");
  });

  it("is one list, however many fields carry it", () => {
    const pairs: [string, string][] = [
      ["REMOTE_ADDR", "10.0.0.1"],
      ["HTTP_X_FORWARDED_FOR", "198.51.100.9"],
      ["HTTP_X_FORWARDED_FOR", "192.0.2.7"],
      ["HTTP_X_FORWARDED_FOR_MORE", "203.0.113.1"],
    ];
    expect(addresses(throughHops(Params.from(pairs), TRUST)).remoteAddress).toBe("192.0.2.7");
  });

  it.each([
    ["192.0.2.7:5555", "192.0.2.7", 5555],
    ["2001:db8::7", "2001:db8::7", undefined],
    ["[2001:db8::7]", "2001:db8::7", undefined],
    ["[2001:db8::7]:5555", "2001:db8::7", 5555],
    ["::ffff:192.0.2.7", "192.0.2.7", undefined],
    ["::FFFF:192.0.2.7", "192.0.2.7", undefined],
    [" 192.0.2.7 ,", "192.0.2.7", undefined],
    ["192.0.2.7:0", "192.0.2.7", undefined],
    ["192.0.2.7:99999", "192.0.2.7", undefined],
  ])("may write the address as %s", (entry, remoteAddress, remotePort) => {
    expect(addresses(seen({ HTTP_X_FORWARDED_FOR: entry }))).toMatchObject({ remoteAddress, remotePort });
  });

  it.each([
    ["unknown"],
    ["_hidden"],
    ["192.0.2"],
    ["fe80::1%eth0"],
    ["192.0.2.7 192.0.2.8"],
    ["<script>"],
    ["\xff"],
    [","],
    ["[2001:db8::7"],
    ["192.0.2.7:"],
  ])("that makes no sense leaves the proxy's own address: %s", (entry) => {
    expect(addresses(seen({ HTTP_X_FORWARDED_FOR: entry })).remoteAddress).toBe("10.0.0.1");
    expect(addresses(seen({ HTTP_X_FORWARDED_FOR: `192.0.2.7, ${entry}` })).remoteAddress).not.toBe(
      entry === "," ? "10.0.0.1" : "192.0.2.7",
    );
  });

  it("stops at nonsense between proxies", () => {
    expect(client({ HTTP_X_FORWARDED_FOR: "192.0.2.7, unknown, 10.0.0.2" })).toBe("10.0.0.2");
  });

  it("is followed through a bounded number of proxies", () => {
    const chain = ["192.0.2.7", ...Array.from({ length: 1000 }, () => "10.0.0.2")].join(",");
    expect(client({ HTTP_X_FORWARDED_FOR: chain })).toBe("10.0.0.2");
    expect(client({ HTTP_X_FORWARDED_FOR: `${"x,".repeat(50_000)}192.0.2.7` })).toBe("192.0.2.7");
  });

  it("counts from a proxy on a unix socket, when those are named", () => {
    expect(client({ HTTP_X_FORWARDED_FOR: "192.0.2.7", REMOTE_ADDR: "unix:" })).toBe("192.0.2.7");
    expect(client({ HTTP_X_FORWARDED_FOR: "192.0.2.7", REMOTE_ADDR: "/run/front.sock" })).toBe("192.0.2.7");
  });
});

describe("X-Forwarded-Proto, -Host and -Port", () => {
  it("say how the client came", () => {
    expect(origin({ HTTP_X_FORWARDED_PROTO: "https" })).toBe("https://inner.example");
    expect(origin({ HTTP_X_FORWARDED_PROTO: "HTTPS", HTTP_X_FORWARDED_HOST: "www.example.com" })).toBe(
      "https://www.example.com",
    );
    expect(origin({ HTTP_X_FORWARDED_HOST: "www.example.com:8443" })).toBe("http://www.example.com:8443");
    expect(origin({ HTTPS: "on", HTTP_X_FORWARDED_PROTO: "http" })).toBe("http://inner.example");
  });

  it("add a port only where it is not the usual one", () => {
    expect(origin({ HTTP_X_FORWARDED_PROTO: "https", HTTP_X_FORWARDED_PORT: "443" })).toBe(
      "https://inner.example",
    );
    expect(origin({ HTTP_X_FORWARDED_PROTO: "https", HTTP_X_FORWARDED_PORT: "8443" })).toBe(
      "https://inner.example:8443",
    );
    expect(origin({ HTTP_X_FORWARDED_PORT: "8443", HTTP_HOST: "inner.example:81" })).toBe(
      "http://inner.example:81",
    );
  });

  it("are those of the outermost named proxy, where each has appended one", () => {
    const chain = { HTTP_X_FORWARDED_FOR: "192.0.2.7, 10.0.0.2" };
    expect(origin({ ...chain, HTTP_X_FORWARDED_PROTO: "https, http" })).toBe("https://inner.example");
    // What stands further to the left came from the client.
    expect(origin({ ...chain, HTTP_X_FORWARDED_PROTO: "http, https, http" })).toBe("https://inner.example");
    expect(origin({ ...chain, HTTP_X_FORWARDED_HOST: "evil.example, www.example.com, inner" })).toBe(
      "http://www.example.com",
    );
  });

  it("of a client that is itself behind nobody we know are not believed", () => {
    const forged = { HTTP_X_FORWARDED_PROTO: "https, http", HTTP_X_FORWARDED_FOR: "10.0.0.9, 192.0.2.7" };
    expect(origin(forged)).toBe("http://inner.example");
    expect(origin({ ...forged, REMOTE_ADDR: "203.0.113.5", HTTP_X_FORWARDED_HOST: "evil.example" })).toBe(
      "http://inner.example",
    );
  });

  it("that make no sense change nothing", () => {
    expect(
      origin({
        HTTP_X_FORWARDED_PROTO: "gopher",
        HTTP_X_FORWARDED_HOST: "evil example/@",
        HTTP_X_FORWARDED_PORT: "99999",
      }),
    ).toBe("http://inner.example");
    expect(origin({ HTTP_X_FORWARDED_PORT: "0", HTTP_HOST: "" })).toBe("http://localhost");
  });

  it("give the port that belongs to them where SERVER_NAME is the host", () => {
    expect(origin({ HTTP_HOST: "", SERVER_NAME: "example.com", HTTP_X_FORWARDED_PROTO: "https" })).toBe(
      "https://example.com",
    );
  });
});

describe("Forwarded", () => {
  it("counts where there is no X-Forwarded header", () => {
    const params = seen({ HTTP_FORWARDED: "for=192.0.2.7;proto=https;host=www.example.com;by=10.0.0.1" });
    expect(addresses(params)).toMatchObject({ remoteAddress: "192.0.2.7", encrypted: true });
    expect(authority(params)).toBe("www.example.com");
    expect(client({ HTTP_FORWARDED: "for=192.0.2.7", HTTP_X_FORWARDED_FOR: "192.0.2.8" })).toBe("192.0.2.8");
  });

  it("is read from the right as well", () => {
    expect(client({ HTTP_FORWARDED: "for=198.51.100.9, For=192.0.2.7, for=10.0.0.2" })).toBe("192.0.2.7");
    const chain = { HTTP_FORWARDED: "for=198.51.100.9;proto=http, for=192.0.2.7;proto=https, for=10.0.0.2" };
    expect(origin(chain)).toBe("https://inner.example");
  });

  it.each([
    ['for="[2001:db8::7]:5555"', "2001:db8::7"],
    ['For="192.0.2.7:1";by="a,b;c"', "192.0.2.7"],
    ['for="192.0.2.\\7"', "192.0.2.7"],
    ["for=unknown;proto=https", "10.0.0.1"],
    ["proto=https", "10.0.0.1"],
    ["for=", "10.0.0.1"],
    ["nonsense", "10.0.0.1"],
    [`for=${"1".repeat(2000)}`, "10.0.0.1"],
    ['for="192.0.2.8, for=192.0.2.7', "192.0.2.7"],
    ['x="\\", for=192.0.2.7', "192.0.2.7"],
  ])("is understood or ignored: %s", (header, address) => {
    expect(client({ HTTP_FORWARDED: header })).toBe(address);
  });
});

describe("the facts about a client behind proxies", () => {
  const behind = {
    ...{ HTTPS: "on", SSL_PROTOCOL: "TLSv1.3", SSL_CLIENT_VERIFY: "SUCCESS", SSL_CLIENT_S_DN: "CN=balancer" },
    ...{ REMOTE_USER: "kim", REMOTE_HOST: "balancer.example", HTTP_X_OWN: "1" },
    HTTP_X_FORWARDED_FOR: "192.0.2.7",
  };

  it("name the proxy beside the client", () => {
    const params = Params.from(Object.entries({ ...HOP, ...behind }));
    expect(gatewayFacts(throughHops(params, TRUST), params)).toMatchObject({
      remoteAddress: "192.0.2.7",
      remotePort: undefined,
      forwardedBy: "10.0.0.1",
      remoteUser: "kim",
    });
    expect(gatewayFacts(params, params).forwardedBy).toBeUndefined();
  });

  it("hold nothing about the connection of the proxy: its certificate is not the client's", () => {
    const params = seen(behind);
    const facts = gatewayFacts(params, params);
    expect([facts.https, facts.tls, facts.clientCertificate]).toEqual([true, undefined, undefined]);
    expect(params.get("REMOTE_HOST")).toBeUndefined();
  });

  it("leave the headers as they were sent", () => {
    const params = seen({ ...behind, HTTP_X_FORWARDED_HOST: "www.example.com" });
    const sent: string[] = [];
    params.each("HTTP_", (name, value) => sent.push(`${name}=${value}`));
    expect(sent).toEqual(
      expect.arrayContaining(["HTTP_HOST=inner.example", "HTTP_X_FORWARDED_FOR=192.0.2.7", "HTTP_X_OWN=1"]),
    );
  });
});

describe("the option trustProxy", () => {
  it("is a list, or text with commas", () => {
    for (const value of ["10.0.0.1, ::1", ["10.0.0.1", "::1"]]) {
      const trust = resolveTrustProxy(value)!;
      expect(["10.0.0.1", "::1", "10.0.0.2", "nonsense"].map((address) => trust.trusts(address))).toEqual([
        true,
        true,
        false,
        false,
      ]);
    }
  });

  it("knows loopback, private and unix", () => {
    const trust = resolveTrustProxy("loopback, private")!;
    for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "192.168.1.1", "fd00::1"]) {
      expect([address, trust.trusts(address)]).toEqual([address, true]);
    }
    for (const address of ["8.8.8.8", "2001:db8::1", "unix:", ""]) {
      expect([address, trust.trusts(address)]).toEqual([address, false]);
    }
    expect(resolveTrustProxy("unix")?.trusts("unix:")).toBe(true);
  });

  it("trusts nobody when it is empty", () => {
    for (const value of [undefined, "", [], [""], " "]) expect(resolveTrustProxy(value)).toBeUndefined();
  });

  it.each([[true], ["any"], ["10.0.0.0/33"], ["example.com"], [["10.0.0.1", 7]], ["fe80::1%eth0"]])(
    "refuses %j",
    (value) => {
      expect(() => resolveTrustProxy(value)).toThrow(
        /option trustProxy: .* it must be IP addresses, ranges such as 10.0.0.0\/8, loopback, private or unix/,
      );
    },
  );
});
