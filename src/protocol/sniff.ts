/**
 * What a peer speaks when it does not speak FastCGI: the first bytes of a connection, recognised well enough to
 * say so in a log line. A FastCGI connection always starts with the byte 1.
 */
import { VERSION } from "./records.ts";

/** A recognised protocol; `isHttp` when a plain HTTP answer will be understood. */
export interface Sniffed {
  readonly name: string;
  readonly isHttp: boolean;
}

const PROXY_V2 = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** Names what speaks, from the first chunk of a connection; undefined when it may be FastCGI. */
export function sniff(chunk: Uint8Array): Sniffed | undefined {
  if (chunk.length === 0 || chunk[0] === VERSION) return undefined;
  const text = Buffer.from(chunk.buffer, chunk.byteOffset, Math.min(chunk.length, 64)).toString("latin1");
  if (/^PRI \* HTTP\/2/.test(text)) return { name: "HTTP/2", isHttp: false };
  if (/^PROXY (TCP|UNKNOWN)/.test(text)) return { name: "the PROXY protocol", isHttp: false };
  if (/^[A-Z]{3,10} [^\s]/.test(text)) return { name: "HTTP", isHttp: true };
  if (/^HTTP\/1\.[01] /.test(text)) return { name: "an HTTP server's answer", isHttp: false };
  if (/^[\x15\x16]\x03[\x00-\x04]/.test(text)) return { name: "TLS", isHttp: false };
  if (text.startsWith(PROXY_V2.toString("latin1"))) {
    return { name: "the PROXY protocol, version 2", isHttp: false };
  }
  if (/^\d{1,7}:CONTENT_LENGTH\0/.test(text) || /^\d{1,7}:[A-Z]/.test(text)) {
    return { name: "SCGI", isHttp: false };
  }
  if (/^SSH-/.test(text)) return { name: "SSH", isHttp: false };
  return { name: `something that starts with byte ${chunk[0]}`, isHttp: false };
}
