/** Writing the body. */
import { expect } from "vitest";
import type { Subject } from "./subject.ts";

const NULL = "throws ERR_STREAM_NULL_VALUES";
const TYPE = "throws ERR_INVALID_ARG_TYPE";
const MEBIBYTE = 1048576;

export function writeTests(subject: Subject): void {
  forms(subject);
  ends(subject);
  afterwards(subject);
  backPressure(subject);
  corked(subject);
  streaming(subject);
}

function forms(subject: Subject): void {
  subject.test("write takes text in every encoding, Buffers and byte arrays", async () => {
    const visit = await subject.visit("write-forms");
    const { body } = await visit.fetch();
    const expected = Buffer.concat([
      Buffer.from("plain hex base64 "),
      Buffer.from("\u00e9 ", "latin1"),
      Buffer.from("\u00e9 "),
      Buffer.from("\u00e9", "utf16le"),
      Buffer.from("buffer bytes callback both end\n"),
    ]);
    expect(body.equals(expected)).toBe(true);
    expect(await visit.until("done")).toEqual([true, "called back", "called back", "done"]);
  });
  for (const [encoding, bytes] of [
    ["encoded", Buffer.from("hi hex\n")],
    ["latin1", Buffer.from([0xe9])],
    ["utf16", Buffer.from("hi", "utf16le")],
  ] as const) {
    subject.test(`the first write may be ${encoding}`, async () => {
      const answer = await (await subject.visit(`write-first-${encoding}`)).fetch();
      expect(answer.body).toEqual(bytes);
    });
  }
  subject.sees("an empty write sends the head", "write-empty", { notes: [true, true, true], text: "ok\n" });
  subject.sees("write and end refuse what is no chunk", "write-refused", {
    notes: [NULL, TYPE, TYPE, TYPE, TYPE, TYPE, TYPE],
  });
  subject.test("write refuses an encoding that nobody knows", async () => {
    const visit = await subject.visit("write-unknown-encoding");
    const client = await visit.open();
    expect(await visit.until("done")).toEqual(["throws ERR_UNKNOWN_ENCODING", "done"]);
    client.close();
  });
  subject.sees("write callbacks come in order, before the callback of end", "write-callbacks", {
    notes: ["returned", "a", "b", "c"],
    text: "abcd",
  });
}

function ends(subject: Subject): void {
  subject.sees("end with a callback", "end-callback", { notes: [true], text: "" });
  subject.sees("end with a chunk and a callback", "end-chunk-callback", { notes: [true], text: "chunk\n" });
  subject.sees("end with chunk, encoding and callback", "end-encoding-callback", { text: "hex\n" });
  subject.sees("end with a Buffer", "end-buffer", { text: "buffer\n" });
  subject.sees("end with null", "end-null", { text: "" });
  subject.sees("end after write", "end-after-write", { text: "written and ended\n" });
  subject.sees("end in a later turn, after headers set in between", "async-end", {
    headers: { "x-late": "1" },
  });
}

function afterwards(subject: Subject): void {
  subject.sees("end twice is harmless, and its callback is told", "end-twice", {
    notes: [true, "second", "res close", "third ERR_STREAM_ALREADY_FINISHED"],
    text: "once\n",
  });
  subject.sees("end with a chunk after end is a write after end", "end-twice-chunk", {
    notes: [true, "callback ERR_STREAM_WRITE_AFTER_END", "res error ERR_STREAM_WRITE_AFTER_END"],
    text: "once\n",
  });
  subject.sees("write after end is an 'error' and goes to the callback", "write-after-end", {
    notes: [false, "callback ERR_STREAM_WRITE_AFTER_END", "res error ERR_STREAM_WRITE_AFTER_END"],
    text: "whole\n",
  });
  subject.sees("write after 'close' goes to the callback", "write-after-close", {
    notes: [false, "callback ERR_STREAM_WRITE_AFTER_END", true],
    text: "whole\n",
  });
  subject.test("write after destroy goes to the callback", async () => {
    const visit = await subject.visit("write-after-destroy");
    await visit.open();
    expect(await visit.until("done")).toEqual([false, "callback ERR_STREAM_DESTROYED", true, "done"]);
  });
  subject.sees(
    "writable, writableEnded, writableFinished, closed and their kin change when Node's do",
    "states",
    {
      notes: [
        states({ writable: true }),
        { at: "write", ...states({ writable: true, headersSent: true }) },
        { at: "prefinish", ended: true },
        { at: "end", ended: true, finished: true, writable: true },
        { at: "finish", ...states({ ...ENDED, writable: true }) },
        { at: "close", ...states({ ...ENDED, writable: true, destroyed: true, closed: true }) },
      ],
    },
  );
}

