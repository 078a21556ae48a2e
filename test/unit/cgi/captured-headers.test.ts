/**
 * The headers of every request that real web servers were recorded sending: each one the client sent and the web
 * server passed on is there with the client's value, and nothing is there that neither of them said.
 */
import { expect, it } from "vitest";
import { addresses, announcedLength, announcesUpgrade, rawHeaders } from "../../../src/cgi/environ.ts";
import { describeCaptures } from "../../support/captures.ts";
import { type CapturedCase, readCapturedCases } from "./captured.ts";

/** What IncomingMessage makes of rawHeaders. */
function join(raw: readonly string[]): Map<string, string> {
  const joined = new Map<string, string>();
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!;
    const before = joined.get(name);
    const value = raw[at + 1]!;
    joined.set(name, before === undefined ? value : before + (name === "cookie" ? "; " : ", ") + value);
  }
  return joined;
}

/** These let `X_Name` through, as the same variable as `X-Name`; the others drop it. */
const PASSES_UNDERSCORE = /^(?:caddy$|cherokee|h2o|lighttpd)/;
/** These join two Cookie headers as if they were lists. */
const JOINS_COOKIES_WITH_COMMA = /^(?:apache|caddy)/;

/** What the client sent, by the header name its variable turns into. */
function expectedHeaders(test: CapturedCase): Map<string, string> {
  const values = new Map<string, string[]>();
  for (const [name, value] of test.sent!.headers) {
    if (name.includes("_") && !PASSES_UNDERSCORE.test(test.server)) continue;
    if (name === "content_length") continue; // the spoof: it must not become a length
    const dotted = test.server.startsWith("lighttpd") ? name.replaceAll(".", "_") : name;
    const key = dotted.replaceAll("_", "-");
    // Caddy keeps one of two headers whose names become the same variable (here both say the same).
    const isFolded = test.server === "caddy" && key !== name && values.has(key);
    values.set(key, isFolded ? [value] : [...(values.get(key) ?? []), value]);
  }
  const expected = new Map<string, string>();
  for (const [name, list] of values) {
    // Cherokee sends duplicates of the headers it knows backwards, others in order.
    if (test.server === "cherokee" && (name === "accept" || name === "cookie")) list.reverse();
    let glue = ", ";
    if (name === "cookie" && !JOINS_COOKIES_WITH_COMMA.test(test.server))
      glue = test.server === "h2o" ? ";" : "; ";
    expected.set(name, list.join(glue));
  }
  return expected;
}

/** Whether the web server says this header was not in the request. */
function isDropped({ params }: CapturedCase, name: string): boolean {
  if (name === "content-type" || name === "content-length")
    return !params.get(name.toUpperCase().replace("-", "_"));
  return params.get(`HTTP_${name.toUpperCase().replaceAll("-", "_")}`) === undefined;
}

/** Headers the web server itself put in, and their values. */
function addedByServer({ server, params, scenario }: CapturedCase, name: string): string | undefined {
  const isCaddy = server.startsWith("caddy");
  switch (name) {
    case "content-length": // counted by the server, or zero
      return scenario === "post-chunked" ? "11" : "0";
    case "content-type":
      return isCaddy ? "application/x-www-form-urlencoded" : undefined;
    case "connection": // mod_fcgid says so itself
      return server === "apache-mod_fcgid" ? "close" : undefined;
    case "host": // HTTP/1.0 without one
      return scenario === "http10" || scenario === "ws-http10" ? params.get("HTTP_HOST") : undefined;
    case "user-agent":
      return isCaddy ? "" : undefined;
    case "via":
      return server === "caddy-2.11.4" ? "1.1 Caddy" : undefined;
    case "x-forwarded-for":
      return isCaddy ? params.get("REMOTE_ADDR") : undefined;
    case "x-forwarded-proto":
      return isCaddy ? params.get("REQUEST_SCHEME") : undefined;
    case "x-forwarded-host":
      return isCaddy ? params.get("HTTP_HOST") : undefined;
    default:
      return undefined;
  }
}

