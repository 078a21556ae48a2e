import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RemoteProtocolError } from "../../../src/base/errors.ts";
import { AppConnection, type AppSink } from "../../../src/protocol/app-connection.ts";
import type { AppRequest } from "../../../src/protocol/app-request.ts";
import { encodeParams, type Params } from "../../../src/protocol/params.ts";
import { RecordWriter, SlabPool } from "../../../src/protocol/record-writer.ts";
import { ProtocolStatus, Role } from "../../../src/protocol/records.ts";
import { type AnswerSink, WebConnection, type WebRequest } from "../../../src/protocol/web-connection.ts";
import { cutAt, feedEveryWay, randomCuts, seededRandom } from "../../support/feed.ts";
import { encodePairs, rawRecord, summary, TYPE } from "../../support/records.ts";

const GET = encodeParams([["REQUEST_METHOD", "GET"]]);

/** Notes what an answer consists of, neighbouring pieces of a stream merged. */
class Recorder implements AnswerSink {
  readonly events: string[] = [];
  error: Error | undefined = undefined;

  onStdout(chunk: Buffer, start: number, end: number): void {
    this.#piece("stdout", chunk.toString("latin1", start, end));
  }
  onStdoutEnd(): void {
    this.events.push("stdout end");
  }
  onStderr(chunk: Buffer, start: number, end: number): void {
    this.#piece("stderr", chunk.toString("latin1", start, end));
  }
  onEnd(appStatus: number, protocolStatus: number): void {
    this.events.push(`end ${appStatus} ${protocolStatus}`);
  }
  onError(error: Error): void {
    this.error = error;
    this.events.push(`error ${(error as RemoteProtocolError).code} ${(error as RemoteProtocolError).scope}`);
  }
  #piece(stream: string, text: string): void {
    const last = this.events.at(-1);
    if (last?.startsWith(`${stream} <`)) this.events[this.events.length - 1] = last + text;
    else this.events.push(`${stream} <${text}`);
  }
}

class Web {
  readonly values: (Params | undefined)[] = [];
  readonly writer: RecordWriter = new RecordWriter(new SlabPool());
  readonly machine: WebConnection;
  constructor(maxRequests?: number) {
    this.machine = new WebConnection(
      { onValues: (values) => this.values.push(values) },
      this.writer,
      maxRequests,
    );
  }
  sent(): Buffer {
    const bytes = Buffer.concat(this.writer.take());
    this.writer.recycle(true);
    return bytes;
  }
  begin(sink: AnswerSink, role: Role = Role.Responder, keepConn = true): WebRequest {
    const request = this.machine.begin(role, keepConn, GET, sink);
    this.machine.endStdin(request);
    return request;
  }
  /** Receives as a connection does: what is thrown ends every request. */
  receive(...chunks: Buffer[]): Error | undefined {
    try {
      for (const chunk of chunks) this.machine.receive(chunk);
    } catch (error) {
      this.machine.lose(error as Error);
      return error as Error;
    }
    return undefined;
  }
}

const end = (id = 1, appStatus = 0, protocolStatus = 0): Buffer => {
  const body = Buffer.alloc(8);
  body.writeUInt32BE(appStatus);
  body[4] = protocolStatus;
  return rawRecord(TYPE.END_REQUEST, id, body);
};

