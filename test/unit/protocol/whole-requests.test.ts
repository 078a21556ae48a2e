/** Requests whose input has ended when they start, because the end of STDIN came in the same chunk. */
import { describe, expect, it } from "vitest";
import { RemoteProtocolError } from "../../../src/base/errors.ts";
import { AppRecorder, type RecorderOptions } from "../../support/app-recorder.ts";
import {
  abortRecord,
  beginRecord,
  dataRecords,
  paramsRecords,
  rawRecord,
  stdinRecords,
  TYPE,
} from "../../support/records.ts";

const KEEP = { keepConn: true };
const LOST = new RemoteProtocolError("ERR_POSTERN_ABORTED", "the connection was lost", "connection");

function begun(id = 1, role = 1, keepConn = true): Buffer {
  return Buffer.concat([beginRecord(id, { role, keepConn }), paramsRecords(id, { A: "b" })]);
}

/** Whether request 1 had its STDIN ended when it started, followed by `next` in the same chunk. */
function startsEnded(next: Uint8Array, first = begun()): boolean {
  let ended: boolean | undefined;
  const machine = new AppRecorder();
  machine.onEvent = (event, request) => {
    if (event === "request 1") ended = request.stdinEnded;
  };
  machine.feed([Buffer.concat([first, next])]);
  return ended!;
}

describe("a request starts with its STDIN ended", () => {
  it("when the record that ends it is the next one and its header has come", () => {
    expect(startsEnded(stdinRecords(1))).toBe(true);
    expect(startsEnded(rawRecord(TYPE.STDIN, 1, "", 7))).toBe(true);
    expect(startsEnded(rawRecord(TYPE.STDIN, 1, "", 7).subarray(0, 8))).toBe(true);
    expect(startsEnded(Buffer.concat([stdinRecords(1), begun(3)]))).toBe(true);
    expect(startsEnded(stdinRecords(513), begun(1))).toBe(false);
    expect(startsEnded(stdinRecords(1), begun(1, 3))).toBe(true);
  });

  it("behind padding of the end of its parameters", () => {
    const padded = Buffer.concat([
      beginRecord(1, KEEP),
      rawRecord(TYPE.PARAMS, 1, "\x01\x01Ab"),
      rawRecord(TYPE.PARAMS, 1, "", 9),
    ]);
    expect(startsEnded(stdinRecords(1), padded)).toBe(true);
    expect(startsEnded(stdinRecords(1).subarray(0, 7), padded)).toBe(false);
  });

  it("not when anything else follows", () => {
    const others = [
      Buffer.alloc(0),
      Buffer.alloc(8), // Cherokee's
      stdinRecords(1).subarray(0, 7),
      stdinRecords(1, "body"),
      stdinRecords(3),
      stdinRecords(257),
      rawRecord(TYPE.STDIN, 1, "x".repeat(256)),
      rawRecord(TYPE.STDIN, 1, "", 0, 0),
      rawRecord(TYPE.PARAMS, 1),
      rawRecord(TYPE.DATA, 1),
      abortRecord(1),
      Buffer.concat([abortRecord(7), stdinRecords(1)]),
    ];
    for (const next of others) expect(startsEnded(next), next.toString("hex")).toBe(false);
  });

  it("whatever lies behind the bytes that were received", () => {
    const bytes = Buffer.concat([begun(), stdinRecords(1)]);
    for (let length = begun().length; length <= bytes.length; length++) {
      let ended: boolean | undefined;
      const machine = new AppRecorder();
      machine.onEvent = (_, request) => {
        ended ??= request.stdinEnded;
      };
      machine.app.receive(bytes, length);
      expect(ended).toBe(length === bytes.length);
    }
  });

  it("so that nothing of it is left when it has been answered at once", () => {
    const machine = new AppRecorder({ answers: "at once" });
    let left: unknown;
    machine.onEvent = (_, request) => {
      machine.answer(request);
      left = [machine.app.requests.size, machine.app.awaitsInput, machine.app.isPartial];
    };
    machine.feed([Buffer.concat([begun(1, 1, false), stdinRecords(1)])]);
    expect(left).toEqual([0, false, true]); // partial: the record itself is still to be read
    expect(machine.state).toBe("open 0, served 1, finished");
  });

  it("and hears so once, after it has been told of", () => {
    for (const readsOn of [false, true]) {
      const machine = new AppRecorder();
      machine.onEvent = (event, request) => {
        if (event === "request 1" && readsOn) machine.app.end(request, 0, 0, true);
      };
      machine.feed([Buffer.concat([begun(), stdinRecords(1), stdinRecords(1), rawRecord(TYPE.PARAMS, 1)])]);
      expect(machine.events).toEqual(["request 1 responder keep", 'param 1 "A" = "b"', "stdin-end 1"]);
    }
  });

  it("but a second end of its parameters ends nothing", () => {
    const machine = new AppRecorder();
    machine.feed([Buffer.concat([begun(), rawRecord(TYPE.PARAMS, 1), stdinRecords(1)])]);
    expect(machine.events.at(-1)).toBe("stdin-end 1");
    expect(machine.requests.get(1)!.inputEnded).toBe(true);
  });

  it("and may be aborted or lost as any other", () => {
    const aborted = new AppRecorder().feed([Buffer.concat([begun(), stdinRecords(1), abortRecord(1)])]);
    const lost = new AppRecorder().feed([Buffer.concat([begun(), stdinRecords(1)])]);
    lost.app.lose(LOST);
    for (const machine of [aborted, lost]) {
      expect(machine.events.slice(2)).toEqual(["stdin-end 1", "abort 1 ERR_POSTERN_ABORTED"]);
      expect(machine.app.requests.size).toBe(0);
    }
  });
});

