/** What applications write onto the socket of an upgrade, cut anywhere. */
import { describe, expect, it } from "vitest";
import { RawAnswer } from "../../../src/adapters/raw-answer.ts";

/** What an answer is taken for, written in one piece, byte by byte, and in two pieces of every size. */
function read(text: string, method = "GET"): string[] {
  const bytes = Buffer.from(text, "latin1");
  const whole = readPieces([bytes], method);
  expect(
    readPieces(
      [...bytes].map((byte) => Buffer.from([byte])),
      method,
    ),
  ).toEqual(whole);
  for (let cut = 1; cut < bytes.length; cut++) {
    expect(readPieces([bytes.subarray(0, cut), bytes.subarray(cut)], method), `cut at ${cut}`).toEqual(whole);
  }
  return whole;
}

function readPieces(pieces: readonly Buffer[], method: string): string[] {
  const events: string[] = [];
  let body = "";
  let tunnel = "";
  const answer = new RawAnswer(
    {
      onHead: (status, reason, headers) => void events.push(`${status} ${reason}`, ...headers),
      onBody: (piece) => {
        body += piece.toString("latin1");
      },
      onWhole: () => void events.push("whole"),
    },
    method,
  );
  let isTunnel = false;
  for (const piece of pieces) {
    if (isTunnel) tunnel += piece.toString("latin1");
    else {
      const rest = answer.push(piece);
      isTunnel = rest !== undefined;
      tunnel += rest?.toString("latin1") ?? "";
    }
  }
  if (body !== "") events.push(`body ${body}`);
  if (tunnel !== "") events.push(`tunnel ${tunnel}`);
  if (answer.mayEnd) events.push("may end");
  if (answer.isHeadless) events.push("headless");
  return events;
}

describe("an answer written by hand", () => {
  it("of 101 is a head, and what follows is the tunnel's", () => {
    expect(
      read("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX:  y \r\n\r\n\x81\x00\r\n\r\n"),
    ).toEqual(["101 Switching Protocols", "Upgrade", "websocket", "X", "y", "tunnel \x81\x00\r\n\r\n"]);
  });

  it("keeps no length that does not hold: of a 101, and beside chunks", () => {
    expect(read("HTTP/1.1 101 S\r\nContent-Length: 5\r\nA: b\r\n\r\nlonger than five")).toEqual([
      "101 S",
      "A",
      "b",
      "tunnel longer than five",
    ]);
    const both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n";
    expect(read(`HTTP/1.1 200 OK\r\n${both}\r\n3\r\nabc\r\n0\r\n\r\n`)).toEqual([
      "200 OK",
      "Transfer-Encoding",
      "chunked",
      "whole",
      "body abc",
      "may end",
    ]);
  });

  it("without a length goes on to the end", () => {
    expect(read("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nno\r\n\r\nno")).toEqual([
      "403 Forbidden",
      "Connection",
      "close",
      "body no\r\n\r\nno",
      "may end",
    ]);
  });

  it("is whole after as many bytes as it announces, and the rest is dropped", () => {
    expect(read("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nabcdef")).toEqual([
      "401 Unauthorized",
      "Content-Length",
      "3",
      "whole",
      "body abc",
      "may end",
    ]);
    expect(read("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n").slice(-2)).toEqual(["whole", "may end"]);
  });

  it("may not end before that", () => {
    expect(read("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nab").at(-1)).toBe("body ab");
  });

  it("is freed of its chunks", () => {
    const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect(read(`${head}3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nmore`)).toEqual([
      "200 OK",
      "Transfer-Encoding",
      "chunked",
      "whole",
      "body abc0123456789",
      "may end",
    ]);
    expect(read(`${head}3\r\nabc\r\n`).at(-1)).toBe("body abc");
  });

  it("has no body with 204, 304 and to HEAD", () => {
    expect(read("HTTP/1.1 204 No Content\r\n\r\nx")).toEqual(["204 No Content", "whole", "may end"]);
    expect(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").at(-1)).toBe("may end");
    expect(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD").at(-1)).toBe("may end");
  });

  it("may be preceded by interim ones, which end here", () => {
    expect(
      read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101\r\n\r\nz"),
    ).toEqual(["101 ", "tunnel z"]);
  });

  it("may have bare line ends, as Node's parsers take them", () => {
    expect(read("HTTP/1.0 403 Forbidden\nX: y\n\nno")).toEqual([
      "403 Forbidden",
      "X",
      "y",
      "body no",
      "may end",
    ]);
  });

  it("is nothing yet before its head is complete", () => {
    expect(read("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")).toEqual(["headless"]);
  });

  it.each([
    ["something else", "hello\r\n\r\n"],
    ["a status that is none", "HTTP/1.1 099 No\r\n\r\n"],
    ["a header without a colon", "HTTP/1.1 200 OK\r\nwrong\r\n\r\n"],
    ["a chunk size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"],
    [
      "a chunk that is longer than its size",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ],
  ])("is refused when it is %s", (_what, text) => {
    expect(() => readPieces([Buffer.from(text)], "GET")).toThrow(/no HTTP answer/);
  });

  it("is refused when its head is longer than one record", () => {
    expect(() => readPieces([Buffer.alloc(70_000, "x")], "GET")).toThrow(
      expect.objectContaining({ code: "ERR_POSTERN_RESPONSE_HEAD_TOO_LARGE" }),
    );
  });
});
