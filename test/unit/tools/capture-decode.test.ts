/** The recordings of real web servers, decoded: everything that their sidecars say must come out. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { decode } from "../../../src/tools/capture/decode.ts";
import { sideOf } from "../../../src/tools/capture/read.ts";
import { foldRecord, type SidecarRecord, sidecarRequest } from "../../../src/tools/capture/sidecar.ts";
import { type Capture, describeCaptures, listCaptures } from "../../support/captures.ts";
import { patience } from "../../support/wait.ts";

/** The fields that both have, of every connection of a recording. */
function compare(capture: Capture): void {
  for (const connection of capture.sidecar().fcgi_connections) {
    const bytes = capture.bytes(connection);
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(connection.sha256);
    expect(sideOf(bytes)).toBe("web server");
    const decoded = decode({
      name: connection.file,
      webServer: bytes,
      application: undefined,
      steps: [],
      isRedacted: false,
      endedBy: undefined,
      cut: undefined,
      connection: undefined,
    });
    const [direction] = decoded.directions;
    const where = `${capture.name} ${connection.file}`;
    expect(direction?.broken, where).toBeUndefined();
    expect(direction?.bytes, where).toBe(connection.bytes);
    const blanks = connection.records.filter(({ type }) => String(type) === "0");
    expect(direction?.blanks.length, where).toBe(blanks.length);
    const records: SidecarRecord[] = [];
    for (const record of direction?.records ?? []) foldRecord(records, record);
    expect(records, where).toEqual(withoutBlanks(connection.records));
    const requests = decoded.requests.map(sidecarRequest);
    expect(
      requests.map(({ answer, ending, ...request }) => request),
      where,
    ).toEqual(connection.requests);
  }
}

/** Equal records on both sides of eight zero bytes (Cherokee's) are neighbours then. */
function withoutBlanks(records: readonly SidecarRecord[]): SidecarRecord[] {
  const list: SidecarRecord[] = [];
  for (const { type, id, len, pad, repeat = 1 } of records) {
    if (String(type) === "0") continue;
    const last = list.at(-1);
    const isSame = last?.type === type && last.id === id && last.len === len && last.pad === pad;
    if (last !== undefined && isSame) last.repeat = (last.repeat ?? 1) + repeat;
    else list.push({ type, id, len, pad, ...(repeat > 1 && { repeat }) });
  }
  return list;
}

describeCaptures("decoding a recording", () => {
  const captures = listCaptures();
  it("finds recordings of all web servers", () => {
    expect(captures.length).toBeGreaterThan(2500);
  });

  const folders = [...new Set(captures.map(({ folder }) => folder))];
  describe.each(folders)("of %s", (folder) => {
    it(
      "gives the records, parameters, bodies and aborts that its sidecar names",
      () => {
        for (const capture of captures) if (capture.folder === folder) compare(capture);
      },
      patience(60_000),
    );
  });
});
