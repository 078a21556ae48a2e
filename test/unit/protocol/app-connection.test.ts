import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { RemoteProtocolError } from "../../../src/base/errors.ts";
import { AppConnection } from "../../../src/protocol/app-connection.ts";
import type { AppRequest } from "../../../src/protocol/app-request.ts";
import { Params } from "../../../src/protocol/params.ts";
import { RecordWriter, SlabPool } from "../../../src/protocol/record-writer.ts";
import { AppRecorder, type RecorderOptions } from "../../support/app-recorder.ts";
import {
  abortRecord,
  answerOf,
  type BeginOptions,
  beginRecord,
  dataRecords,
  encodePairs,
  getValuesRecord,
  paramsRecords,
  rawRecord,
  stdinRecords,
  streamRecords,
  TYPE,
} from "../../support/records.ts";

const LOST = new RemoteProtocolError("ERR_POSTERN_ABORTED", "the connection was lost", "connection");
const OPEN = { open: true } as const;

/** A request whose parameters are complete. */
function begun(id = 1, options: BeginOptions = { keepConn: true }): Buffer {
  return Buffer.concat([beginRecord(id, options), paramsRecords(id, { A: "b" })]);
}

function recorder(options: RecorderOptions, ...chunks: Uint8Array[]): AppRecorder {
  return new AppRecorder(options).feed(chunks);
}

/**
 * What each record does in each state of a request with id 1. A cell holds what the application hears or the
 * connection answers (END: END_REQUEST), then `>` and the state that follows; `.` is nothing at all.
 * A record ending in 0 is empty, one ending in + has content.
 */
const TRANSITIONS = `
  |         | none    | params       | params,no stdin        | refused          | refusing   | running          | input ended     | draining | filter           | filter,stdin ended |
  | BEGIN   | >params | REUSED       | REUSED                 | REUSED           | REUSED     | REUSED           | REUSED          | >params  | REUSED           | REUSED             |
  | ABORT   | .       | END >none    | END >none              | END >none        | END >none  | abort END >none  | abort END >none | >none    | abort END >none  | abort END >none    |
  | PARAMS+ | .       | .            | .                      | .                | .          | .                | .               | .        | .                | .                  |
  | PARAMS0 | .       | request >running | request stdin-end >input ended | refuse >refusing | . | .             | .               | .        | .                | .                  |
  | STDIN+  | .       | >refused     | .                      | .                | .          | stdin            | .               | .        | stdin            | .                  |
  | STDIN0  | .       | >params,no stdin | .                  | .                | .          | stdin-end >input ended | .         | >none    | stdin-end >filter,stdin ended | .     |
  | DATA+   | .       | .            | .                      | .                | .          | .                | .               | .        | data             | data               |
  | DATA0   | .       | .            | .                      | .                | .          | .                | .               | .        | data-end >running | data-end >input ended |
  | OTHERS  | .       | .            | .                      | .                | .          | .                | .               | .        | .                | .                  |
`;

/** How each state is reached. Two siblings are always open, so that the connection is never finished. */
const STATES: Readonly<Record<string, Buffer>> = {
  none: Buffer.alloc(0),
  params: Buffer.concat([beginRecord(1, { keepConn: true }), paramsRecords(1, { A: "b" }, OPEN)]),
  "params,no stdin": Buffer.concat([beginRecord(1, { keepConn: true }), stdinRecords(1)]),
  refused: Buffer.concat([beginRecord(1, { keepConn: true }), stdinRecords(1, "early", OPEN)]),
  refusing: Buffer.concat([beginRecord(1), stdinRecords(1, "early", OPEN), paramsRecords(1, {})]),
  running: begun(),
  "input ended": Buffer.concat([begun(), stdinRecords(1)]),
  draining: begun(1, { keepConn: false }),
  filter: begun(1, { role: 3 }),
  "filter,stdin ended": Buffer.concat([begun(1, { role: 3 }), stdinRecords(1)]),
};

