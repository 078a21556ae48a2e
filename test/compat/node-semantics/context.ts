/** Context that is kept, channels that are published, failures of listeners. */
import { expect } from "vitest";
import type { Subject } from "./subject.ts";

export function contextTests(subject: Subject): void {
  subject.sees("AsyncLocalStorage is kept through awaits, callbacks and events", "context-kept", {
    request: { body: "abc" },
    notes: [["await own", "close own", "ended own", "finish own", "write own"]],
  });
  subject.test("a store that one request enters is not there for the next", async () => {
    for (let n = 0; n < 3; n++) {
      const visit = await subject.visit("context-entered");
      await visit.fetch();
      expect(await visit.until("done")).toEqual(["none", true, "done"]);
    }
  });
  subject.sees("a listener runs in an async context of its own", "context-id", { notes: [true] });
  subject.test("diagnostics_channel: request.start and response.finish", async () => {
    const visit = await subject.visit("channels");
    await visit.fetch();
    const notes = (await visit.until("done")) as (string | unknown[])[];
    // response.created exists since Node 22.12; it comes first where it does.
    const others = notes.filter((note) => note[0] !== "response.created");
    expect(others).toEqual([
      ["request.start", true, true, true, true],
      ["response.finish", true, true, true, true],
      "done",
    ]);
    for (const note of notes)
      if (note[0] === "response.created") expect(note).toEqual(["response.created", true, true]);
  });
  subject.sees("who wraps Server.prototype.emit sees the request", "instrumented", { notes: [true] });
  for (const [what, scenario, code] of [
    ["a listener throws", "throws", "THROWN"],
    ["the promise of a listener is rejected", "rejects", "REJECTED"],
  ] as const) {
    subject.test(`'uncaughtException' when ${what}`, async () => {
      const visit = await subject.visit(scenario);
      const client = await visit.open();
      await visit.until("done");
      await visit.untilUncaught(code);
      client.close();
    });
  }
  subject.test("'uncaughtException' when something throws later, and the request goes on", async () => {
    const visit = await subject.visit("throws-later");
    const answer = await visit.fetch();
    expect(answer.text).toBe("ok\n");
    await visit.untilUncaught("TIMER");
  });
  subject.test("'uncaughtException' when a 'finish' listener throws, and the answer is whole", async () => {
    const visit = await subject.visit("throws-in-finish");
    const answer = await visit.fetch();
    expect(answer.text).toBe("whole\n");
    await visit.untilUncaught("FINISH");
  });
  subject.test("work goes on after the answer", async () => {
    const visit = await subject.visit("works-on");
    expect((await visit.fetch()).text).toBe("answered\n");
    await visit.go();
    expect(await visit.until("done")).toEqual(["worked on after the answer", "done"]);
  });
  subject.sees("request and response are emitters like any other", "own-events", { notes: [42, 1, true] });
}