describe("what a web server sends", () => {
  it("begins with BEGIN_REQUEST, PARAMS and the end of PARAMS", () => {
    const web = new Web();
    const request = web.machine.begin(Role.Responder, true, GET, new Recorder());
    expect(summary(web.sent())).toEqual(["BEGIN_REQUEST 1 (8)", `PARAMS 1 (${GET.length})`, "PARAMS 1 (0)"]);
    expect(request.isOpen && web.machine.isReusable).toBe(true);
  });

  it("says role and KEEP_CONN in BEGIN_REQUEST", () => {
    const web = new Web(2);
    web.machine.begin(Role.Filter, true, GET, new Recorder());
    expect([...web.sent().subarray(8, 16)]).toEqual([0, 3, 1, 0, 0, 0, 0, 0]);
    web.machine.begin(Role.Authorizer, false, GET, new Recorder());
    expect([...web.sent().subarray(8, 16)]).toEqual([0, 2, 0, 0, 0, 0, 0, 0]);
    expect(web.machine.isReusable).toBe(false);
  });

  it("splits PARAMS beyond one record at 65528 bytes, inside a pair", () => {
    const web = new Web();
    web.machine.begin(Role.Responder, true, encodeParams([["A", "x".repeat(70_000)]]), new Recorder());
    expect(summary(web.sent())).toEqual([
      "BEGIN_REQUEST 1 (8)",
      "PARAMS 1 (65528)",
      "PARAMS 1 (4478)",
      "PARAMS 1 (0)",
    ]);
  });

  it("sends STDIN, then DATA for a filter, each with its end, and nothing after", () => {
    const web = new Web();
    const request = web.machine.begin(Role.Filter, true, GET, new Recorder());
    web.sent();
    web.machine.writeStdin(request, Buffer.from("in"));
    web.machine.endStdin(request, false);
    web.machine.writeStdin(request, Buffer.from("late"));
    web.machine.endStdin(request);
    expect(request.inputEnded).toBe(false);
    web.machine.writeData(request, Buffer.from("data"));
    web.machine.endData(request);
    web.machine.endData(request);
    web.machine.writeData(request, Buffer.from("late"));
    expect(summary(web.sent())).toEqual(["STDIN 1 (2)", "STDIN 1 (0)", "DATA 1 (4)", "DATA 1 (0)"]);
    expect(request.inputEnded).toBe(true);
  });

  it("gives each request the lowest free id and refuses one beyond its limit", () => {
    const web = new Web(2);
    const first = new Recorder();
    expect(web.begin(first).id).toBe(1);
    expect(web.begin(new Recorder()).id).toBe(2);
    expect(web.machine.hasRoom).toBe(false);
    expect(() => web.begin(new Recorder())).toThrow(/2 requests are open/);
    web.receive(end(1));
    expect(web.begin(new Recorder()).id).toBe(1);
    expect(web.machine.openRequests).toBe(2);
  });

  it("aborts with ABORT_REQUEST and keeps the id taken until END_REQUEST", () => {
    const web = new Web(2);
    const recorder = new Recorder();
    const request = web.begin(recorder);
    web.sent();
    web.machine.abort(request);
    web.machine.abort(request);
    web.machine.writeStdin(request, Buffer.from("late"));
    expect(summary(web.sent())).toEqual(["ABORT_REQUEST 1 (0)"]);
    expect(web.begin(new Recorder()).id).toBe(2);
    web.receive(
      rawRecord(TYPE.STDOUT, 1, "still"),
      rawRecord(TYPE.STDOUT, 1),
      rawRecord(TYPE.STDERR, 1, "e"),
      end(1),
    );
    expect(recorder.events).toEqual([]);
    expect(web.machine.openRequests).toBe(1);
    expect(web.machine.isReusable).toBe(false);
  });
});