/** States that cannot be told apart from outside, or are reached in more than one way. */
const ALSO: Readonly<Record<string, readonly [state: string, reached: Buffer]>> = {
  "after END_REQUEST": [
    "none",
    Buffer.concat([begun(2, { keepConn: true }), stdinRecords(2), abortRecord(2)]),
  ],
  "filter,data ended": ["running", Buffer.concat([begun(1, { role: 3 }), dataRecords(1)])],
  "an authorizer": ["input ended", begun(1, { role: 2 })],
  "a filter with both ended": [
    "input ended",
    Buffer.concat([begun(1, { role: 3 }), stdinRecords(1), dataRecords(1)]),
  ],
};

const RECORDS: Readonly<Record<string, readonly Buffer[]>> = {
  BEGIN: [beginRecord(1, { keepConn: true })],
  ABORT: [abortRecord(1), rawRecord(TYPE.ABORT_REQUEST, 1, "content", 1)],
  "PARAMS+": [paramsRecords(1, { C: "d" }, OPEN)],
  PARAMS0: [rawRecord(TYPE.PARAMS, 1, "", 3)],
  "STDIN+": [stdinRecords(1, "body", OPEN)],
  STDIN0: [stdinRecords(1)],
  "DATA+": [dataRecords(1, "file", OPEN)],
  DATA0: [dataRecords(1)],
  OTHERS: [0, 3, 6, 7, 9, 10, 11, 12, 127, 255].flatMap((type) => [
    rawRecord(type, 1),
    rawRecord(type, 1, "content!"),
  ]),
};

/** What tells the states apart: how they take the records that are still to come. */
const PROBES: readonly Buffer[] = [
  dataRecords(1, "probe", OPEN),
  Buffer.concat([stdinRecords(1, "probe"), dataRecords(1, "probe"), abortRecord(1)]),
  Buffer.concat([paramsRecords(1, {}), stdinRecords(1, "probe"), dataRecords(1, "probe"), abortRecord(1)]),
];

function words(lines: readonly string[]): string[] {
  return lines.map((line) => line.split(" ")[0]!).filter((word) => word !== "param");
}

/** Brings a fresh machine into `state`: an application that answers at once only where that makes the state. */
function inState(state: string, reached: Buffer = STATES[state]!): AppRecorder {
  const machine = recorder({}, begun(8), begun(9));
  if (state === "draining") machine.onEvent = (_, request) => machine.answer(request);
  machine.feed([reached]);
  machine.onEvent = () => {};
  expect(machine.error).toBeUndefined();
  return machine;
}

/** Everything that can be seen of a machine's state, ids and counts of the past aside. */
function signature(make: () => AppRecorder): string {
  const seen = PROBES.map((probe) => {
    const machine = make();
    const before = machine.events.length;
    const flags = machine.state.replace(/served \d+/, "");
    const answered = machine.answers.length;
    machine.feed([probe]);
    return [flags, ...words(machine.events.slice(before)), ...words(machine.answers.slice(answered))];
  });
  return JSON.stringify(seen);
}

const SIGNATURES = new Map(Object.keys(STATES).map((state) => [signature(() => inState(state)), state]));

