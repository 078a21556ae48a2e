import { describe, expect, it } from "vitest";
import * as protocol from "../../../src/protocol/index.ts";
import { beginRecord } from "../../support/records.ts";

const { sniff } = protocol;

describe("sniff", () => {
  it("says nothing of what may be FastCGI", () => {
    expect(sniff(beginRecord(1))).toBeUndefined();
    expect(sniff(Buffer.from([1]))).toBeUndefined();
    expect(sniff(Buffer.alloc(0))).toBeUndefined();
  });

  it.each<[string, string, boolean]>([
    ["HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", true],
    ["HTTP", "OPTIONS * HTTP/1.0\r\n", true],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false],
    ["an HTTP server's answer", "HTTP/1.1 200 OK\r\n", false],
    ["TLS", "\x16\x03\x01\x02\x00\x01", false],
    ["the PROXY protocol", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", false],
    ["the PROXY protocol, version 2", "\r\n\r\n\0\r\nQUIT\n\x21\x11", false],
    ["SCGI", "70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00", false],
    ["SCGI", "24:REQUEST_METHOD\0GET\0", false],
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n", false],
    ["something that starts with byte 0", "\0\0", false],
    ["something that starts with byte 255", "\xff\xfe", false],
  ])("knows %s", (name, text, isHttp) => {
    // Inside a larger memory, as a socket's chunk is.
    const memory = Buffer.from(`junk${text}junk`, "latin1");
    expect(sniff(memory.subarray(4, 4 + text.length))).toEqual({ name, isHttp });
  });
});

describe("postern/protocol", () => {
  it("offers the machines, the codec and the numbers", () => {
    expect(Object.keys(protocol)).toEqual(
      expect.arrayContaining([
        "AppConnection",
        "Params",
        "RecordReader",
        "RecordType",
        "RecordWriter",
        "SlabPool",
        "sniff",
      ]),
    );
  });
});
