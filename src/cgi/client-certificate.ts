/**
 * The certificate that a client has shown to the web server. mod_ssl gave the parameters their names (SSL_CLIENT_*);
 * lighttpd has the same, and nginx, HAProxy and Caddy send what their operators call so. The other spellings here are
 * those of widespread configurations. Never from HTTP_*: a client can send any header.
 */
import type { ParamSource } from "./environ.ts";

/** A client certificate, as far as the web server tells. */
export interface ClientCertificate {
  /** The verdict as sent: `SUCCESS`, `NONE`, `GENEROUS` or `FAILED:reason`; undefined when the web server gives none. */
  readonly verify: string | undefined;
  /**
   * Whether the web server has checked the certificate against its authorities: `verify` is `SUCCESS`. Everything else
   * here may be made up by the client when it is false.
   */
  readonly isVerified: boolean;
  /** Distinguished name, in the order and the form that the web server uses: not two write it alike. */
  readonly subject: string | undefined;
  /** The common name in it, where the web server takes the name apart. */
  readonly commonName: string | undefined;
  /** Distinguished name of who signed it. */
  readonly issuer: string | undefined;
  /** As the web server writes it: hexadecimal, except in Caddy. */
  readonly serial: string | undefined;
  /** A hash of the certificate as the web server makes it: SHA-1 in nginx, SHA-256 in Caddy. */
  readonly fingerprint: string | undefined;
  readonly notBefore: string | undefined;
  readonly notAfter: string | undefined;
  /** The certificate itself, for `new X509Certificate(pem)`. Whatever way it was packed, it is PEM here. */
  readonly pem: string | undefined;
  /** Certificates between it and the authority, as PEM, where the web server passes them on. */
  readonly chain: readonly string[];
}

const VERIFY = ["SSL_CLIENT_VERIFY", "SSL_CLIENT_VERIFIED", "TLS_CLIENT_VERIFY", "VERIFIED"];
const SUBJECT = ["SSL_CLIENT_S_DN", "SSL_CLIENT_SUBJECT", "TLS_CLIENT_SUBJECT", "SSL_CLIENT_DN", "DN"];
const COMMON_NAME = ["SSL_CLIENT_S_DN_CN", "SSL_CLIENT_CN"];
const ISSUER = ["SSL_CLIENT_I_DN", "SSL_CLIENT_ISSUER", "TLS_CLIENT_ISSUER"];
const SERIAL = ["SSL_CLIENT_M_SERIAL", "SSL_CLIENT_SERIAL", "TLS_CLIENT_SERIAL"];
const FINGERPRINT = ["SSL_CLIENT_FINGERPRINT", "SSL_CLIENT_CERT_FINGERPRINT", "TLS_CLIENT_FINGERPRINT"];
const NOT_BEFORE = ["SSL_CLIENT_V_START", "SSL_CLIENT_NOT_BEFORE"];
const NOT_AFTER = ["SSL_CLIENT_V_END", "SSL_CLIENT_NOT_AFTER"];
const PEM = ["SSL_CLIENT_CERT", "SSL_CLIENT_CERTIFICATE", "TLS_CLIENT_CERT", "TLS_CLIENT_CERTIFICATE"];

/** Most certificates of a chain that are looked for. */
const MOST_IN_CHAIN = 16;

/** The first of the names that has a value. */
export function firstOf(params: ParamSource, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = params.get(name);
    if (value !== undefined && value !== "") return value;
  }
  return undefined;
}

/** Whether the web server has verified a certificate of the client. */
export function isClientVerified(params: ParamSource): boolean {
  return firstOf(params, VERIFY) === "SUCCESS";
}

/** The certificate that the client has shown; undefined when it has shown none, or the web server says nothing of it. */
export function clientCertificate(params: ParamSource): ClientCertificate | undefined {
  const verify = firstOf(params, VERIFY);
  const subject = firstOf(params, SUBJECT);
  const pem = asPem(firstOf(params, PEM));
  if (subject === undefined && pem === undefined && (verify === undefined || verify === "NONE"))
    return undefined;
  return Object.freeze({
    verify,
    isVerified: verify === "SUCCESS",
    subject,
    commonName: firstOf(params, COMMON_NAME),
    issuer: firstOf(params, ISSUER),
    serial: firstOf(params, SERIAL),
    fingerprint: firstOf(params, FINGERPRINT),
    notBefore: firstOf(params, NOT_BEFORE),
    notAfter: firstOf(params, NOT_AFTER),
    pem,
    chain: chainOf(params),
  });
}

/** mod_ssl's SSL_CLIENT_CERT_CHAIN_0 and so on. */
function chainOf(params: ParamSource): readonly string[] {
  const chain: string[] = [];
  for (let at = 0; at < MOST_IN_CHAIN; at++) {
    const pem = asPem(params.get(`SSL_CLIENT_CERT_CHAIN_${at}`));
    if (pem === undefined) break;
    chain.push(pem);
  }
  return Object.freeze(chain);
}

/**
 * PEM out of the forms it travels in: as it is (Apache, lighttpd), percent-encoded (nginx's $ssl_client_escaped_cert),
 * with a tab before each line ($ssl_client_cert), with blanks for line ends, or as DER in base64 alone (HAProxy, Caddy).
 */
function asPem(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  const plain = text.includes("%") ? unescaped(text) : text;
  const body = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/.exec(plain)?.[1] ?? plain;
  const base64 = body.replace(/\s+/g, "");
  if (base64 === "" || !/^[A-Za-z\d+/]+={0,2}$/.test(base64)) return undefined;
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
