/** The metrics of a manager and its pools, as Prometheus reads them. */
import { describe, expect, it } from "vitest";
import { managerMetrics, poolMetrics } from "../../../src/status/metrics.ts";
import { phpFpmStatusPage } from "../../../src/status/php-fpm.ts";
import { readDocument, tableRows } from "../../support/markdown.ts";
import { type ReadFamily, readOpenMetrics } from "../../support/openmetrics.ts";
import { examplePool, exampleSnapshot, exampleWorker, NOW } from "./example.ts";

/** `name{label=value}` → value, of every sample. */
function valuesOf(families: ReadonlyMap<string, ReadFamily>): Record<string, number> {
  return Object.fromEntries(
    [...families.values()].flatMap(({ samples }) =>
      samples.map(({ name, labels, value }) => [
        `${name}${Object.entries(labels)
          .map(([label, text]) => ` ${label}=${text}`)
          .join("")}`,
        value,
      ]),
    ),
  );
}

describe("metrics", () => {
  it("of a pool are what its snapshot says", () => {
    const values = valuesOf(readOpenMetrics(poolMetrics([examplePool()])));
    expect(values).toMatchObject({
      "postern_requests_total pool=web": 51_204,
      "postern_responses_total pool=web class=2xx": 50_900,
      "postern_responses_total pool=web class=none": 3,
      "postern_sent_bytes_total pool=web": 734_003_200,
      "postern_request_duration_seconds_bucket pool=web le=0.01": 40_310,
      "postern_request_duration_seconds_bucket pool=web le=1.0": 51_190,
      "postern_request_duration_seconds_bucket pool=web le=+Inf": 51_202,
      "postern_request_duration_seconds_count pool=web": 51_202,
      "postern_request_duration_seconds_sum pool=web": 1843.25,
      "postern_active_requests pool=web": 2,
      "postern_listen_queue pool=web": 0,
      "postern_total_processes pool=web": 3,
      "postern_processes pool=web state=starting": 1,
      "postern_max_processes pool=web": 8,
      "postern_slow_requests_total pool=web": 2,
      "postern_loop_delay_seconds pool=web": 0.012,
    });
  });

  it("of a manager have each family once, with all pools in it", () => {
    const families = readOpenMetrics(managerMetrics(exampleSnapshot()));
    expect(families.get("postern_requests")?.samples.map(({ labels }) => labels["pool"])).toEqual([
      "web",
      "mail",
    ]);
    expect(families.get("postern")?.samples[0]?.labels).toMatchObject({ name: "yourapplication" });
    expect(families.get("postern_last_reload_failed")?.samples).toMatchObject([{ value: 0 }]);
  });

  it("keep their form whatever a pool is called, and leave out what is not known", () => {
    const worker = exampleWorker({
      loopDelayMs: undefined,
      loopUtilisation: undefined,
      concurrency: undefined,
    });
    const pool = examplePool({ name: 'a"\\\nb', listenQueue: undefined, workers: [worker] });
    const families = readOpenMetrics(poolMetrics([pool]));
    expect(families.get("postern_requests")?.samples[0]?.labels).toEqual({ pool: 'a"\\\nb' });
    expect(families.has("postern_listen_queue")).toBe(false);
    expect(families.has("postern_loop_delay_seconds")).toBe(false);
  });

  it("are what the status page answers to ?openmetrics", () => {
    const { text, contentType } = phpFpmStatusPage(examplePool(), NOW, "openmetrics");
    expect(text).toBe(poolMetrics([examplePool()]));
    expect(contentType).toBe("application/openmetrics-text; version=1.0.0");
  });

  it("are all in docs/observing.md, and no others are", () => {
    const families = readOpenMetrics(managerMetrics(exampleSnapshot()));
    const names = [...families].flatMap(([name, { type }]) =>
      type === "counter" ? [`${name}_total`] : type === "info" ? [`${name}_info`] : [name],
    );
    const [, section = ""] = readDocument("docs/observing.md").text.split("\n### What is measured\n");
    const documented = tableRows(section.split("\n#")[0] ?? "").map(
      ([cell = ""]) => /`(\w+)/.exec(cell)?.[1] ?? "",
    );
    expect(documented.filter((name) => name !== "").sort()).toEqual(names.sort());
  });
});