/** Values the web server replaced. */
function replacedByServer(test: CapturedCase, name: string, sent: string): string {
  if (name.startsWith("x-forwarded-")) return addedByServer(test, name) ?? sent;
  if (name === "connection" && test.server === "apache-mod_fcgid") return "close";
  const losesPort = test.server === "nginx" && !test.mode.startsWith("root-tcp");
  return name === "host" && losesPort ? sent.replace(/:\d+$/, "") : sent;
}

describeCaptures("the headers of every captured request", () => {
  const cases = readCapturedCases();

  it("are those the client sent", () => {
    for (const test of cases) {
      if (test.sent === undefined) continue;
      const headers = join(rawHeaders(test.params));
      const expected = expectedHeaders(test);
      for (const [name, value] of headers) {
        const sent = expected.get(name);
        const wanted = sent === undefined ? addedByServer(test, name) : replacedByServer(test, name, sent);
        expect(value, `${test.name}: ${name}`).toBe(wanted);
      }
      for (const name of expected.keys()) {
        if (headers.has(name) || isDropped(test, name)) continue;
        expect(["proxy", "transfer-encoding", "content-length"], `${test.name}: ${name}`).toContain(name);
      }
    }
  });

  it("never hold Proxy or a length in a header's disguise, and Transfer-Encoding only for want of a length", () => {
    const passed = { proxy: 0, encoding: 0, length: 0 };
    for (const { params, name } of cases) {
      if (params.has("HTTP_PROXY")) passed.proxy++;
      if (params.has("HTTP_TRANSFER_ENCODING")) passed.encoding++;
      if (params.has("HTTP_CONTENT_LENGTH")) passed.length++;
      const raw = rawHeaders(params);
      expect(raw.includes("proxy"), name).toBe(false);
      const hasLength = /^\d+$/.test(params.get("CONTENT_LENGTH") ?? "");
      const isChunked = params.has("HTTP_TRANSFER_ENCODING") || params.get("CONTENT_LENGTH") === "-1";
      expect(raw.includes("transfer-encoding"), name).toBe(isChunked && !hasLength);
      expect(raw.filter((text, at) => at % 2 === 0 && text === "content-length").length, name).toBeLessThan(
        2,
      );
    }
    // The captures do hold what is refused here.
    expect(passed.proxy).toBeGreaterThan(3);
    expect(passed.encoding).toBeGreaterThan(3);
    expect(passed.length).toBeGreaterThan(100);
  });

  it("announce an upgrade exactly where the web server passed one on and no body comes", () => {
    let tunnels = 0;
    for (const { params, sent, name } of cases) {
      const hasBody = Number(params.get("CONTENT_LENGTH") || "0") > 0;
      expect(announcesUpgrade(params), name).toBe(params.has("HTTP_UPGRADE") && !hasBody);
      if (announcesUpgrade(params)) tunnels++;
      if (sent !== undefined && announcesUpgrade(params)) {
        expect(
          sent.headers.some(([header]) => header === "upgrade"),
          name,
        ).toBe(true);
      }
    }
    expect(tunnels).toBeGreaterThan(50);
  });

  it("give an announced length only when it is one", () => {
    for (const { params, name } of cases) {
      const length = params.get("CONTENT_LENGTH");
      const expected = length === undefined || length === "" || length === "-1" ? undefined : Number(length);
      expect(announcedLength(params), name).toBe(expected);
    }
  });

  it("come with the client's address", () => {
    for (const { params, name, mode, server } of cases) {
      const found = addresses(params);
      expect(found.remoteAddress, name).toBe("127.0.0.1");
      expect(found.remotePort, name).toBeGreaterThan(0);
      expect(found.localPort, name).toBeGreaterThan(0);
      expect(found.encrypted, name).toBe(/https|tls/.test(mode));
      // Caddy and HAProxy do not say which address they were called at.
      expect(found.localAddress, name).toBe(/^(?:caddy|haproxy)/.test(server) ? undefined : "127.0.0.1");
    }
  });
});
