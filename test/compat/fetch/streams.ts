/** Bodies on their way out, as streams. */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import { waitFor } from "../../support/wait.ts";
import type { Subject } from "./subject.ts";

export function streamTests(subject: Subject): void {
  subject.test("is sent piece by piece, as it comes", async () => {
    const visit = await subject.visit("streams/pieces");
    const client = await visit.open();
    await client.waitForText(/first /);
    await visit.go();
    expect((await client.nextResponse()).body.toString()).toBe("first second");
    client.close();
  });

  subject.test("lets the head go before the first piece is there", async () => {
    const visit = await subject.visit("streams/head-first");
    const client = await visit.open();
    await client.waitForText(/x-own: early/i);
    await visit.go();
    expect((await client.nextResponse()).body.toString()).toBe("at last");
    client.close();
  });

  subject.test("may be a stream of bytes", async () => {
    const visit = await subject.visit("streams/bytes");
    expect((await visit.fetch()).text).toBe("piece 3 piece 2 piece 1 ");
  });

  subject.test("may be empty", async () => {
    const visit = await subject.visit("streams/empty");
    expect(await visit.fetch()).toMatchObject({ status: 200, text: "" });
  });

  subject.test("may be large", async () => {
    const visit = await subject.visit("streams/large");
    const { body } = await visit.fetch({ timeoutMs: 40_000 });
    const piece = Buffer.from(Array.from({ length: 65536 }, (_, at) => at % 251));
    const hash = createHash("sha256");
    for (let left = 800; left > 0; left--) hash.update(piece);
    expect(createHash("sha256").update(body).digest("hex")).toBe(hash.digest("hex"));
  });

  subject.test("may be large and there at once", async () => {
    const visit = await subject.visit("streams/large-at-once");
    const { body } = await visit.fetch({ timeoutMs: 40_000 });
    expect([body.length, body.every((byte) => byte === 7)]).toEqual([50 * 1024 * 1024, true]);
  });

  for (const scenario of ["fails-at-once", "fails-at-first-pull", "wrong-pieces"]) {
    subject.test(`never looks whole when it breaks before the first piece: ${scenario}`, async () => {
      const visit = await subject.visit(`streams/${scenario}`);
      const client = await visit.open();
      // A 500, a response cut off, or a closed connection: node:http leaves the choice to the server.
      const isRefused = (): boolean => /^HTTP\/1.1 5\d\d /.test(client.text());
      await waitFor(() => client.ended ?? isRefused(), { what: "a failure", evidence: client.text });
      if (!isRefused()) expect(client.text()).not.toMatch(/\r\n0\r\n\r\n$/);
      client.close();
    });
  }

  subject.test("is cancelled when it gives something else than bytes", async () => {
    const visit = await subject.visit("streams/wrong-pieces");
    const client = await visit.open();
    await visit.until(["cancelled", "TypeError"]);
    client.close();
  });

  subject.test("may give text, which is sent as UTF-8", async () => {
    const visit = await subject.visit("streams/text-pieces");
    expect((await visit.fetch()).text).toBe("text bytes é");
  });

  subject.test("never looks whole when it breaks in the middle", async () => {
    const visit = await subject.visit("streams/fails-later");
    const client = await visit.open();
    await visit.until("sent a part");
    await client.waitForText(/a part/);
    await visit.go();
    const { status, complete } = await client.nextResponse();
    expect([status, complete]).toEqual([200, false]);
    client.close();
  });

  subject.test("may be an async generator", async () => {
    const visit = await subject.visit("streams/generator");
    expect((await visit.fetch()).text).toBe("one two three");
  });

  subject.test("returns the generator when the client goes away", async () => {
    const visit = await subject.visit("streams/endless-generator");
    const client = await visit.open();
    await client.waitForText(/^HTTP\/1.1 200/);
    client.reset();
    await visit.until("returned");
  });

  subject.test("is cancelled with a reason when the client goes away", async () => {
    const visit = await subject.visit("streams/cancelled");
    const client = await visit.open();
    await client.waitForText(/^HTTP\/1.1 200/);
    client.reset();
    await visit.until(["cancelled", true]);
  });

  subject.test("is cancelled when the client goes away while it is silent", async () => {
    const visit = await subject.visit("streams/silent-cancelled");
    const client = await visit.open();
    await client.waitForText(/here it stops/);
    client.reset();
    await visit.until("cancelled");
  });

  subject.test("is pulled no faster than the client reads", async () => {
    const visit = await subject.visit("streams/slow-client");
    const client = await visit.open();
    client.pause();
    const other = await subject.visit("streams/generator");
    for (let turn = 0; turn < 20; turn++) expect((await other.fetch()).text).toBe("one two three");
    await visit.go();
    const [note] = (await waitFor(() => visit.notes()[0] !== undefined && visit.notes(), {
      what: "how much was pulled",
    })) as [string, number][];
    // 125 MiB in all; buffers of the kernel and of the web server hold a few.
    expect(note?.[1]).toBeLessThan(800);
    expect(note?.[1]).toBeGreaterThan(0);
    client.resume();
    client.close();
  });

  subject.test("carries events one by one", async () => {
    const visit = await subject.visit("streams/events");
    const client = await visit.open();
    await client.waitForText(/data: 1/);
    await visit.go();
    const answer = await client.nextResponse();
    expect([answer.header("content-type"), answer.body.toString()]).toEqual([
      ["text/event-stream"],
      "data: 1\n\ndata: 2\n\n",
    ]);
    client.close();
  });
}