describe("what an application answers", () => {
  const answer = Buffer.concat([
    rawRecord(TYPE.STDOUT, 1, "Status: 200 OK\r\n\r\n", 255),
    rawRecord(TYPE.STDERR, 1, "oops", 1),
    rawRecord(TYPE.STDOUT, 1, "hello", 7),
    rawRecord(TYPE.STDERR, 1),
    rawRecord(TYPE.STDOUT, 1),
    rawRecord(TYPE.STDOUT, 1), // some end it twice
    end(1, 0x80000001, 2),
  ]);

  it("arrives the same however it is cut", () => {
    feedEveryWay(answer, ({ chunks }) => {
      const web = new Web();
      const recorder = new Recorder();
      const request = web.begin(recorder);
      expect(web.receive(...chunks)).toBeUndefined();
      expect(recorder.events).toEqual([
        "stdout <Status: 200 OK\r\n\r\n",
        "stderr <oops",
        "stdout <hello",
        "stdout end",
        "end 2147483649 2",
      ]);
      expect(request.isOpen).toBe(false);
      expect(web.machine.isPartial).toBe(false);
      expect(web.machine.isReusable).toBe(true);
    });
  });

  it("leaves the connection in doubt when it ends before our input has", () => {
    const web = new Web();
    web.machine.begin(Role.Responder, true, GET, new Recorder());
    web.receive(end());
    expect(web.machine.isReusable).toBe(false);
  });

  it("may be interleaved with others", () => {
    const web = new Web(3);
    const recorders = [new Recorder(), new Recorder(), new Recorder()];
    for (const recorder of recorders) web.begin(recorder);
    const bytes = [3, 1, 2, 1, 3].map((id) => rawRecord(TYPE.STDOUT, id, `${id}`));
    web.receive(...bytes, end(2), end(3), end(1));
    expect(recorders.map((recorder) => recorder.events)).toEqual([
      ["stdout <11", "end 0 0"],
      ["stdout <2", "end 0 0"],
      ["stdout <33", "end 0 0"],
    ]);
  });

  it("fails when the connection is lost, once", () => {
    const web = new Web();
    const recorder = new Recorder();
    web.begin(recorder);
    web.receive(rawRecord(TYPE.STDOUT, 1, "half").subarray(0, 9));
    expect(web.machine.isPartial).toBe(true);
    web.machine.lose(new RemoteProtocolError("ERR_POSTERN_RESPONSE_CUT", "gone", "connection"));
    web.machine.lose(new Error("again"));
    expect(recorder.events).toEqual(["stdout <h", "error ERR_POSTERN_RESPONSE_CUT connection"]);
  });
});

describe("an application that breaks the protocol", () => {
  const fatal: readonly (readonly [string, Buffer, string])[] = [
    ["a wrong version", rawRecord(TYPE.STDOUT, 1, "x", 0, 2), "ERR_POSTERN_RECORD_VERSION"],
    ["an id that is not open", rawRecord(TYPE.STDOUT, 2, "x"), "ERR_POSTERN_REQUEST_ID"],
    ["STDOUT with id 0", rawRecord(TYPE.STDOUT, 0, "x"), "ERR_POSTERN_REQUEST_ID"],
    [
      "anything after END_REQUEST",
      Buffer.concat([end(), rawRecord(TYPE.STDOUT, 1, "x")]),
      "ERR_POSTERN_REQUEST_ID",
    ],
    ["a second END_REQUEST", Buffer.concat([end(), end()]), "ERR_POSTERN_REQUEST_ID"],
    ["END_REQUEST of 7 bytes", rawRecord(TYPE.END_REQUEST, 1, "1234567"), "ERR_POSTERN_RECORD_BODY"],
    ["END_REQUEST without content", rawRecord(TYPE.END_REQUEST, 1), "ERR_POSTERN_RECORD_BODY"],
    ["GET_VALUES_RESULT unasked", rawRecord(TYPE.GET_VALUES_RESULT, 0), "ERR_POSTERN_RECORD_BODY"],
    [
      "UNKNOWN_TYPE unasked",
      rawRecord(TYPE.UNKNOWN_TYPE, 0, "\x0c\0\0\0\0\0\0\0"),
      "ERR_POSTERN_RECORD_BODY",
    ],
    ...[1, 2, 4, 5, 8, 9, 12, 255].map((type) => {
      return [`a record of type ${type}`, rawRecord(type, 1, "12345678"), "ERR_POSTERN_RECORD_BODY"] as const;
    }),
  ];

  it.each(fatal)("%s ends the connection", (_name, bytes, code) => {
    feedEveryWay(bytes, ({ chunks }) => {
      const web = new Web();
      const recorder = new Recorder();
      web.begin(recorder);
      const error = web.receive(...chunks) as RemoteProtocolError;
      expect(error).toBeInstanceOf(RemoteProtocolError);
      expect([error.code, error.scope]).toEqual([code, "connection"]);
      expect(recorder.events).toHaveLength(1);
    });
  });

  it.each([
    ["STDOUT after its end", [rawRecord(TYPE.STDOUT, 1), rawRecord(TYPE.STDOUT, 1, "xx")]],
    ["STDERR after its end", [rawRecord(TYPE.STDERR, 1), rawRecord(TYPE.STDERR, 1, "xx")]],
    ["an unknown protocol status", [end(1, 0, 4)]],
  ])("%s fails that request alone", (_name, records) => {
    const web = new Web(2);
    const [broken, sibling] = [new Recorder(), new Recorder()];
    web.begin(broken);
    web.begin(sibling);
    web.sent();
    expect(web.receive(...records, rawRecord(TYPE.STDOUT, 2, "fine"), end(2))).toBeUndefined();
    expect(broken.events.at(-1)).toBe("error ERR_POSTERN_RECORD_BODY request");
    expect(sibling.events).toEqual(["stdout <fine", "end 0 0"]);
    expect(summary(web.sent())).toContain("ABORT_REQUEST 1 (0)");
    expect(web.machine.isReusable).toBe(false);
  });

  it("never raises anything but RemoteProtocolError, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, asked) => {
        const web = new Web(2);
        web.begin(new Recorder());
        if (asked) web.machine.getValues(["FCGI_MAX_CONNS"]);
        const error = web.receive(Buffer.from([1, ...bytes]));
        if (error !== undefined) expect(error).toBeInstanceOf(RemoteProtocolError);
      }),
    );
  });
});