describe("each record in each state", () => {
  const [head, ...rows] = TRANSITIONS.trim()
    .split("\n")
    .map((row) =>
      row
        .trim()
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );

  it("is a table of every record and every state, and the states can be told apart", () => {
    expect(head!.slice(1)).toEqual(Object.keys(STATES));
    expect(rows.map((row) => row[0])).toEqual(Object.keys(RECORDS));
    expect([...SIGNATURES.values()]).toEqual(Object.keys(STATES));
  });

  const cells = rows.flatMap((row) =>
    row.slice(1).map((cell, at) => [row[0]!, head![at + 1]!, cell] as const),
  );
  const others = Object.entries(ALSO).flatMap(([name, [state, reached]]) =>
    cells
      .filter(([, column]) => column === state)
      .map(([row, , cell]) => [row, name, cell, state, reached] as const),
  );
  const all = [
    ...cells.map(([row, state, cell]) => [row, state, cell, state, STATES[state]!] as const),
    ...others,
  ];

  it.each(all)("%s, %s: %s", (row, _, cell, state, reached) => {
    for (const record of RECORDS[row]!) {
      const machine = inState(state, reached);
      const [before, answered] = [machine.events.length, machine.answers.length];
      machine.feed([record]);
      const [heard, next] = cell.split(">").map((part) => part.trim());
      if (heard === "REUSED") {
        expect(machine.error).toMatchObject({ code: "ERR_POSTERN_REQUEST_ID_REUSED", scope: "connection" });
        continue;
      }
      const answers = words(machine.answers.slice(answered)).map((word) =>
        word.replace("END_REQUEST", "END"),
      );
      expect([...words(machine.events.slice(before)), ...answers].join(" ")).toBe(heard === "." ? "" : heard);
      const after = signature(() => inState(state, reached).feed([record]));
      expect(SIGNATURES.get(after)).toBe(next ?? state);
    }
  });
});

