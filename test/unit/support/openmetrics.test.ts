/** The reader of metrics that the tests rely on refuses what the specification forbids. */
import { describe, expect, it } from "vitest";
import { readOpenMetrics } from "../../support/openmetrics.ts";

describe("the reader of OpenMetrics", () => {
  it("reads a family of each type", () => {
    const text = `# TYPE a counter
# HELP a What\\n it \\\\ is.
a_total{x="1\\"2",y=""} 3
# TYPE b_seconds histogram
# UNIT b_seconds seconds
b_seconds_bucket{le="0.5"} 1
b_seconds_bucket{le="+Inf"} 2
b_seconds_count 2
b_seconds_sum 1.5e0
# TYPE c info
c_info{v="1"} 1
# EOF
`;
    const families = readOpenMetrics(text);
    expect(families.get("a")).toMatchObject({
      help: "What\n it \\ is.",
      samples: [{ labels: { x: '1"2', y: "" }, value: 3 }],
    });
    expect([...families.keys()]).toEqual(["a", "b_seconds", "c"]);
  });

  it.each([
    ["no end", "# TYPE a gauge\na 1\n"],
    ["something after the end", "# TYPE a gauge\na 1\n# EOF\na 2\n"],
    ["an empty line", "# TYPE a gauge\n\na 1\n# EOF\n"],
    ["a sample of no family", "a 1\n# EOF\n"],
    ["a counter without _total", "# TYPE a counter\na 1\n# EOF\n"],
    [
      "a family in two places",
      '# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na{x="1"} 1\n# EOF\n',
    ],
    ["a sample twice", "# TYPE a gauge\na 1\na 1\n# EOF\n"],
    ["a label twice", '# TYPE a gauge\na{x="1",x="2"} 1\n# EOF\n'],
    ["a quote in a label", '# TYPE a gauge\na{x="1"2"} 1\n# EOF\n'],
    ["a comma too many", '# TYPE a gauge\na{x="1",} 1\n# EOF\n'],
    ["a number that is none", "# TYPE a gauge\na one\n# EOF\n"],
    ["two blanks", "# TYPE a gauge\na  1\n# EOF\n"],
    ["a negative counter", "# TYPE a counter\na_total -1\n# EOF\n"],
    ["a unit that is not in the name", "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n"],
    ["a histogram without +Inf", '# TYPE a histogram\na_bucket{le="1.0"} 1\na_count 1\na_sum 1\n# EOF\n'],
    [
      "a histogram that falls",
      '# TYPE a histogram\na_bucket{le="1.0"} 2\na_bucket{le="+Inf"} 1\na_count 1\na_sum 1\n# EOF\n',
    ],
  ])("refuses %s", (_, text) => {
    expect(() => readOpenMetrics(text)).toThrow();
  });
});
