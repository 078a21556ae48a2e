import { once } from "node:events";
import { expect, it } from "vitest";
import { deadline } from "../../../../src/tools/doctor/deadline.ts";
import { run } from "../../../support/process.ts";
import { scriptArguments } from "../../../support/typescript.ts";

it("ends after its time, or with the first signal, whose reason it has", async () => {
  const late = deadline(1);
  await once(late, "abort");
  expect((late.reason as Error).name).toBe("TimeoutError");
  const ended = new AbortController();
  const both = deadline(60_000, new AbortController().signal, ended.signal);
  expect(both.aborted).toBe(false);
  ended.abort("why");
  expect(both.reason).toBe("why");
  expect(deadline(60_000, ended.signal).reason).toBe("why");
});

it("ends when memory is collected meanwhile", async () => {
  const script = scriptArguments(`
    const { deadline } = await load("tools/doctor/deadline.ts");
    const wait = () => {
      const signal = deadline(100, deadline(60_000, new AbortController().signal));
      return new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    };
    const ended = wait();
    gc();
    const stays = setTimeout(() => {}, 60_000);
    await ended;
    clearTimeout(stays);
    process.stdout.write("ended");
  `);
  const { stdout, stderr } = await run(process.execPath, ["--expose-gc", ...script], { timeoutMs: 30_000 });
  expect([stdout, stderr]).toEqual(["ended", ""]);
});