describe("an application that acts in the middle of an event", () => {
  const whole = Buffer.concat([begun(), stdinRecords(1, "body"), begun(3), stdinRecords(3)]);

  /** Feeds `bytes` and does `act` when the event `when` comes. */
  function acting(
    when: string,
    act: (machine: AppRecorder, request: AppRequest) => void,
    bytes = whole,
  ): AppRecorder {
    const machine = new AppRecorder();
    machine.onEvent = (event, request) => {
      if (event === when) act(machine, request);
    };
    return machine.feed([bytes]);
  }

  it("may answer in onRequest: its sink is never called", () => {
    const { events, answers } = acting("request 1", (machine, request) => machine.answer(request));
    expect(events.slice(0, 3)).toEqual([
      "request 1 responder keep",
      'param 1 "A" = "b"',
      "request 3 responder keep",
    ]);
    expect(answers).toEqual([
      'STDOUT 1 "Status: 200\\r\\n\\r\\n"',
      "STDOUT 1 end",
      "END_REQUEST 1 app 0 complete",
    ]);
  });

  it("may end in onStdin: the rest of the record and the end are not heard", () => {
    const machine = acting("stdin 1", (machine, request) => machine.answer(request));
    expect(machine.events.filter((event) => event.includes("1"))).toEqual([
      "request 1 responder keep",
      'param 1 "A" = "b"',
      'stdin 1 "body"',
    ]);
    expect(machine.app.openRequests).toBe(1);
  });

  it("may end in onStdinEnd, and the id serves the next request of the same chunk", () => {
    const twice = Buffer.concat([begun(), stdinRecords(1), begun(), stdinRecords(1)]);
    const machine = acting("stdin-end 1", (machine, request) => machine.answer(request), twice);
    expect(machine.error).toBeUndefined();
    expect(machine.app.servedRequests).toBe(2);
  });

  it("may end one request in a callback of another", () => {
    const interleaved = Buffer.concat([begun(1), begun(3), stdinRecords(1, "one"), stdinRecords(3, "three")]);
    const end3 = (machine: AppRecorder): void => machine.answer(machine.requests.get(3)!);
    const machine = acting("stdin 1", end3, interleaved);
    expect(machine.events.slice(-2)).toEqual(['stdin 1 "one"', "stdin-end 1"]);
    expect(machine.answers.at(-1)).toBe("END_REQUEST 3 app 0 complete");
  });

  it("may end twice and write after the end: once is answered, the rest is dropped", () => {
    const machine = acting("stdin-end 1", (machine, request) => {
      machine.answer(request);
      const before = machine.writer.pendingBytes;
      machine.answer(request, "Status: 500\r\n\r\n");
      machine.app.writeText(request, "more", "utf8");
      machine.app.writeBytes(request, Buffer.alloc(100_000));
      machine.app.writeStderr(request, "late\n");
      machine.app.end(request, 1, 2);
      expect(machine.writer.pendingBytes).toBe(before);
    });
    expect(machine.app.servedRequests).toBe(1);
    expect(machine.app.openRequests).toBe(1);
  });

  it("may write and end in onAbort: END_REQUEST is out already", () => {
    const bytes = Buffer.concat([begun(), abortRecord(1)]);
    const machine = acting("abort 1", (machine, request) => machine.answer(request), bytes);
    expect(machine.answers).toEqual(["END_REQUEST 1 app 0 complete"]);
  });

  it("may answer a refusal in onRefuse, or later", () => {
    const bytes = Buffer.concat([
      beginRecord(1, { keepConn: true }),
      rawRecord(4, 1, "\x05"),
      rawRecord(4, 1),
    ]);
    const machine = recorder({}, bytes);
    expect(machine.events).toEqual(["refuse 1 ERR_POSTERN_PARAMS_MALFORMED request"]);
    expect(machine.app.isPartial).toBe(false);
    machine.feed([rawRecord(4, 1), stdinRecords(1, "x")]);
    machine.answer(machine.requests.get(1)!, "Status: 400\r\n\r\n");
    expect(machine.events).toHaveLength(1);
    expect(machine.answers.at(-1)).toBe("END_REQUEST 1 app 0 complete");
  });

  it("may lose the connection in onRequest: it hears of it, and nothing else begins", () => {
    const machine = acting("request 1", (machine) => machine.app.lose(LOST));
    expect(machine.events.slice(2)).toEqual(["abort 1 ERR_POSTERN_ABORTED"]);
    expect([machine.app.openRequests, machine.answers]).toEqual([0, []]);
  });

  it.each(["stdin 1", "stdin-end 1"])(
    "may lose the connection in %s: nothing more is heard or begun",
    (event) => {
      const machine = acting(event, (machine) => machine.app.lose(LOST));
      expect(machine.events.at(-1)).toBe("abort 1 ERR_POSTERN_ABORTED");
      machine.feed([begun(5)]);
      expect(machine.events.at(-1)).toBe("abort 1 ERR_POSTERN_ABORTED");
      expect([machine.app.openRequests, machine.app.awaitsInput, machine.answers]).toEqual([0, false, []]);
    },
  );

  it("may answer and lose the connection in onRequest: nothing is left to abort", () => {
    const machine = acting("request 1", (machine, request) => {
      machine.answer(request);
      machine.app.lose(LOST);
    });
    expect(machine.events).toHaveLength(2);
  });

  it("may end other requests, or lose again, in onAbort of a lost connection", () => {
    const machine = recorder({}, begun(1), begun(3), begun(5), beginRecord(7));
    machine.onEvent = (event) => {
      if (event !== "abort 1") return;
      machine.answer(machine.requests.get(3)!);
      machine.app.lose(LOST);
    };
    machine.app.lose(LOST);
    machine.app.lose(LOST);
    const aborts = machine.events.filter((event) => event.startsWith("abort"));
    expect(aborts).toEqual(["abort 1 ERR_POSTERN_ABORTED", "abort 5 ERR_POSTERN_ABORTED"]);
    expect([machine.app.openRequests, machine.app.servedRequests]).toEqual([0, 4]);
  });

  it("may throw: the error comes out of receive, and the request can still be aborted", () => {
    for (const when of ["request 1", "stdin 1", "stdin-end 1"]) {
      const thrown = new Error(when);
      const machine = new AppRecorder();
      machine.onEvent = (event) => {
        if (event === when) throw thrown;
      };
      expect(() => machine.feed([whole])).toThrow(thrown);
      machine.onEvent = () => {};
      machine.app.lose(LOST);
      expect(machine.app.openRequests).toBe(0);
    }
  });
});

