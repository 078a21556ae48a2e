/**
 * Properties of src/protocol. Seeds are printed by fast-check with a failure; POSTERN_FUZZ_RUNS multiplies the
 * number of runs (default 1: seconds), POSTERN_SEED repeats a run.
 */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { RemoteProtocolError } from "../../src/base/errors.ts";
import { encodeParams, Params } from "../../src/protocol/params.ts";
import { RecordWriter, SlabPool } from "../../src/protocol/record-writer.ts";
import { type Answers, AppRecorder } from "../support/app-recorder.ts";
import { cutAt, freshSeed } from "../support/feed.ts";
import { notice } from "../support/notice.ts";
import { decodePairs, decodeRecords, encodePairs, rawRecord, TYPE } from "../support/records.ts";

const SEED = freshSeed();
const RUNS = Number(process.env["POSTERN_FUZZ_RUNS"] ?? 1);
notice(`fuzz: POSTERN_SEED=${SEED}`);
vi.setConfig({ testTimeout: 30_000 * RUNS });

function check(numRuns: number, property: fc.IProperty<never> | fc.IRawProperty<unknown>): void {
  fc.assert(property as fc.IProperty<unknown>, { numRuns: numRuns * RUNS, seed: SEED });
}

const latin1 = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1"));
/** Lengths around those that are written or cut differently. */
const nearLength = fc.constantFrom(0, 1, 2, 126, 127, 128, 129, 255, 256, 16383, 16384, 65527, 65528, 65535);
const longText = fc
  .tuple(nearLength, fc.constantFrom("a", "\xff", "\x00", "\x80"))
  .map(([n, c]) => c.repeat(n));
const name = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "REMOTE_USER", "HTTP_COOKIE", "", "A"),
  latin1(20),
  { weight: 1, arbitrary: longText },
);
const pairs = fc.array(fc.tuple(name, fc.oneof(latin1(40), longText)), { maxLength: 8 });

describe("params", () => {
  it("are decoded to what was encoded, by us or by an independent encoder, in either form of lengths", () => {
    check(
      300,
      fc.property(pairs, fc.boolean(), (list, isLong) => {
        const ours = encodeParams(list);
        expect(ours.equals(encodePairs(list))).toBe(true);
        const params = Params.decode(encodePairs(list, isLong || undefined).toString("latin1"), list.length);
        expect([...params]).toEqual(list);
        expect(params.size).toBe(list.length);
        const last = new Map(list);
        for (const [key, value] of last) expect(params.get(key)).toBe(value);
        expect(new Map(Object.entries(params.toObject()))).toEqual(last);
      }),
    );
  });

  it("of arbitrary bytes decode as an independent decoder says, or are malformed", () => {
    // Mostly small numbers, so that lengths often fit.
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(fc.constantFrom(0, 1, 2, 3, 0x80, 0xff, 65), { maxLength: 30 }),
    );
    check(
      1000,
      fc.property(bytes, (data) => {
        const raw = Buffer.from(data);
        let wanted: [string, string][] | undefined;
        try {
          wanted = decodePairs(raw);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
        if (wanted === undefined) {
          expect(() => Params.decode(raw.toString("latin1"), 1000)).toThrow(RemoteProtocolError);
        } else {
          expect([...Params.decode(raw.toString("latin1"), 1000)]).toEqual(wanted);
        }
      }),
    );
  });
});

interface Written {
  readonly type: number;
  readonly id: number;
  /** Pieces of one stream that follow each other are one. */
  text: string;
  isWhole: boolean;
}

type Action = (writer: RecordWriter, log: Written[]) => void;

const SIZES = [0, 1, 2, 7, 8, 100, 5461, 16383, 16384, 32760, 65527, 65528, 65535, 200000];
const stream = fc.tuple(fc.constantFrom(TYPE.STDOUT, TYPE.STDERR), fc.constantFrom(1, 2, 255, 256, 65535));
const fill = fc.constantFrom("a", "\x00", "\xff");
const wideText = fc.tuple(
  fc.constantFrom(0, 1, 3, 1000, 5461, 5462, 30000),
  fc.constantFrom("é", "€", "\u{1f600}", "x", "\ud800"),
);

