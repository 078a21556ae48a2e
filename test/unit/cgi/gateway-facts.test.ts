/** What the web server vouches for, in the spellings of every web server. */
import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { clientCertificate, isClientVerified } from "../../../src/cgi/client-certificate.ts";
import { gatewayFacts } from "../../../src/cgi/gateway-facts.ts";
import { Params } from "../../../src/protocol/params.ts";
import { describeCaptures } from "../../support/captures.ts";
import { type CapturedCase, readCapturedCases } from "./captured.ts";

const given = (pairs: Readonly<Record<string, string>>): Params => Params.from(Object.entries(pairs));
const facts = (pairs: Readonly<Record<string, string>>): ReturnType<typeof gatewayFacts> =>
  gatewayFacts(given(pairs), given(pairs));

/** Of CN=kim, made for these tests; its key was thrown away. */
const PEM = `-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIUSpJppc403OJmtyEfyzaH9qFLulIwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDa2ltMCAXDTI2MTEyMjE2NTUwMVoYDzIxMjYxMDI5MTY1NTAx
WjAOMQwwCgYDVQQDDANraW0wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARrjtaP
4JGTEvPIdTJHs2f+EX7ep4JG6QK1K4TpNZRKjAjJm+Hw1gnoHfUcvzAU+3rAFkZL
svysbinMzzbXXJyHo1MwUTAdBgNVHQ4EFgQUigm3PJqh6bwTra9w/HmQcoiLNpMw
HwYDVR0jBBgwFoAUigm3PJqh6bwTra9w/HmQcoiLNpMwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNJADBGAiEAyHrbCf0TbCeyAxiBONfWwrVBunpTqLbIgdi8
VonUbysCIQCeBQvuL9fDElx+hUaZ8xA350ACpQi2TJWcC9dvZ+cXLw==
-----END CERTIFICATE-----
`;
const BASE64 = PEM.replace(/-----[^-]+-----|\n/g, "");

