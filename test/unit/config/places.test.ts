/** Where things are, and what they are called after. */
import { tmpdir } from "node:os";
import { expect, it } from "vitest";
import {
  absolute,
  absoluteAddress,
  isAllowedClient,
  nameOfFolder,
  runFolder,
} from "../../../src/config/places.ts";

it.each([
  [
    "POSTERN_RUN_DIR before everything",
    { POSTERN_RUN_DIR: "/srv/run", XDG_RUNTIME_DIR: "/run/user/0" },
    0,
    "/srv/run",
  ],
  ["/run/postern for root", { XDG_RUNTIME_DIR: "/run/user/0" }, 0, "/run/postern"],
  ["XDG_RUNTIME_DIR for a user", { XDG_RUNTIME_DIR: "/run/user/7" }, 7, "/run/user/7/postern"],
  ["a folder among the temporary files for a user without", { TMPDIR: "/var/tmp" }, 7, "/var/tmp/postern-7"],
  ["the system's temporary files when nothing is said", {}, 7, `${tmpdir()}/postern-7`],
])("the run folder is %s", (_, env, uid, folder) => {
  expect(runFolder(env, uid)).toBe(folder);
});

it.each([
  ["/srv/blog", "blog"],
  ["/srv/blog/current", "blog"],
  ["/srv/blog/dist/src", "blog"],
  ["/srv/my blog!", "my-blog-"],
  ["/srv/.hidden", "hidden"],
  ["/", "postern"],
  ["/src", "postern"],
  [`/srv/${"n".repeat(60)}`, "n".repeat(40)],
])("%s suggests the name %s", (folder, name) => {
  expect(nameOfFolder(folder)).toBe(name);
});

it("a relative path is made absolute from its folder, and only a unix address has one", () => {
  expect(absolute("app.js", "/srv/blog")).toBe("/srv/blog/app.js");
  expect(absolute("/app.js", "/srv/blog")).toBe("/app.js");
  expect(absoluteAddress({ kind: "unix", path: "../a.sock" }, "/srv/blog")).toEqual({
    kind: "unix",
    path: "/srv/a.sock",
  });
  const tcp = { kind: "tcp", host: "", port: 1 } as const;
  expect(absoluteAddress(tcp, "/srv")).toBe(tcp);
});

it.each([
  "any",
  "10.0.0.5",
  "10.0.0.0/8",
  "0.0.0.0/0",
  "::1",
  "fe80::/10",
  "::ffff:10.0.0.1",
  "255.255.255.255/32",
])("%s can be who may connect", (text) => {
  expect(isAllowedClient(text)).toBe(true);
});

it.each([
  "",
  "all",
  "localhost",
  "10.0.0",
  "10.0.0.0.1",
  "10.0.0.256",
  "10.0.0.1/33",
  "::1/129",
  ":::",
  "10.0.0.1/",
  "1.2.3.4.",
  "abc",
])("%j cannot be who may connect", (text) => {
  expect(isAllowedClient(text)).toBe(false);
});
