import { describe, expect, it } from "vitest";
import { AppRecorder } from "../../support/app-recorder.ts";
import { feedEveryWay } from "../../support/feed.ts";
import { decodeRecords, rawRecord } from "../../support/records.ts";
import { loadVectors, type Vector } from "../../support/vectors.ts";

/** A record of a request that never began, and the start of another: neither may change what came before. */
const TRAILING = Buffer.concat([rawRecord(5, 0xfffe, "late", 3), Buffer.from([1, 5, 0xff])]);

function check(vector: Vector): void {
  // Bytes behind a vector that ends inside a record would be taken for the rest of it.
  const endsWhole = vector.state === undefined || decodeRecords(vector.bytes).rest.length === 0;
  const options = endsWhole ? { trailing: TRAILING } : {};
  feedEveryWay(
    vector.bytes,
    ({ chunks, trailingBytes }) => {
      const recorder = new AppRecorder(vector.options).feed(chunks);
      const trails = trailingBytes > 0 && recorder.error === undefined;
      const state = recorder.error === undefined ? recorder.state : undefined;
      const got = { events: recorder.events, output: recorder.answers, state: trails ? whole(state) : state };
      expect(got).toEqual({
        events: vector.events,
        output: vector.output,
        state: trails ? whole(vector.state) : vector.state,
      });
      if (trails) expect(recorder.app.isPartial).toBe(true);
    },
    options,
  );
}

/** The state without "partial", which trailing bytes make of any. */
function whole(state: string | undefined): string | undefined {
  return state?.replace(", partial", "");
}

describe("valid vectors mean the same however they are cut", () => {
  it.each(loadVectors("valid").map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    expect(vector.events.some((event) => event.startsWith("error "))).toBe(false);
    check(vector);
  });
});

describe("invalid vectors end in the same error however they are cut", () => {
  it.each(loadVectors("invalid").map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    expect(vector.events.at(-1)).toMatch(/^error ERR_POSTERN_[A-Z_]+ connection$/);
    check(vector);
  });
});