describe("the facts", () => {
  it("are named and typed", () => {
    const pairs = {
      ...{ REMOTE_USER: "kim", AUTH_TYPE: "Basic", REMOTE_ADDR: "192.0.2.7", REMOTE_PORT: "5555" },
      ...{ SERVER_ADDR: "192.0.2.1", SERVER_PORT: "443", SERVER_NAME: "example.com" },
      ...{ SERVER_SOFTWARE: "nginx/1.30.6", HTTPS: "on", HTTP_HOST: "www.example.com" },
      ...{ DOCUMENT_ROOT: "/var/www", SCRIPT_NAME: "/app", PATH_INFO: "/x", UNIQUE_ID: "abc" },
      ...{ SSL_PROTOCOL: "TLSv1.3", SSL_CIPHER: "TLS_AES_256_GCM_SHA384", SSL_TLS_SNI: "sni.example" },
    };
    expect(facts(pairs)).toEqual({
      remoteUser: "kim",
      authType: "Basic",
      remoteAddress: "192.0.2.7",
      remotePort: 5555,
      forwardedBy: undefined,
      serverAddress: "192.0.2.1",
      serverName: "example.com",
      serverPort: 443,
      serverSoftware: "nginx/1.30.6",
      https: true,
      scheme: "https",
      host: "www.example.com",
      documentRoot: "/var/www",
      scriptName: "/app",
      pathInfo: "/x",
      requestId: "abc",
      tls: { protocol: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", serverName: "sni.example" },
      clientCertificate: undefined,
    });
  });

  it("are undefined where the web server says nothing", () => {
    const { https, scheme, host, ...rest } = facts({ REMOTE_USER: "", SERVER_PORT: "", HTTPS: "" });
    expect([https, scheme, host]).toEqual([false, "http", "localhost"]);
    expect(new Set(Object.values(rest))).toEqual(new Set([undefined]));
  });

  it("never come from what the client said", () => {
    const pairs = {
      ...{ HTTP_REMOTE_USER: "root", HTTP_SSL_CLIENT_VERIFY: "SUCCESS", HTTP_SSL_CLIENT_S_DN: "CN=root" },
      ...{ HTTP_X_SSL_CLIENT_CERT: PEM, HTTP_X_REQUEST_ID: "forged", HTTP_X_FORWARDED_PROTO: "https" },
      ...{ HTTP_HTTPS: "on", HTTP_X_REAL_IP: "127.0.0.1", HTTP_VERIFIED: "SUCCESS" },
    };
    expect(facts(pairs)).toEqual(facts({}));
  });

  it("hold the request's id by the names that configurations give it", () => {
    for (const name of ["UNIQUE_ID", "REQUEST_ID", "X_REQUEST_ID"]) {
      expect([name, facts({ [name]: "abc" }).requestId]).toEqual([name, "abc"]);
    }
  });

  it("cannot be changed", () => {
    const all = facts({
      HTTPS: "on",
      SSL_PROTOCOL: "TLSv1.3",
      SSL_CLIENT_VERIFY: "SUCCESS",
      SSL_CLIENT_S_DN: "CN=kim",
    });
    for (const part of [all, all.tls, all.clientCertificate, all.clientCertificate?.chain]) {
      expect(part).toBeDefined();
      expect(Object.isFrozen(part)).toBe(true);
    }
  });
});

describe("the client certificate", () => {
  it("is that of mod_ssl's and lighttpd's variables", () => {
    const pairs = {
      ...{ SSL_CLIENT_VERIFY: "SUCCESS", SSL_CLIENT_S_DN: "CN=kim,O=Example", SSL_CLIENT_S_DN_CN: "kim" },
      ...{ SSL_CLIENT_I_DN: "CN=ca", SSL_CLIENT_M_SERIAL: "0A", SSL_CLIENT_CERT: PEM },
      ...{ SSL_CLIENT_V_START: "Jan  1 00:00:00 2026 GMT", SSL_CLIENT_V_END: "Jan  1 00:00:00 2027 GMT" },
      ...{ SSL_CLIENT_CERT_CHAIN_0: PEM, SSL_CLIENT_CERT_CHAIN_1: PEM, SSL_CLIENT_CERT_CHAIN_3: PEM },
    };
    expect(clientCertificate(given(pairs))).toEqual({
      verify: "SUCCESS",
      isVerified: true,
      subject: "CN=kim,O=Example",
      commonName: "kim",
      issuer: "CN=ca",
      serial: "0A",
      fingerprint: undefined,
      notBefore: "Jan  1 00:00:00 2026 GMT",
      notAfter: "Jan  1 00:00:00 2027 GMT",
      pem: PEM,
      chain: [PEM, PEM],
    });
  });

  it.each([
    ["SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN"],
    ["SSL_CLIENT_VERIFIED", "SSL_CLIENT_SUBJECT"],
    ["TLS_CLIENT_VERIFY", "TLS_CLIENT_SUBJECT"],
    ["VERIFIED", "DN"],
  ])("is found as %s and %s, too", (verify, subject) => {
    const params = given({ [verify]: "SUCCESS", [subject]: "CN=kim" });
    expect(clientCertificate(params)).toMatchObject({ isVerified: true, subject: "CN=kim" });
    expect(isClientVerified(params)).toBe(true);
  });

  it("proves something only with SUCCESS", () => {
    for (const verify of ["NONE", "GENEROUS", "FAILED:expired", "success", "0", "1", ""]) {
      const params = given({ SSL_CLIENT_VERIFY: verify, SSL_CLIENT_S_DN: "CN=root" });
      expect([verify, clientCertificate(params)?.isVerified, isClientVerified(params)]).toEqual([
        verify,
        false,
        false,
      ]);
    }
  });

  it("is none when the client has shown none", () => {
    expect(clientCertificate(given({ SSL_CLIENT_VERIFY: "NONE" }))).toBeUndefined();
    expect(clientCertificate(given({ HTTPS: "on" }))).toBeUndefined();
    expect(clientCertificate(given({ SSL_CLIENT_VERIFY: "FAILED:no" }))).toMatchObject({ isVerified: false });
  });

  it.each([
    ["as it is", PEM],
    ["percent-encoded, as nginx's $ssl_client_escaped_cert", encodeURIComponent(PEM)],
    ["with tabs, as nginx's $ssl_client_cert", PEM.trim().replaceAll("\n", "\n\t")],
    ["with blanks for line ends", PEM.trim().replaceAll(/\n/g, " ")],
    ["with CRLF", PEM.replaceAll("\n", "\r\n")],
    ["as DER in base64", BASE64],
    ["in one line", `-----BEGIN CERTIFICATE-----${BASE64}-----END CERTIFICATE-----`],
  ])("is PEM, however it was packed: %s", (_how, packed) => {
    const pem = clientCertificate(given({ SSL_CLIENT_CERT: packed }))?.pem;
    expect(pem).toBe(PEM);
    expect(new X509Certificate(pem!).subject).toBe("CN=kim");
  });

  it("is left out when it is no certificate", () => {
    for (const value of ["(null)", "%zz", "%", "-----BEGIN CERTIFICATE----------END CERTIFICATE-----"]) {
      expect([value, clientCertificate(given({ SSL_CLIENT_CERT: value, DN: "x" }))?.pem]).toEqual([
        value,
        undefined,
      ]);
    }
  });
});

describeCaptures("the facts of recorded requests", () => {
  const cases = readCapturedCases();
  const encrypted = (test: CapturedCase): boolean => test.params.get("HTTPS")?.toLowerCase() === "on";

  it("say over TLS what the web server says about it", () => {
    const seen = cases.filter(encrypted);
    expect(seen.length).toBeGreaterThan(0);
    for (const { params } of seen) {
      const { https, tls } = gatewayFacts(params, params);
      expect([https, tls?.protocol]).toEqual([true, params.get("SSL_PROTOCOL")]);
    }
  });

  it("never believe in a certificate that nobody has shown", () => {
    for (const { params } of cases) expect(gatewayFacts(params, params).clientCertificate).toBeUndefined();
  });
});
