/** FastCGI 1.0 §3.4, §5.2: name-value pairs and the stream that carries them. */
import type { Pair } from "./bytes.ts";
import { Broken, holds } from "./model.ts";
import type { Probe } from "./probe.ts";
import type { Statement } from "./statement.ts";

export const pairStatements: readonly Statement[] = [
  {
    id: "3.4-long-lengths",
    section: "§3.4",
    level: "must",
    statement: "Lengths below 128 may be written in four bytes",
    async run(probe) {
      await probe.same({ long: true });
      return holds(sight(probe));
    },
  },
  {
    id: "3.4-lengths",
    section: "§3.4",
    level: "must",
    statement: "Names and values of 127, 128 and 129 bytes are read",
    async run(probe) {
      for (const length of [127, 128, 129]) {
        // In front, so that a wrong length spoils what follows.
        const pairs: Pair[] = [
          ["HTTP_X_VALUE", "v".repeat(length)],
          [`HTTP_${"N".repeat(length - 5)}`, "v"],
        ];
        await unchanged(probe, pairs);
      }
      return holds(sight(probe));
    },
  },
  {
    id: "3.4-large-value",
    section: "§3.4",
    level: "must",
    statement: "A value may be longer than a record: 70000 bytes",
    async run(probe) {
      await unchanged(probe, [["HTTP_X_LARGE", "v".repeat(70_000)]]);
      return holds(sight(probe));
    },
  },
  {
    id: "3.4-empty-value",
    section: "§3.4",
    level: "must",
    statement: "A value may be empty",
    async run(probe) {
      await unchanged(probe, [
        ["HTTP_X_EMPTY", ""],
        ["HTTP_X_EMPTY_TOO", ""],
      ]);
      return holds(sight(probe));
    },
  },
  {
    id: "3.4-empty-name",
    section: "§3.4",
    level: "should",
    statement: "A pair with an empty name does no harm",
    async run(probe) {
      await unchanged(probe, [["", "nameless"]]);
      await unchanged(probe, [["", ""]]);
      return holds(sight(probe));
    },
  },
  {
    id: "5.2-divided",
    section: "§5.2",
    level: "must",
    statement: "Pairs may be divided over PARAMS records anywhere",
    async run(probe) {
      for (const recordBytes of [1, 2, 5, 17, 64]) await probe.same({ recordBytes });
      return holds(sight(probe));
    },
  },
  {
    id: "5.2-order",
    section: "§5.2",
    level: "must",
    statement: "Pairs come in no particular order",
    async run(probe) {
      await probe.same({ arrange: (pairs) => [...pairs].reverse() });
      await probe.same({ arrange: (pairs) => [...pairs].sort(([one], [two]) => (one < two ? -1 : 1)) });
      return holds(sight(probe));
    },
  },
  {
    id: "5.2-many",
    section: "§5.2",
    level: "must",
    statement: "There may be many pairs: 200 headers",
    async run(probe) {
      const pairs = Array.from({ length: 200 }, (_, at): Pair => [`HTTP_X_${at}`, `value ${at}`]);
      await unchanged(probe, pairs);
      return holds(sight(probe));
    },
  },
  {
    id: "5.2-none",
    section: "§5.2",
    level: "must",
    statement: "A request without a single pair is ended like any other",
    async run(probe) {
      const wire = await probe.open();
      wire.send(probe.bytes({ arrange: () => [] }));
      const { end } = await probe.end(wire);
      return holds(`app status ${end!.appStatus}, protocolStatus ${end!.protocolStatus}`);
    },
  },
];

/**
 * These parameters change nothing, in front of the others, where a mistake in reading them would spoil what follows: the
 * status is that of the request without them, the answer that of the request with them at its end.
 */
async function unchanged(probe: Probe, pairs: readonly Pair[]): Promise<void> {
  const without = await probe.plain({});
  const behind = await probe.plain({ extra: pairs });
  const arrange = (all: readonly Pair[]): readonly Pair[] => [...pairs, ...all];
  const wire = await probe.open();
  wire.send(probe.bytes({ arrange }));
  await probe.sameOn(wire, { arrange }, behind);
  if (behind.status !== without.status) {
    throw new Broken(`the status is ${behind.status}, but ${without.status} without them`, wire.evidence());
  }
  wire.destroy();
}

function sight(probe: Probe): string {
  return probe.facts.isStable ? "" : "answers differ by themselves: only their status was compared";
}