describe("reading on after the answer", () => {
  function readingOn(options: BeginOptions = { keepConn: true }): AppRecorder {
    const machine = new AppRecorder();
    machine.onEvent = (event, request) => {
      if (!event.startsWith("request")) return;
      machine.app.writeHead(request, "Status: 200\r\n\r\n");
      machine.app.end(request, 0, 0, true);
    };
    return machine.feed([begun(1, options)]);
  }

  it("hands the input on until it ends", () => {
    const machine = readingOn().feed([stdinRecords(1, "body")]);
    expect(machine.events.slice(2)).toEqual(['stdin 1 "body"', "stdin-end 1"]);
    expect(machine.state).toBe("open 0, served 1");
    machine.feed([stdinRecords(1, "more"), abortRecord(1)]);
    expect(machine.events).toHaveLength(4);
  });

  it("works when the answer comes after a part of the input", () => {
    const machine = recorder({}, begun(), stdinRecords(1, "one", OPEN));
    machine.app.end(machine.requests.get(1)!, 0, 0, true);
    machine.feed([stdinRecords(1, " two")]);
    expect(machine.events.slice(2)).toEqual(['stdin 1 "one two"', "stdin-end 1"]);
  });

  it("hears of both ends of a filter", () => {
    const machine = readingOn({ role: 3, keepConn: true }).feed([stdinRecords(1, "q"), dataRecords(1, "f")]);
    expect(machine.events.slice(2)).toEqual(['stdin 1 "q"', "stdin-end 1", 'data 1 "f"', "data-end 1"]);
  });

  it("hears that an authorizer has no input", () => {
    const machine = readingOn({ role: 2, keepConn: true });
    expect(machine.events.slice(2)).toEqual(["stdin-end 1"]);
    expect(machine.state).toBe("open 0, served 1");
  });

  it("ends with an abort when the web server aborts, loses the connection or begins the id again", () => {
    const aborted = readingOn().feed([abortRecord(1)]);
    const lost = readingOn();
    lost.app.lose(LOST);
    const begunAgain = readingOn().feed([begun(1)]);
    for (const machine of [aborted, lost])
      expect(machine.events.slice(2)).toEqual(["abort 1 ERR_POSTERN_ABORTED"]);
    expect(begunAgain.events[2]).toBe("abort 1 ERR_POSTERN_ABORTED");
    expect(begunAgain.events[3]).toBe("request 1 responder keep");
    for (const machine of [aborted, lost]) {
      const before = machine.events.length;
      machine.app.lose(LOST);
      expect(machine.events).toHaveLength(before);
    }
  });

  it("survives a connection lost while it is told that the id was begun again", () => {
    const machine = readingOn();
    machine.onEvent = () => machine.app.lose(LOST);
    machine.feed([begun(1)]);
    expect(machine.events.slice(2)).toEqual(["abort 1 ERR_POSTERN_ABORTED"]);
    expect(machine.app.openRequests).toBe(0);
  });

  it("hears of a connection lost inside onRequest", () => {
    const machine = new AppRecorder();
    machine.onEvent = (event, request) => {
      if (!event.startsWith("request")) return;
      machine.app.end(request, 0, 0, true);
      machine.app.lose(LOST);
    };
    machine.feed([begun(1)]);
    expect(machine.events.slice(2)).toEqual(["abort 1 ERR_POSTERN_ABORTED"]);
  });
});