describe("GET_VALUES", () => {
  it("asks, and hands over the answer", () => {
    const web = new Web();
    web.machine.getValues(["FCGI_MAX_CONNS", "FCGI_MPXS_CONNS"]);
    expect(summary(web.sent())).toEqual(["GET_VALUES 0 (33)"]);
    expect(() => web.machine.getValues([])).toThrow(/already under way/);
    const answer = rawRecord(TYPE.GET_VALUES_RESULT, 0, encodePairs({ FCGI_MPXS_CONNS: "1" }), 5);
    feedEveryWay(answer, ({ chunks }) => {
      const asked = new Web();
      asked.machine.getValues(["FCGI_MPXS_CONNS"]);
      expect(asked.receive(...chunks)).toBeUndefined();
      expect(asked.values[0]?.get("FCGI_MPXS_CONNS")).toBe("1");
    });
  });

  it("may ask for nothing and be answered with nothing", () => {
    const web = new Web();
    web.machine.getValues([]);
    expect(summary(web.sent())).toEqual(["GET_VALUES 0 (0)"]);
    web.receive(rawRecord(TYPE.GET_VALUES_RESULT, 0));
    expect(web.values[0]?.size).toBe(0);
  });

  it("refuses more names than one record holds", () => {
    const web = new Web();
    expect(() => web.machine.getValues(["x".repeat(70_000)])).toThrow(RangeError);
  });

  it("takes UNKNOWN_TYPE for an answer: the application does not know GET_VALUES", () => {
    const web = new Web();
    web.machine.getValues(["FCGI_MAX_CONNS"]);
    web.receive(rawRecord(TYPE.UNKNOWN_TYPE, 0, "\x09\0\0\0\0\0\0\0"));
    expect(web.values).toEqual([undefined]);
  });

  it.each([
    [
      "UNKNOWN_TYPE for another type",
      rawRecord(TYPE.UNKNOWN_TYPE, 0, "\x0c\0\0\0\0\0\0\0"),
      "ERR_POSTERN_RECORD_BODY",
    ],
    [
      "an answer that is cut",
      rawRecord(TYPE.GET_VALUES_RESULT, 0, "\x09\x09x"),
      "ERR_POSTERN_PARAMS_MALFORMED",
    ],
    ["an answer with a request id", rawRecord(TYPE.GET_VALUES_RESULT, 1), "ERR_POSTERN_RECORD_BODY"],
  ])("%s ends the connection", (_name, bytes, code) => {
    const web = new Web();
    web.machine.getValues(["FCGI_MAX_CONNS"]);
    expect((web.receive(bytes) as RemoteProtocolError).code).toBe(code);
  });
});

