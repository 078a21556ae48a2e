/** What workers print, as lines. */
import { spawn } from "node:child_process";
import { PassThrough, type Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { type Capture, captureLines, OutputTail } from "../../../src/manager/output.ts";
import { waitFor } from "../../support/wait.ts";

interface Captured extends Capture {
  readonly lines: string[];
  readonly cuts: boolean[];
}

function capture(stream: Readable, maxLineBytes?: number): Captured {
  const lines: string[] = [];
  const cuts: boolean[] = [];
  const add = (line: string, isCut: boolean): void => {
    lines.push(line);
    cuts.push(isCut);
  };
  return { lines, cuts, ...captureLines(stream, add, maxLineBytes === undefined ? {} : { maxLineBytes }) };
}

async function linesOf(chunks: readonly (string | Uint8Array)[], maxLineBytes?: number): Promise<Captured> {
  const stream = new PassThrough();
  const captured = capture(stream, maxLineBytes);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await captured.ended;
  return captured;
}

describe("lines", () => {
  const text = "first\n\ncaf\u00e9 \u{1f600}\r\nlast";
  const lines = ["first", "", "caf\u00e9 \u{1f600}", "last"];

  it("are the same however the bytes are cut", async () => {
    const bytes = Buffer.from(text);
    expect((await linesOf([bytes])).lines).toEqual(lines);
    expect((await linesOf([...bytes].map((byte) => Uint8Array.of(byte)))).lines).toEqual(lines);
    for (let at = 1; at < bytes.length; at++) {
      expect((await linesOf([bytes.subarray(0, at), bytes.subarray(at)])).lines).toEqual(lines);
    }
  });

  it("come as they arrive, the unfinished one when asked for", async () => {
    const stream = new PassThrough();
    const captured = capture(stream);
    stream.write("one\ntwo");
    await waitFor(() => captured.lines.length > 0);
    expect(captured.lines).toEqual(["one"]);
    captured.flush();
    captured.flush();
    expect(captured.lines).toEqual(["one", "two"]);
    stream.end("three\n");
    await captured.ended;
    expect(captured.lines).toEqual(["one", "two", "three"]);
  });

  it("have no control characters: nothing can move the cursor or forge a line", async () => {
    const { lines } = await linesOf([
      "a\tb\x1b[1;31mred\x1b[0m \x1b[2J\x07 10%\r20% \x1b[\x1b[1m31m\u009b\n",
    ]);
    expect(lines).toEqual(["a    bred \\x1b[2J\\x07 10%\\x0d20% \\x1b[31m\\x9b"]);
  });

  it("of bytes that are no text are marked as such", async () => {
    expect((await linesOf([Uint8Array.of(0x61, 0xff, 0x62, 0x0a)])).lines).toEqual(["a\ufffdb"]);
  });
});

describe("a line that is too long", () => {
  it("is cut, with a count of what is missing, and the next one is whole again", async () => {
    const { lines, cuts } = await linesOf(["0123456789", "abcdef\nnext\n", "0123456789\n"], 10);
    expect(lines).toEqual(["0123456789… (6 more bytes)", "next", "0123456789"]);
    expect(cuts).toEqual([true, false, false]);
  });

  it("is not cut inside a character", async () => {
    const long = "12345678\u{1f600}z";
    for (const [limit, kept, missing] of [
      [9, "12345678", 5],
      [11, "12345678", 5],
      [12, "12345678\u{1f600}", 1],
    ] as const) {
      expect((await linesOf([long], limit)).lines).toEqual([`${kept}… (${missing} more bytes)`]);
    }
  });

  it("without end takes no more memory than the limit", async () => {
    const stream = new PassThrough();
    const captured = capture(stream, 1000);
    const chunk = Buffer.alloc(1024 * 1024, "x");
    const before = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 64; count++) {
      if (!stream.write(chunk)) await new Promise((resolve) => stream.once("drain", resolve));
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * chunk.length);
    stream.end();
    await captured.ended;
    expect(captured.lines).toEqual([`${"x".repeat(1000)}… (${64 * chunk.length - 1000} more bytes)`]);
  });
});

describe("a worker in a print loop", () => {
  it("lets others have their turn", async () => {
    const child = spawn("yes", ["x".repeat(39)], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      const captured = capture(child.stdout);
      await waitFor(() => captured.lines.length > 1000);
      let turns = 0;
      const from = captured.lines.length;
      while (captured.lines.length - from < 100_000) {
        turns++;
        await new Promise((resolve) => setImmediate(resolve));
      }
      // 40 bytes a line, at most two pipes full between two turns of anything else.
      expect((captured.lines.length - from) / turns).toBeLessThan((2 * 65_536) / 40);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("is heard to its end", async () => {
    const count = 50_000;
    const child = spawn(
      "sh",
      ["-c", `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo line $i; done; printf end`],
      {
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const captured = capture(child.stdout);
    await captured.ended;
    expect(captured.lines.length).toBe(count + 1);
    expect(captured.lines.slice(-2)).toEqual([`line ${count}`, "end"]);
  });

  it("whose pipe breaks ends like any other", async () => {
    const stream = new PassThrough();
    const captured = capture(stream);
    stream.write("half");
    await new Promise((resolve) => setImmediate(resolve));
    stream.destroy(new Error("broken"));
    await captured.ended;
    expect(captured.lines).toEqual(["half"]);
  });
});

describe("the tail", () => {
  it("keeps the last lines, oldest first, and not too much of each", () => {
    const tail = new OutputTail(3);
    for (const line of ["1", "2", "3", "x".repeat(5000)]) tail.push(line);
    expect(tail.lines).toEqual(["2", "3", `${"x".repeat(1000)}… (4000 more)`]);
  });
});