describe("where the bytes of a conversation are cut", () => {
  const authorizer = begun(1, 2);
  const filter = Buffer.concat([begun(1, 3), stdinRecords(1), dataRecords(1, "file")]);
  const plain = Buffer.concat([begun(), stdinRecords(1)]);
  const CONVERSATIONS: Readonly<Record<string, Buffer>> = {
    "a request": plain,
    "the last request": Buffer.concat([begun(1, 1, false), stdinRecords(1)]),
    "a request with a body": Buffer.concat([begun(), stdinRecords(1, "body")]),
    "two requests with one id": Buffer.concat([plain, plain]),
    "two requests side by side": Buffer.concat([begun(1), begun(3), stdinRecords(1), stdinRecords(3)]),
    "two requests one behind the other": Buffer.concat([
      begun(1),
      stdinRecords(1),
      begun(3),
      stdinRecords(3),
    ]),
    "an authorizer, with and without STDIN": Buffer.concat([authorizer, stdinRecords(1), begun(3, 2)]),
    "a filter": filter,
    "a filter without data": Buffer.concat([begun(1, 3), stdinRecords(1), dataRecords(1)]),
    "a refused request": Buffer.concat([
      beginRecord(1, KEEP),
      rawRecord(TYPE.PARAMS, 1, "\x05"),
      rawRecord(TYPE.PARAMS, 1),
      stdinRecords(1),
    ]),
    "an unknown role": Buffer.concat([begun(1, 9), stdinRecords(1)]),
    "padding everywhere": Buffer.concat([
      beginRecord(1, { keepConn: true, padding: 3 }),
      rawRecord(TYPE.PARAMS, 1, "\x01\x01Ab", 4),
      rawRecord(TYPE.PARAMS, 1, "", 5),
      rawRecord(TYPE.STDIN, 1, "", 6),
    ]),
    "Cherokee's blanks": Buffer.concat([plain, Buffer.alloc(8), plain]),
    "an abort": Buffer.concat([plain, abortRecord(1)]),
  };
  const APPLICATIONS: readonly (RecorderOptions & { readonly readsOn?: boolean })[] = [
    { answers: "never" },
    { answers: "at once" },
    { answers: "at input end" },
    { readsOn: true },
  ];

  function run(options: (typeof APPLICATIONS)[number], chunks: readonly Uint8Array[]): unknown {
    const machine = new AppRecorder(options);
    machine.onEvent = (event, request) => {
      if (options.readsOn && event.startsWith("request")) {
        machine.app.writeHead(request, "Status: 200\r\n\r\n");
        machine.app.end(request, 0, 0, true);
      }
    };
    machine.feed(chunks);
    return [machine.events, machine.answers, machine.state, machine.app.requests.size, machine.app.questions];
  }

  for (const [name, bytes] of Object.entries(CONVERSATIONS)) {
    it(`changes nothing: ${name}`, () => {
      for (const options of APPLICATIONS) {
        const expected = run(
          options,
          Array.from(bytes, (byte) => Buffer.from([byte])),
        );
        for (let at = 0; at <= bytes.length; at++) {
          const parts = [bytes.subarray(0, at), bytes.subarray(at)];
          expect(run(options, parts), `cut at ${at}, ${JSON.stringify(options)}`).toEqual(expected);
        }
      }
    });
  }
});