/** The application's machine, echoing what it gets. */
class Echo implements AppSink {
  readonly writer: RecordWriter = new RecordWriter(new SlabPool());
  readonly machine: AppConnection = new AppConnection(this, this.writer, {
    maxParamsBytes: 1 << 20,
    maxParams: 1000,
    maxRequests: 10,
    maxConnections: 10,
  });
  aborted = 0;

  onRequest(request: AppRequest): ReturnType<AppSink["onRequest"]> {
    const { machine } = this;
    machine.writeHead(request, `Status: 200 OK\r\nX-Method: ${request.params.get("REQUEST_METHOD")}\r\n\r\n`);
    const finish = (): void => {
      machine.writeStderr(request, "done");
      machine.end(request, 7, ProtocolStatus.RequestComplete);
    };
    const echo = (chunk: Buffer, start: number, stop: number): void =>
      machine.writeBytes(request, Buffer.from(chunk.subarray(start, stop)));
    return {
      onStdin: echo,
      onStdinEnd: () => {
        if (request.role !== Role.Filter) finish();
      },
      onData: echo,
      onDataEnd: finish,
      onAbort: () => this.aborted++,
    };
  }
  onRefuse(): void {
    throw new Error("nothing here is refused");
  }
  sent(): Buffer {
    const bytes = Buffer.concat(this.writer.take());
    this.writer.recycle(true);
    return bytes;
  }
}

describe("back to back with the application's machine", () => {
  const exchange = (web: Web, echo: Echo, random: () => number): void => {
    for (const chunk of randomCuts(web.sent(), random)) echo.machine.receive(chunk);
    expect(web.receive(...randomCuts(echo.sent(), random))).toBeUndefined();
  };

  it("every body comes back, however both directions are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.uint8Array({ maxLength: 100 }), fc.constantFrom(1, 10, 700)), {
          minLength: 1,
          maxLength: 5,
        }),
        fc.constantFrom(Role.Responder, Role.Authorizer, Role.Filter),
        fc.integer(),
        (bodies, role, seed) => {
          const random = seededRandom(seed);
          const [web, echo] = [new Web(bodies.length), new Echo()];
          const recorders = bodies.map(([piece, times]) => {
            const recorder = new Recorder();
            const body = Buffer.concat(Array.from({ length: times }, () => piece));
            const request = web.machine.begin(role, true, GET, recorder);
            for (const chunk of cutAt(body, [1, 20_000])) web.machine.writeStdin(request, chunk);
            web.machine.endStdin(request, role !== Role.Filter);
            if (role === Role.Filter) web.machine.endData(request);
            return { recorder, body };
          });
          exchange(web, echo, random);
          for (const { recorder, body } of recorders) {
            expect(recorder.events).toEqual([
              `stdout <Status: 200 OK\r\nX-Method: GET\r\n\r\n${role === Role.Authorizer ? "" : body.toString("latin1")}`, // an authorizer has no STDIN
              ...(recorder.events[1] === "stdout end"
                ? ["stdout end", "stderr <done"]
                : ["stderr <done", "stdout end"]),
              "end 7 0",
            ]);
          }
          expect(web.machine.openRequests).toBe(0);
          expect(web.machine.isReusable).toBe(true);
        },
      ),
    );
  });

  it("an abort reaches the application, and its end frees the id", () => {
    const [web, echo] = [new Web(), new Echo()];
    const request = web.machine.begin(Role.Responder, true, GET, new Recorder());
    exchange(web, echo, seededRandom(1));
    web.machine.abort(request);
    exchange(web, echo, seededRandom(2));
    expect(echo.aborted).toBe(1);
    expect(web.machine.openRequests).toBe(0);
  });

  it("GET_VALUES is answered", () => {
    const [web, echo] = [new Web(), new Echo()];
    web.machine.getValues(["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "NONSENSE"]);
    exchange(web, echo, seededRandom(3));
    expect(web.values[0]?.toObject()).toEqual({
      FCGI_MAX_CONNS: "10",
      FCGI_MAX_REQS: "10",
      FCGI_MPXS_CONNS: "1",
    });
  });
});
