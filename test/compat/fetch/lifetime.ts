/** The ends of requests: the client that leaves, work after the answer, what is kept in memory. */
import { expect } from "vitest";
import { waitFor } from "../../support/wait.ts";
import type { Subject } from "./subject.ts";

export function lifetimeTests(subject: Subject): void {
  subject.test(
    "aborts the signal with an AbortError when the client goes away before the answer",
    async () => {
      const visit = await subject.visit("lifetime/abort");
      const client = await visit.open();
      await visit.until("waiting");
      client.close();
      await visit.until(["aborted", true, true, "AbortError"]);
    },
  );

  subject.test("aborts the signal when the client goes away in the middle of the answer", async () => {
    const visit = await subject.visit("lifetime/abort-in-the-middle");
    const client = await visit.open();
    await client.waitForText(/a part/);
    client.reset();
    await visit.until("aborted");
  });

  subject.test("aborts the signals of everything made of the request", async () => {
    const visit = await subject.visit("lifetime/abort-of-clone");
    const client = await visit.open();
    await visit.until("waiting");
    client.close();
    await visit.until("all aborted");
  });

  subject.test("ends a fetch that was given the signal", async () => {
    const visit = await subject.visit("lifetime/abort-of-fetch");
    const client = await visit.open();
    await visit.until("inner waiting");
    client.close();
    await visit.until(["outer failed", "AbortError"]);
    await visit.until("inner aborted");
  });

  subject.test("does not abort the signal of a request that was answered", async () => {
    const visit = await subject.visit("lifetime/not-aborted");
    expect((await visit.fetch()).text).toBe("whole");
    await visit.go();
    expect(await visit.until(["aborted?", false])).toEqual([["aborted?", false]]);
  });

  subject.test("works on after the answer with waitUntil", async () => {
    const visit = await subject.visit("lifetime/wait-until");
    expect((await visit.fetch()).text).toBe("at once");
    expect(visit.notes()).toEqual([]);
    await visit.go();
    await visit.until("done");
  });

  subject.test("logs what fails in waitUntil, and serves on", async () => {
    const visit = await subject.visit("lifetime/wait-until-fails");
    expect((await visit.fetch()).text).toBe("all the same");
    const { app } = await subject.site;
    await waitFor(() => app.output().includes("failed behind the answer"), {
      what: "the failure in the output",
      evidence: app.output,
    });
    expect(app.stdout()).not.toContain("note unhandled");
  });

  subject.test("keeps no aborted request in memory", async () => {
    for (let count = 0; count < 20; count++) {
      const visit = await subject.visit("lifetime/kept");
      const client = await visit.open();
      await visit.until("waiting");
      client.close();
      await visit.until("aborted");
    }
    const visit = await subject.visit("lifetime/still-kept");
    const [all, alive] = JSON.parse((await visit.fetch()).text) as [number, number];
    expect(all).toBe(20);
    // The last ones may still be on a stack somewhere.
    expect(alive).toBeLessThan(5);
  });
}