function add(log: Written[], type: number, id: number, content: Uint8Array): void {
  if (content.length === 0) return;
  const text = Buffer.from(content).toString("latin1");
  const last = log.at(-1);
  if (last?.type === type && last.id === id && !last.isWhole) last.text += text;
  else log.push({ type, id, text, isWhole: false });
}

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.tuple(stream, fc.constantFrom(...SIZES.filter((size) => size <= 65528)), fill).map(
    ([[type, id], size, char]): Action =>
      (writer, log) => {
        writer.writeWhole(type, id, char.repeat(size));
        add(log, type, id, Buffer.alloc(size, char, "latin1"));
      },
  ),
  fc.tuple(stream, fc.constantFrom(...SIZES), fc.nat(255)).map(
    ([[type, id], size, byte]): Action =>
      (writer, log) => {
        const memory = new Uint8Array(size + 3).fill(byte);
        writer.writeBytes(type, id, memory.subarray(3));
        add(log, type, id, memory.subarray(3));
      },
  ),
  fc.tuple(stream, wideText, fc.constantFrom("utf8", "latin1", "utf-8", "utf16le", "ascii")).map(
    ([[type, id], [size, char], encoding]): Action =>
      (writer, log) => {
        const text = char.repeat(size);
        writer.writeText(type, id, text, encoding as BufferEncoding);
        add(log, type, id, Buffer.from(text, encoding as BufferEncoding));
      },
  ),
  fc.tuple(stream, fc.base64String({ maxLength: 50 }), fc.constantFrom("base64", "hex", "base64url")).map(
    ([[type, id], text, encoding]): Action =>
      (writer, log) => {
        writer.writeText(type, id, text, encoding as BufferEncoding);
        add(log, type, id, Buffer.from(text, encoding as BufferEncoding));
      },
  ),
  stream.map(
    ([type, id]): Action =>
      (writer, log) => {
        writer.endStream(type, id);
        log.push({ type, id, text: "", isWhole: true });
      },
  ),
  fc.tuple(stream, fc.nat(0xffffffff), fc.nat(3)).map(
    ([[, id], appStatus, protocolStatus]): Action =>
      (writer, log) => {
        writer.endRequest(id, appStatus, protocolStatus);
        const body = Buffer.alloc(8);
        body.writeUInt32BE(appStatus);
        body[4] = protocolStatus;
        log.push({ type: TYPE.END_REQUEST, id, text: body.toString("latin1"), isWhole: true });
      },
  ),
  fc.tuple(stream, fc.constantFrom(0, 1, 30, 40000, 65528)).map(
    ([[, id], size]): Action =>
      (writer, log) => {
        writer.writeRecord(TYPE.GET_VALUES_RESULT, id, Buffer.alloc(size, 7));
        log.push({ type: TYPE.GET_VALUES_RESULT, id, text: "\x07".repeat(size), isWhole: true });
      },
  ),
);

type Step = Action | "take" | "take, not recycled" | "recycle true" | "recycle false";
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: action },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Step>("take", "recycle true", "recycle false", "take, not recycled"),
  },
);

describe("RecordWriter", () => {
  it("writes what an independent decoder reads back, however writing, taking and recycling alternate", () => {
    check(
      150,
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const pool = new SlabPool();
        const writer = new RecordWriter(pool);
        const log: Written[] = [];
        // Pieces as the socket holds them: read only when it says it is done with them, at the latest possible time.
        let held: Uint8Array[] = [];
        const wire: Buffer[] = [];
        const release = (): void => {
          wire.push(...held.map((piece) => Buffer.from(piece)));
          held = [];
        };
        const take = (): void => {
          const pending = writer.pendingBytes;
          const pieces = writer.take();
          expect(pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(pending);
          expect(writer.pendingBytes).toBe(0);
          held.push(...pieces);
        };
        for (const one of steps) {
          if (typeof one === "function") {
            one(writer, log);
            continue;
          }
          if (one.startsWith("take")) take();
          // "written" is the promise that the kernel has all pieces, so they are copied before.
          if (one === "take" || one === "recycle true") {
            release();
            writer.recycle(true);
          } else if (one === "recycle false") {
            writer.recycle(false);
          }
          // Somebody else uses the slabs that are free now.
          const slab = pool.take().fill(0xee);
          pool.give(slab);
        }
        take();
        release();
        const { records, rest } = decodeRecords(Buffer.concat(wire));
        expect(rest).toHaveLength(0);
        const read: Written[] = [];
        for (const { version, type, id, content, padding } of records) {
          expect([version, padding]).toEqual([1, 0]);
          expect(content.length).toBeLessThanOrEqual(65528);
          const isStream = (type === TYPE.STDOUT || type === TYPE.STDERR) && content.length > 0;
          if (isStream) add(read, type, id, content);
          else read.push({ type, id, text: content.toString("latin1"), isWhole: true });
        }
        expect(read.length).toBe(log.length);
        read.forEach((got, at) => {
          const want = log[at]!;
          expect([got.type, got.id, got.text.length]).toEqual([want.type, want.id, want.text.length]);
          expect(got.text === want.text).toBe(true);
        });
      }),
    );
  });
});

const id = fc.constantFrom(0, 1, 1, 1, 2, 3, 255, 256, 65535);
const shortContent = fc.oneof(
  fc.constant(""),
  latin1(20),
  pairs
    .filter((list) => JSON.stringify(list).length < 2000)
    .map((list) => encodePairs(list).toString("latin1")),
);
const begin = fc
  .tuple(id, fc.constantFrom(1, 1, 1, 2, 3, 0, 4), fc.nat(3))
  .map(([one, role, flags]) =>
    rawRecord(TYPE.BEGIN_REQUEST, one, Buffer.from([0, role, flags, 0, 0, 0, 0, 0])),
  );
