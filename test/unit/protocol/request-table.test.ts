import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppRequest, GONE, RUNNING } from "../../../src/protocol/app-request.ts";
import { Role } from "../../../src/protocol/records.ts";
import { RequestTable } from "../../../src/protocol/request-table.ts";

describe("the table of requests", () => {
  it("holds what a Map would hold, in the same order, however requests come and go", () => {
    const ids = fc.integer({ min: 1, max: 4 });
    const step = fc.oneof(
      { arbitrary: fc.record({ add: ids }), weight: 8 },
      { arbitrary: fc.record({ delete: ids }), weight: 4 },
      { arbitrary: fc.record({ clear: fc.constant(true) }), weight: 1 },
    );
    const sizes = new Set<number>();
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const table = new RequestTable();
        const model = new Map<number, AppRequest>();
        for (const step of steps) {
          if ("add" in step) {
            if (model.has(step.add)) continue;
            const request = new AppRequest(step.add, Role.Responder, true);
            table.add(request);
            model.set(step.add, request);
          } else if ("delete" in step) {
            table.delete(step.delete);
            model.delete(step.delete);
          } else {
            table.clear();
            model.clear();
          }
          sizes.add(model.size);
          expect(table.size).toBe(model.size);
          const found = table.all();
          expect(found.map(({ id }) => id)).toEqual([...model.keys()]);
          for (const id of [1, 2, 3, 4]) expect(table.get(id)).toBe(model.get(id));
        }
      }),
    );
    expect(sizes).toContain(3); // or this has shown nothing
  });

  it("answers for the last of several requests as for the only one", () => {
    for (const count of [1, 2, 3]) {
      const table = new RequestTable();
      for (let id = 1; id <= count; id++) {
        const request = new AppRequest(id, Role.Responder, true);
        request.state = RUNNING;
        request.stdinEnded = true;
        table.add(request);
      }
      const last = table.get(count)!;
      expect([table.isReceivingInput, table.isAnswering, table.awaitsInput]).toEqual([false, false, false]);
      last.stdinEnded = false;
      last.hasStdout = true;
      expect([table.isReceivingInput, table.isAnswering, table.awaitsInput]).toEqual([true, true, false]);
      last.state = GONE;
      expect([table.isReceivingInput, table.isAnswering, table.awaitsInput]).toEqual([true, false, true]);
    }
  });
});
