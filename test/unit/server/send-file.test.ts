import { describe, expect, it } from "vitest";
import { parseOffloadFolder, printOffloadFolder } from "../../../src/base/offload-folder.ts";
import { resolveOptions } from "../../../src/server/options.ts";

describe("the option sendFile", () => {
  it("is off by default", () => {
    expect(resolveOptions({}).sendFile).toBeUndefined();
    expect(resolveOptions({ sendFile: [] }).sendFile).toBeUndefined();
  });

  it("names folders for nginx and for the others, inner ones first", () => {
    const given = ["/var/files=/protected", "/srv/a/", "/srv/a/b", "/var/files/deep=/deep/"];
    expect(resolveOptions({ sendFile: given }).sendFile).toEqual({
      accel: [
        { folder: "/var/files/deep", url: "/deep/" },
        { folder: "/var/files", url: "/protected/" },
      ],
      plain: [
        { folder: "/srv/a/b", url: undefined },
        { folder: "/srv/a", url: undefined },
      ],
    });
  });

  it("takes a folder relative to where the program runs", () => {
    expect(resolveOptions({ sendFile: "files" }).sendFile?.plain[0]?.folder).toBe(`${process.cwd()}/files`);
  });

  it.each([
    [""],
    ["/"],
    ["/=/x/"],
    ["/files=/a b/"],
    ["/files=/a%20b/"],
    ["/files=/a?b"],
    ["/files=//host/"],
    ["a\nb"],
    [7],
  ])("refuses %j", (value) => {
    expect(() => resolveOptions({ sendFile: value as string })).toThrow(
      /option sendFile: .* it must be a folder such as \/var\/files/,
    );
  });

  it("is printed as it is written", () => {
    for (const text of ["/var/files", "/var/files=/protected/", "/a=b"]) {
      expect(printOffloadFolder(parseOffloadFolder(text)!)).toBe(text);
    }
  });
});