describe("the request as the application sees it", () => {
  it("knows its id, role and keep-conn, and whether its input has ended", () => {
    const machine = recorder({}, begun(513, { role: 3, keepConn: true }));
    const request = machine.requests.get(513)!;
    expect([request.id, request.role, request.keepConn]).toEqual([513, 3, true]);
    expect([request.inputEnded, request.isGone]).toEqual([false, false]);
    machine.feed([stdinRecords(513)]);
    expect(request.inputEnded).toBe(false);
    machine.feed([dataRecords(513)]);
    expect(request.inputEnded).toBe(true);
    machine.answer(request);
    expect(request.isGone).toBe(true);
  });

  it("keeps its parameters when the memory they came in is written over", () => {
    const bytes = begun();
    for (let at = 1; at < bytes.length; at++) {
      const socket = Buffer.alloc(bytes.length);
      const machine = new AppRecorder();
      for (const part of [bytes.subarray(0, at), bytes.subarray(at)]) {
        part.copy(socket);
        machine.app.receive(socket.subarray(0, part.length));
        socket.fill(0x58);
      }
      expect([...machine.requests.get(1)!.params]).toEqual([["A", "b"]]);
    }
  });

  it("cannot be made to pollute prototypes", () => {
    const params = { __proto__x: "y" };
    const bytes = Buffer.concat([
      beginRecord(1),
      rawRecord(
        4,
        1,
        encodePairs([["__proto__", "evil"], ["constructor", "evil"], ...Object.entries(params)]),
      ),
      rawRecord(4, 1),
    ]);
    const object = recorder({}, bytes).requests.get(1)!.params.toObject();
    expect(Object.keys(object)).toEqual(["__proto__", "constructor", "__proto__x"]);
    expect(({} as Record<string, unknown>)["evil"]).toBeUndefined();
  });
});

describe("the answer", () => {
  function answered(write: (app: AppConnection, request: AppRequest) => void): AppRecorder {
    const machine = recorder({}, begun());
    const request = machine.requests.get(1)!;
    write(machine.app, request);
    machine.app.end(request, 3, 0);
    return machine;
  }

  it("closes STDOUT before END_REQUEST, however it was written", () => {
    const writes: ((app: AppConnection, request: AppRequest) => void)[] = [
      (app, request) => app.writeHead(request, "x"),
      (app, request) => app.writeText(request, "x", "utf8"),
      (app, request) => app.writeBytes(request, Buffer.from("x")),
    ];
    for (const write of writes) {
      expect(answered(write).answers).toEqual([
        'STDOUT 1 "x"',
        "STDOUT 1 end",
        "END_REQUEST 1 app 3 complete",
      ]);
    }
  });

  it("closes STDERR too if there was any (FastCGI 1.0 §3.3, as libfcgi does)", () => {
    const both = answered((app, request) => {
      app.writeHead(request, "x");
      app.writeStderr(request, "é\n");
    });
    expect(both.answers).toEqual([
      'STDOUT 1 "x"',
      'STDERR 1 "\\u00c3\\u00a9\\n"',
      "STDOUT 1 end",
      "STDERR 1 end",
      "END_REQUEST 1 app 3 complete",
    ]);
  });

  it("is END_REQUEST alone when nothing was written", () => {
    expect(answered(() => {}).answers).toEqual(["END_REQUEST 1 app 3 complete"]);
  });

  it("refuses a header block that fits in no record", () => {
    const machine = recorder({}, begun());
    const request = machine.requests.get(1)!;
    expect(() => machine.app.writeHead(request, "x".repeat(65529))).toThrow(RangeError);
    machine.answer(request, "x".repeat(65528));
    expect(answerOf(machine.output).stdout).toHaveLength(65528);
  });
});

describe("what a connection says of itself", () => {
  it("is answering from the first byte of STDOUT of any request to its END_REQUEST", () => {
    const machine = recorder({}, begun(1), begun(3));
    const request = machine.requests.get(3)!;
    machine.app.writeStderr(request, "no answer\n");
    expect(machine.app.isAnswering).toBe(false);
    machine.app.writeText(request, "x", "utf8");
    expect(machine.app.isAnswering).toBe(true);
    machine.app.end(request, 0, 0);
    expect(machine.app.isAnswering).toBe(false);
  });

  it("is receiving input until that of every request has ended", () => {
    const machine = recorder({}, begun(1), begun(3));
    expect(machine.app.requests.isReceivingInput).toBe(true);
    machine.answer(machine.requests.get(1)!);
    machine.feed([stdinRecords(3)]);
    expect(machine.app.requests.isReceivingInput).toBe(true);
    machine.feed([stdinRecords(1)]);
    expect(machine.app.requests.isReceivingInput).toBe(false);
  });
});

