/** The Fetch-semantics suite: one set of expectations for every way to run the application. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bodyTests } from "./body.ts";
import { lifetimeTests } from "./lifetime.ts";
import { requestTests } from "./request.ts";
import { responseTests } from "./response.ts";
import { streamTests } from "./streams.ts";
import { Subject, type Target } from "./subject.ts";

/** Declares the tests for one target. */
export function fetchSemantics(target: Target): void {
  const subject = new Subject(target);
  describe(`compat | Fetch semantics | ${target.name}`, () => {
    beforeAll(async () => void (await subject.site), 60_000);
    afterAll(() => subject.stop(), 30_000);
    describe("the request", () => requestTests(subject));
    describe("its body", () => bodyTests(subject));
    describe("the response", () => responseTests(subject));
    describe("its body as a stream", () => streamTests(subject));
    describe("lifetime", () => lifetimeTests(subject));
  });
  test(`every exclusion of ${target.name} from the Fetch semantics names a test`, () => {
    expect(subject.staleExclusions).toEqual([]);
  });
}
