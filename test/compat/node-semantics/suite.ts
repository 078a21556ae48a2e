/** The Node-semantics suite: one set of expectations for every way to run the application. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bodyTests } from "./body.ts";
import { configuredTests } from "./configured.ts";
import { contextTests } from "./context.ts";
import { endingTests } from "./endings.ts";
import { headTests } from "./head.ts";
import { headerTests } from "./headers.ts";
import { requestTests } from "./request.ts";
import { streamTests } from "./streams.ts";
import { Subject, type Target } from "./subject.ts";
import { timeoutTests } from "./timeouts.ts";
import { writeTests } from "./write.ts";

/** Declares the tests for one target. */
export function nodeSemantics(target: Target): void {
  const subject = new Subject(target);
  describe(`compat | Node semantics | ${target.name}`, () => {
    beforeAll(
      async () => void (await Promise.all([subject.site("plain"), subject.site("configured")])),
      60_000,
    );
    afterAll(() => subject.stop(), 30_000);
    describe("headers", () => headerTests(subject));
    describe("status and head", () => headTests(subject));
    describe("writing", () => writeTests(subject));
    describe("endings", () => endingTests(subject));
    describe("the request", () => requestTests(subject));
    describe("its body", () => bodyTests(subject));
    describe("streams", () => streamTests(subject));
    describe("timeouts", () => timeoutTests(subject));
    describe("context and failures", () => contextTests(subject));
    describe("options of http.Server", () => configuredTests(subject));
  });
  test(`every exclusion of ${target.name} names a test`, () => {
    expect(subject.staleExclusions).toEqual([]);
  });
}