describe("a connection that is told to finish", () => {
  it("is finished at once when it is idle", () => {
    const machine = recorder({ answers: "at input end" }, begun(), stdinRecords(1));
    expect(machine.app.isFinished).toBe(false);
    machine.app.finish();
    expect(machine.app.isFinished).toBe(true);
  });

  it("serves the requests that have begun, and begins no other once they are over", () => {
    const machine = recorder({ answers: "at input end" }, begun(1), beginRecord(3, { keepConn: true }));
    machine.app.finish();
    machine.feed([stdinRecords(1), paramsRecords(3, {})]);
    expect([machine.app.openRequests, machine.app.isFinished]).toEqual([1, false]);
    machine.feed([stdinRecords(3), begun(5)]);
    expect(machine.state).toBe("open 0, served 2, multiplexes, finished");
  });

  it("awaits the rest of a body that was answered long before it was told", () => {
    const machine = recorder({ answers: "at once" }, begun(), stdinRecords(1, "part", OPEN));
    machine.app.finish();
    expect([machine.app.isFinished, machine.app.awaitsInput]).toEqual([true, true]);
    machine.feed([stdinRecords(1, "rest")]);
    expect(machine.app.awaitsInput).toBe(false);
  });
});

describe("a peer that is too slow", () => {
  const page = ["Status: 408\r\n\r\n", "too slow"] as const;
  const slow = new RemoteProtocolError("ERR_POSTERN_RECORD_TIMEOUT", "too slow", "connection");
  const answer = (id: number): string[] => [
    `STDOUT ${id} "Status: 408\\r\\n\\r\\ntoo slow"`,
    `STDOUT ${id} end`,
    `END_REQUEST ${id} app 0 complete`,
  ];

  it("gets a page for every request that waits for it: in PARAMS, in STDIN, refused", () => {
    const early = Buffer.concat([beginRecord(5), stdinRecords(5, "early", OPEN)]);
    const machine = recorder({}, beginRecord(1), begun(3), early);
    machine.app.timeOut(slow, ...page);
    expect(machine.answers).toEqual([...answer(1), ...answer(3), ...answer(5)]);
    expect(machine.events.slice(2)).toEqual(["abort 3 ERR_POSTERN_RECORD_TIMEOUT"]);
    expect(machine.app.openRequests).toBe(0);
  });

  it("gets none where the answer has begun, the input is complete, or it is over", () => {
    const machine = recorder({}, begun(1), begun(3), stdinRecords(3), begun(5, { keepConn: false }));
    machine.app.writeHead(machine.requests.get(1)!, "Status: 200\r\n\r\n");
    machine.answer(machine.requests.get(5)!);
    const before = machine.answers;
    machine.app.timeOut(slow, ...page);
    expect(machine.answers).toEqual(before);
    expect(machine.app.openRequests).toBe(2);
  });
});

