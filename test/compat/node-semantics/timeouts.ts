/** setTimeout on request, response and socket. */
import { expect } from "vitest";
import type { Subject, Variant } from "./subject.ts";

export function timeoutTests(subject: Subject): void {
  subject.sees("res.setTimeout: 'timeout' with the socket, and the response lives on", "timeout-response", {
    notes: [true, ["event", true], "callback", false],
    status: 503,
    text: "late\n",
  });
  subject.test("req.setTimeout: 'timeout' while the body is not whole", async () => {
    const visit = await subject.visit("timeout-request");
    const client = await visit.open("POST", "Content-Length: 10\r\nConnection: close\r\n");
    await client.send("part");
    const answer = await client.nextResponse();
    client.close();
    expect(answer.status).toBe(408);
    expect(await visit.until("done")).toEqual([true, [false, false], "done"]);
  });
  subject.sees("the 'timeout' of a whole request goes to the response", "timeout-request-complete", {
    notes: ["response"],
    text: "ok\n",
  });
  dropped(subject, "a socket's own timeout listener does not keep the socket", "timeout-socket", [
    true,
    true,
  ]);
  dropped(subject, "a timeout that nobody hears of destroys the socket", "timeout-unheard", [
    "req aborted",
    [true, false],
  ]);
  dropped(
    subject,
    "the server's 'timeout' listener decides",
    "timeout-server",
    [[true, false]],
    "configured",
  );
  subject.test("server.timeout holds for every connection that comes", async () => {
    await (await subject.visit("timeout-set", "configured", "&ms=30")).fetch();
    const visit = await subject.visit("timeout-inherited", "configured");
    const answer = await visit.fetch();
    await (await subject.visit("timeout-set", "configured", "&ms=0")).fetch();
    expect(answer.text).toBe("timed out\n");
    expect(await visit.until("done")).toEqual([30, "done"]);
  });
  subject.sees("setTimeout(0) takes it off", "timeout-off", { notes: [5, 0], text: "ok\n" });
  subject.sees("no timeout after the end", "timeout-over", { notes: [true], text: "ok\n" });
}

function dropped(
  subject: Subject,
  name: string,
  scenario: string,
  expected: readonly unknown[],
  variant: Variant = "plain",
): void {
  subject.test(name, async () => {
    const visit = await subject.visit(scenario, variant);
    const client = await visit.open();
    expect(await visit.until("done")).toEqual([...expected, "done"]);
    client.close();
  });
}
