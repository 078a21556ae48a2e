/** Who may reach a file: computed from mode bits, on a disk of the test's own making. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Disk, forbids, openWay, walk, walkAndAsk } from "../../../../src/tools/doctor/access.ts";
import { identityOf, ownIdentity } from "../../../../src/tools/doctor/identity.ts";
import type { Identity } from "../../../../src/tools/doctor/model.ts";
import { temporaryFolder } from "../../../support/temp.ts";
import { serverUser } from "../../../support/web-servers/web-server.ts";

const DIRECTORY = 0o040000;
const LINK = 0o120000;
const web: Identity = { name: "web", uid: 33, gids: [33, 50] };

/** Paths with mode, owner and group; a link has its target. */
function disk(
  files: Readonly<Record<string, readonly [mode: number, uid: number, gid: number, target?: string]>>,
): Disk {
  const all = { "/": [DIRECTORY | 0o755, 0, 0] as const, ...files };
  return {
    lstat: (path) => {
      const found = (all as typeof files)[path];
      if (found === undefined) return undefined;
      const [mode, uid, gid] = found;
      return {
        mode,
        uid,
        gid,
        isDirectory: () => (mode & 0o170000) === DIRECTORY,
        isSymbolicLink: () => (mode & 0o170000) === LINK,
      };
    },
    readlink: (path) => files[path]![3]!,
  };
}

describe("the way to a file", () => {
  it("is open when every folder may be entered and the file be used", () => {
    const way = walk(
      "/srv/app.sock",
      web,
      ["w"],
      disk({ "/srv": [DIRECTORY | 0o711, 0, 0], "/srv/app.sock": [0o140660, 0, 33] }),
    );
    expect(way).toMatchObject({ obstacle: undefined, missing: undefined });
    expect(way.steps).toEqual([
      "drwxr-xr-x root root /",
      "drwx--x--x root root /srv",
      expect.stringMatching(/^srw-rw---- root \S+ \/srv\/app\.sock$/),
    ]);
  });

  it("is stopped by the first folder that may not be entered, and names the others too", () => {
    const way = walk(
      "/home/a/app.js",
      web,
      ["r"],
      disk({
        "/home": [DIRECTORY | 0o755, 0, 0],
        "/home/a": [DIRECTORY | 0o750, 7, 7],
        "/home/a/app.js": [0o100600, 7, 7],
      }),
    );
    expect(way.obstacle).toMatchObject({ path: "/home/a", need: "x", isFolder: true });
    expect(forbids(way.obstacle!)).toBe("may not enter the folder /home/a");
    expect(openWay(way.obstacles, web)).toEqual([
      { run: "chmod o+x /home/a" },
      { run: "chmod o+r /home/a/app.js" },
    ]);
  });

  it("is judged by one class only: an owner without the bit is not helped by what others may", () => {
    const files = disk({ "/own": [DIRECTORY | 0o077, 33, 0], "/group": [DIRECTORY | 0o707, 0, 50] });
    expect(openWay(walk("/own", web, ["x"], files).obstacles, web)).toEqual([{ run: "chmod u+x /own" }]);
    expect(openWay(walk("/group", web, ["x"], files).obstacles, web)).toEqual([{ run: "chmod g+x /group" }]);
  });

  it("follows links, whose targets have folders of their own", () => {
    const files = disk({
      "/run": [DIRECTORY | 0o755, 0, 0],
      "/run/app.sock": [LINK | 0o777, 0, 0, "../secret/app.sock"],
      "/secret": [DIRECTORY | 0o700, 0, 0],
      "/secret/app.sock": [0o140666, 0, 0],
    });
    const way = walk("/run/app.sock", web, ["w"], files);
    expect(way.obstacle?.path).toBe("/secret");
    expect(way.steps).toContain("/run/app.sock -> /secret/app.sock");
  });

  it("ends where something is missing, and says what", () => {
    expect(walk("/srv/x/app.sock", web, ["w"], disk({ "/srv": [DIRECTORY | 0o755, 0, 0] })).missing).toBe(
      "/srv/x",
    );
  });

  it("is open for root, who still cannot execute what nobody may", () => {
    const root: Identity = { name: "root", uid: 0, gids: [0] };
    const files = disk({ "/locked": [DIRECTORY, 7, 7], "/locked/run": [0o100644, 7, 7] });
    expect(walk("/locked/run", root, ["r", "w"], files).obstacle).toBeUndefined();
    expect(walk("/locked/run", root, ["x"], files).obstacle?.path).toBe("/locked/run");
  });
});

describe("a real disk", () => {
  it.runIf(serverUser())("stops the web server's user where the system does", async () => {
    const folder = join(temporaryFolder("a"), "locked");
    mkdirSync(folder);
    writeFileSync(join(folder, "app.js"), "");
    const user = await identityOf("www-data");
    expect((await walkAndAsk(join(folder, "app.js"), user, ["r"])).obstacle).toBeUndefined();
    chmodSync(folder, 0o700);
    expect((await walkAndAsk(join(folder, "app.js"), user, ["r"])).obstacle?.path).toBe(folder);
  });

  it("knows who asks", async () => {
    expect(await ownIdentity()).toMatchObject({ uid: process.getuid?.() });
  });
});