const ENDED = { writableEnded: true, writableFinished: true, finished: true, headersSent: true };

function states(changed: Readonly<Record<string, boolean>>): Record<string, boolean> {
  return {
    writable: false,
    writableEnded: false,
    writableFinished: false,
    finished: false,
    headersSent: false,
    destroyed: false,
    closed: false,
    ...changed,
  };
}

function backPressure(subject: Subject): void {
  subject.sees("writableLength counts what waits", "lengths", {
    notes: [0, true, true, [false, 0, false], true, 0],
    text: "abc" + "def\n",
  });
  subject.test("a big write says false, needs drain, and drains", async () => {
    const visit = await subject.visit("drain");
    const { body } = await visit.fetch();
    expect(await visit.until("done")).toEqual([true, false, true, true, "drain", [false, 0], true, "done"]);
    expect(body.length).toBe("small".length + 4 * MEBIBYTE + "afterend".length);
  });
  subject.test("a client that does not read stops the application", async () => {
    const visit = await subject.visit("slow-reader");
    const client = await visit.open("GET", "Connection: close\r\n");
    client.pause();
    const [blocked] = await visit.until("blocked", 20_000);
    expect(blocked).toEqual(["blocked", true, true]);
    client.resume();
    const notes = await visit.until("done", 20_000);
    const { bytes } = notes.at(-2) as { bytes: number };
    expect(notes.at(-3)).toEqual(["drained", false]);
    await client.waitForEnd(20_000);
    client.close();
    expect(client.received().filter((byte) => byte === 0x79).length).toBeGreaterThanOrEqual(bytes);
  });
}

function corked(subject: Subject): void {
  subject.sees("cork and uncork nest", "cork", { notes: [2, 1, 0, "b called back"], text: "abcd\n" });
  subject.test("what is written under cork waits for uncork", async () => {
    const visit = await subject.visit("cork-holds");
    const client = await visit.open("GET", "Connection: close\r\n");
    await client.waitForText(/first /);
    await visit.until("corked");
    await visit.settle();
    expect(client.text()).not.toContain("held");
    await visit.go();
    const answer = await client.nextResponse();
    client.close();
    expect(answer.body.toString()).toBe("first held back last\n");
  });
  subject.sees("end takes the cork away", "end-corked", { notes: [0], text: "corked and ended\n" });
}

function streaming(subject: Subject): void {
  subject.test("what is written is sent in the same turn", async () => {
    const visit = await subject.visit("stream");
    const client = await visit.open("GET", "Connection: close\r\n");
    await client.waitForText(/first /);
    await visit.go();
    const answer = await client.nextResponse();
    client.close();
    expect(answer.body.toString()).toBe("first second\n");
  });
  const numbers = (count: number): string => Array.from({ length: count }, (_, n) => `${n},`).join("");
  subject.sees("a thousand writes in one turn arrive in order", "many-writes", {
    text: `${numbers(1000)}end\n`,
  });
  subject.sees("a hundred writes in a hundred turns arrive in order", "many-turns", {
    text: `${numbers(100)}end\n`,
  });
  subject.sees("two megabytes of text arrive whole", "big-string", { text: "é".repeat(MEBIBYTE) });
  subject.test("three megabytes of bytes arrive whole", async () => {
    const { body } = await (await subject.visit("big-buffer")).fetch();
    expect(body.equals(Buffer.alloc(3 * MEBIBYTE, "0123456789"))).toBe(true);
  });
  subject.sees("the socket of a response looks like one", "socket-write", {
    notes: [[true, false, false], "number"],
  });
}