describe("limits", () => {
  it("count open requests, not those whose input is still awaited", () => {
    const machine = new AppRecorder({ limits: { maxRequests: 3 } });
    machine.onEvent = (event, request) => {
      if (event !== "request 9") machine.answer(request);
    };
    machine.feed([begun(9)]);
    for (let id = 10; id < 1000; id++) machine.feed([begun(id, { keepConn: id % 2 === 0 })]);
    expect(machine.error).toBeUndefined();
    expect(machine.app.servedRequests).toBe(990);
    expect(machine.events.some((event) => event.startsWith("refuse"))).toBe(false);
  });

  it("tell whoever still reads the input of an ended request when its place is needed", () => {
    const machine = new AppRecorder({ limits: { maxRequests: 2 } });
    machine.onEvent = (event, request) => {
      if (event.startsWith("request")) machine.app.end(request, 0, 0, true);
    };
    machine.feed([1, 2, 3, 4, 5].map((id) => begun(id)));
    const aborts = machine.events.filter((event) => event.startsWith("abort"));
    expect(aborts).toEqual([1, 2, 3, 4].map((id) => `abort ${id} ERR_POSTERN_ABORTED`));
    machine.feed([stdinRecords(5, "x")]);
    expect(machine.events.slice(-2)).toEqual(['stdin 5 "x"', "stdin-end 5"]);
  });

  it("hold while thousands of requests are begun and none is completed", () => {
    const machine = new AppRecorder({ limits: { maxRequests: 50 } });
    for (let id = 1; machine.error === undefined && id < 65536; id++) machine.feed([beginRecord(id)]);
    expect(machine.error).toMatchObject({ code: "ERR_POSTERN_TOO_MANY_REQUESTS", scope: "connection" });
    expect(machine.app.openRequests).toBe(100);
  });

  it("let requests in again when others have ended", () => {
    const machine = recorder({ limits: { maxRequests: 1 } }, begun(1), begun(2));
    expect(machine.events.at(-1)).toBe("refuse 2 ERR_POSTERN_TOO_MANY_REQUESTS request");
    machine.answer(machine.requests.get(1)!);
    machine.answer(machine.requests.get(2)!);
    expect(machine.feed([begun(3)]).events.slice(-2)).toEqual([
      "request 3 responder keep",
      'param 3 "A" = "b"',
    ]);
  });

  it("answer one GET_VALUES for each asked, however many", () => {
    const machine = recorder({}, ...Array.from({ length: 1000 }, () => getValuesRecord(["FCGI_MPXS_CONNS"])));
    expect(machine.answers).toEqual(Array(1000).fill('GET_VALUES_RESULT 0 "FCGI_MPXS_CONNS" = "1"'));
  });
});

describe("work is proportional to bytes", () => {
  const app = (): AppConnection =>
    new AppConnection(
      {
        onRequest: (request) => {
          expect(request.params.get("N")).toHaveLength(262_139);
          const nothing = (): void => {};
          return {
            onStdin: nothing,
            onStdinEnd: nothing,
            onData: nothing,
            onDataEnd: nothing,
            onAbort: nothing,
          };
        },
        onRefuse: () => expect.unreachable(),
      },
      new RecordWriter(new SlabPool()),
      { maxParamsBytes: 262_145, maxParams: 10, maxRequests: 1, maxConnections: 1 },
    );
  const params = encodePairs([["N", "v".repeat(262_139)]]);
  const crumbs = Buffer.concat(Array.from(params, (byte) => rawRecord(4, 1, Buffer.from([byte]))));

  it("reads a quarter of a million PARAMS records of one byte in linear time", () => {
    // Quadratic copying would move 34 gigabytes.
    const connection = app();
    connection.receive(beginRecord(1));
    const start = performance.now();
    connection.receive(crumbs);
    connection.receive(rawRecord(4, 1));
    expect(performance.now() - start).toBeLessThan(3000);
    expect(connection.openRequests).toBe(1);
  });

  it("does not hold more than a few times the bytes of PARAMS that came in crumbs", () => {
    const connection = app();
    connection.receive(beginRecord(1));
    const before = heapAfterGc();
    connection.receive(crumbs);
    const held = heapAfterGc() - before;
    expect(connection.isPartial).toBe(true);
    // A string added up of 262144 pieces would take 8 MB.
    expect(held).toBeLessThan(2_000_000);
  });

  it("reads STDIN records of one byte quickly", () => {
    const connection = app();
    connection.receive(Buffer.concat([beginRecord(1), streamRecords(TYPE.PARAMS, 1, params)]));
    const chunk = Buffer.concat(Array.from({ length: 5000 }, () => rawRecord(5, 1, "x", 7)));
    const start = performance.now();
    for (let i = 0; i < 40; i++) connection.receive(chunk);
    expect(performance.now() - start).toBeLessThan(3000);
  });

  it("finds parameters in a string of very many pairs", () => {
    const many = Array.from({ length: 20_000 }, (_, at) => [`N${at}`, `${at}`] as const);
    expect(Params.from(many).get("N19999")).toBe("19999");
  });
});

function heapAfterGc(): number {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  gc();
  return process.memoryUsage().heapUsed;
}