const anyRecord = fc.oneof(
  { weight: 3, arbitrary: begin },
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.constantFrom(4, 4, 5, 5, 8, 2, 9), id, shortContent, fc.constantFrom(0, 0, 1, 7, 255))
      .map(([type, one, content, padding]) => rawRecord(type, one, content, padding)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat(255), id, shortContent, fc.nat(255), fc.constantFrom(1, 1, 1, 1, 0, 2))
      .map(([type, one, content, padding, version]) => rawRecord(type, one, content, padding, version)),
  },
);
/** Streams that mean something: records of few ids, in any order, sometimes with noise between. */
const conversation = fc.array(anyRecord, { maxLength: 40 }).map((records) => Buffer.concat(records));
const LIMITS = { maxParamsBytes: 300, maxParams: 6, maxRequests: 2, maxConnections: 5 };
const answers = fc.constantFrom<Answers>("never", "at once", "at input end");

/** Everything that can be seen of a machine, at the end. */
function outcome(recorder: AppRecorder): unknown {
  const state = recorder.error === undefined ? recorder.state : undefined;
  return { events: recorder.events, answers: recorder.answers, state };
}

describe("AppConnection", () => {
  it("takes arbitrary bytes, ending in events or a RemoteProtocolError that ends the connection", () => {
    // The recorder lets every other error out.
    check(
      500,
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const recorder = new AppRecorder({ limits: LIMITS }).feed([bytes]);
        if (recorder.error !== undefined) expect(recorder.error.scope).toBe("connection");
      }),
    );
  });

  it("means the same by the same bytes, however they are cut", () => {
    check(
      500,
      fc.property(conversation, fc.array(fc.integer({ min: 1, max: 60 })), answers, (bytes, sizes, how) => {
        const options = { limits: LIMITS, answers: how };
        const whole = outcome(new AppRecorder(options).feed([bytes]));
        expect(outcome(new AppRecorder(options).feed(cutAt(bytes, sizes)))).toEqual(whole);
        const ones = Array.from(bytes, (byte) => Buffer.from([byte]));
        expect(outcome(new AppRecorder(options).feed(ones))).toEqual(whole);
      }),
    );
  });

  it("takes valid streams that were damaged", () => {
    const damage = fc.array(
      fc.tuple(fc.constantFrom("set", "insert", "delete", "duplicate"), fc.nat(), fc.nat(255), fc.nat(20)),
      { minLength: 1, maxLength: 6 },
    );
    check(
      500,
      fc.property(conversation, damage, answers, (bytes, changes, how) => {
        let damaged = Buffer.from(bytes);
        for (const [kind, where, byte, length] of changes) {
          const at = damaged.length === 0 ? 0 : where % damaged.length;
          const [before, after] = [damaged.subarray(0, at), damaged.subarray(at)];
          if (kind === "set" && damaged.length > 0) damaged[at] = byte;
          else if (kind === "insert") damaged = Buffer.concat([before, Buffer.alloc(length, byte), after]);
          else if (kind === "delete") damaged = Buffer.concat([before, after.subarray(length)]);
          else damaged = Buffer.concat([before, after.subarray(0, length), after]);
        }
        const recorder = new AppRecorder({ limits: LIMITS, answers: how }).feed([damaged]);
        if (recorder.error !== undefined) expect(recorder.error.scope).toBe("connection");
        // Every answer is a record of version 1, and nothing follows an END_REQUEST but for a request begun again.
        expect(decodeRecords(recorder.output).records.every((record) => record.version === 1)).toBe(true);
      }),
    );
  });

  it("keeps its promises about every request", () => {
    check(
      500,
      fc.property(conversation, answers, (bytes, how) => {
        const recorder = new AppRecorder({ limits: LIMITS, answers: how }).feed([bytes]);
        expect(recorder.app.openRequests).toBeLessThanOrEqual(2 * LIMITS.maxRequests);
        const before = recorder.events.length;
        recorder.app.lose(new RemoteProtocolError("ERR_POSTERN_ABORTED", "lost", "connection"));
        expect([recorder.app.openRequests, recorder.app.awaitsInput]).toEqual([0, false]);
        const ends = recorder.answers.filter((answer) => answer.startsWith("END_REQUEST"));
        const aborted = recorder.events.slice(before).filter((event) => event.startsWith("abort"));
        expect(recorder.events.slice(before)).toEqual(aborted);
        // One END_REQUEST for each request that is over and was not lost.
        expect(recorder.app.servedRequests).toBeGreaterThanOrEqual(ends.length);
        if (recorder.error === undefined) expect(soundness(recorder.events)).toEqual([]);
      }),
    );
  });
});

/** What an application must never hear, per id: input before a request, after its end, or after an abort. */
function soundness(events: readonly string[]): string[] {
  const open = new Map<string, Set<string>>();
  const wrong: string[] = [];
  for (const event of events) {
    const [word = "", one = ""] = event.split(" ");
    const heard = open.get(one);
    if (word === "request") open.set(one, new Set());
    else if (word === "refuse") open.delete(one);
    else if (word !== "param" && (heard === undefined || heard.has("abort")))
      wrong.push(`${event}: no such request`);
    else if (heard?.has(word) && word.endsWith("-end")) wrong.push(`${event}: twice`);
    else if (heard?.has(`${word}-end`)) wrong.push(`${event}: after its end`);
    heard?.add(word);
  }
  return wrong;
}
