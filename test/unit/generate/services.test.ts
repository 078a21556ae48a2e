/** Service files: each kind against its golden, what must hold for all, and what is refused. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { generateService, SERVICE_KINDS, type ServiceModel } from "../../../src/generate/services.ts";
import { readDocument } from "../../support/markdown.ts";
import { repositoryRoot } from "../../support/paths.ts";
import { run } from "../../support/process.ts";
import { generated, model, VARIANTS } from "./models.ts";

const variants = Object.keys(VARIANTS);

/** The value of a setting of an ini-like text. */
function settings(text: string, name: string): string[] {
  return [...text.replace(/\\\n\s*/g, "").matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(
    ([, value = ""]) => value,
  );
}

function textOf(variant: string, ending: string): string {
  const found = generated(variant).files.find(({ path }) => path.endsWith(ending));
  if (found === undefined) throw new Error(`${variant} has no file ${ending}`);
  return found.text;
}

describe.each(variants)("%s", (variant) => {
  const { folder, files, steps } = generated(variant);

  it("is as its golden files have it", async () => {
    for (const { path, text } of files) {
      await expect(text).toMatchFileSnapshot(`goldens/${variant}/${path.slice(folder.length + 1)}`);
    }
  });

  it("has files below its folder, and commands of one line", () => {
    for (const { path, text } of files) {
      expect(path.startsWith(`${folder}/`)).toBe(true);
      expect(text).toMatch(/[^\n]\n$/);
      expect(text).not.toMatch(/undefined|\[object|[ \t]$/m);
    }
    expect(steps.map(({ what }) => what)).toContain("reload");
    for (const { command } of steps) expect(command).not.toContain("\n");
  });

  it("has scripts that a shell can read, with the mode to run them", async () => {
    for (const { mode, text } of files) {
      expect(mode).toBe(text.startsWith("#!") ? 0o755 : 0o644);
      if (!text.startsWith("#!")) continue;
      const { code, stderr } = await run("/bin/sh", ["-n"], { input: text });
      expect(stderr).toBe("");
      expect(code).toBe(0);
    }
  });

  it("has only files that another kind of the same values would not overwrite", () => {
    expect(new Set(files.map(({ path }) => path)).size).toBe(files.length);
  });
});

describe("an application in Python", () => {
  const { environment: _, ...rest } = model;
  const python = {
    program: "/usr/bin/python3",
    app: "/home/kim/shop/shop:app",
    library: '/home/kim/a "b"/python',
  };
  const served = { ...rest, environment: {}, workingDirectory: "/home/kim/shop" };
  const shared = { ...served, arguments: ["serve", python.app], python };

  it("is started on a shared host by Python itself", () => {
    const { files, steps } = generateService("shared-hosting", shared);
    expect(files[0]?.text).toBe(`#!/usr/bin/python3
# yourapplication, a Node application served by Postern. Made by: postern init shared-hosting
# Started by the web server, with the socket as descriptor 0. Messages go to the error log of the site.
import os
import sys

os.chdir("/home/kim/shop")
sys.path.append("/home/kim/a \\"b\\"/python")

from postern_wsgi import run_application

run_application("/home/kim/shop/shop:app")
`);
    expect(steps.find(({ what }) => what === "reload")?.command).toBe(
      `pkill -TERM -u "$(id -un)" -f '^[^ ]*python[^ ]* .*/yourapplication\\.fcgi$'`,
    );
  });

  it("is not started by a Python that no first line can name", () => {
    const odd = { ...shared, python: { ...python, program: "/home/kim/my environment/bin/python" } };
    expect(() => generateService("shared-hosting", odd)).toThrow(
      /the first line of a program can name no such path/,
    );
  });

  it("has no empty line about an environment for supervisor, who refuses it", () => {
    expect(generateService("supervisor", served).files[0]?.text).not.toContain("environment=");
  });
});

describe("every kind", () => {
  it("gives the service longer than its requests have, before it is killed", () => {
    const patient: ServiceModel = { ...model, drainTimeoutSeconds: 99.5 };
    for (const [kind, pattern] of [
      ["systemd", /^TimeoutStopSec=(\d+)$/m],
      ["supervisor", /^stopwaitsecs=(\d+)$/m],
      ["sysv", /^STOP_SECONDS=(\d+)$/m],
      ["openrc", /^retry=TERM\/(\d+)\/KILL/m],
      ["screen", /^STOP_SECONDS=(\d+)$/m],
    ] as const) {
      const [file] = generateService(kind, patient).files;
      expect(Number(pattern.exec(file?.text ?? "")?.[1]), kind).toBeGreaterThan(100);
    }
    const stop = generateService("runit", patient).steps.find(({ what }) => what === "stop");
    expect(Number(/-w (\d+)/.exec(stop?.command ?? "")?.[1])).toBeGreaterThan(100);
  });

  it.each(SERVICE_KINDS)("refuses a line break in any value: %s", (kind) => {
    const base = kind === "shared-hosting" ? { ...model, arguments: ["serve", "/srv/app.js"] } : model;
    const broken: readonly Partial<ServiceModel>[] = [
      { name: "a\nb" },
      { description: "a\nb" },
      { user: "a\nb" },
      { group: "a\nb" },
      { node: "/a\nb" },
      { postern: "/a\nb" },
      { workingDirectory: "/a\nb" },
      { arguments: ["serve", "/a\nb"] },
      { environment: { A: "a\nb" } },
    ];
    expect(() => generateService(kind, base)).not.toThrow();
    for (const values of broken) {
      expect(() => generateService(kind, { ...base, ...values }), JSON.stringify(values)).toThrow(
        expect.objectContaining({ code: "ERR_POSTERN_BAD_SETTING" }),
      );
    }
  });

  it("is one of those there are", () => {
    expect(() => generateService("upstart" as never, model)).toThrow(/unreachable: upstart/);
  });

  it.each(["", "a b", "a/b", "../a", ".hidden", "-x", "a:b", "a;b", "x".repeat(41)])(
    "refuses %j as a name",
    (name) => {
      expect(() => generateService("systemd", { ...model, name })).toThrow(
        /--name ".*": a name is of at most 40/,
      );
    },
  );

  it.each([
    [{ node: "node" }, /node: "node" is not an absolute path/],
    [{ runtimeDirectory: "run" }, /runtime directory: "run" is not an absolute path/],
    [{ user: "a b" }, /user: "a b" is not the name of a user/],
    [{ group: "-x" }, /group: "-x" is not the name of a group/],
    [{ drainTimeoutSeconds: Number.NaN }, /drain time-out: NaN/],
  ])("refuses %j", (values, says) => {
    expect(() => generateService("sysv", { ...model, ...values })).toThrow(says);
  });

  it.each(["sysv", "openrc", "runit", "screen", "shared-hosting"] as const)("%s opens no sockets", (kind) => {
    const sockets = [{ name: "app", address: "unix:/run/a.sock", mode: "0660", owner: "a", group: "b" }];
    expect(() => generateService(kind, { ...model, sockets })).toThrow(/opens no sockets for a service/);
  });
});

describe("systemd", () => {
  it("passes arguments with spaces and signs as they are", () => {
    const text = generateService("systemd", {
      ...model,
      node: "/opt/my node/$x/100%/node",
      arguments: ["serve", '/srv/my app/a"b$c%d.js'],
      workingDirectory: "/srv/my app",
      environment: { GREETING: 'say "hi" for $5 at 100%' },
    }).files[0]?.text;
    const [start = ""] = settings(text ?? "", "ExecStart");
    expect(start).toMatch(/^"\/opt\/my node\/\$x\/100%%\/node" /);
    expect(start).toContain('"/srv/my app/a\\"b$$c%%d.js"');
    expect(settings(text ?? "", "WorkingDirectory")).toEqual(["/srv/my app"]);
    expect(settings(text ?? "", "Environment")).toEqual(['"GREETING=say \\"hi\\" for $5 at 100%%"']);
  });

  it("hides the homes unless something of the service is in one", () => {
    expect(textOf("systemd", ".service")).toContain("\nProtectHome=yes\n");
    for (const values of [{ node: "/home/me/bin/node" }, { workingDirectory: "/root/app" }]) {
      expect(generateService("systemd", { ...model, ...values }).files[0]?.text).not.toContain("ProtectHome");
    }
  });

  it("gives it a folder of temporary files of its own unless its socket would be hidden in it", () => {
    expect(textOf("systemd", ".service")).toContain("\nPrivateTmp=yes\n");
    const args = ["serve", "/srv/app.js", "--bind", "unix:/tmp/app.sock"];
    const { files, notes } = generateService("systemd", { ...model, arguments: args });
    expect(files[0]?.text).toContain("\nPrivateTmp=no\n");
    expect(notes).toEqual([expect.stringMatching(/^unix:\/tmp\/app\.sock is in a temporary folder/)]);
  });

  it("leaves a runtime folder alone that is not below /run", () => {
    const text = generateService("systemd", { ...model, runtimeDirectory: "/srv/run" }).files[0]?.text;
    expect(text).not.toContain("RuntimeDirectory");
    expect(text).toContain("--control-socket /srv/run/control.sock");
  });

  it("makes a unit for every socket it is to open, and tells Postern their names", () => {
    const sockets = [
      { name: "app", address: "127.0.0.1:9000", mode: "0660", owner: "deploy", group: "www-data" },
      { name: "more", address: "unix:/run/100% more.sock", mode: "0600", owner: "deploy", group: "www-data" },
    ];
    const { files } = generateService("systemd", { ...model, arguments: ["serve", "/srv/app.js"], sockets });
    const [service, first, second] = files.map(({ text }) => text);
    expect(files.map(({ path }) => path)).toEqual([
      "/etc/systemd/system/yourapplication.service",
      "/etc/systemd/system/yourapplication.socket",
      "/etc/systemd/system/yourapplication-more.socket",
    ]);
    expect(service).toContain("--bind systemd:app");
    expect(service).toContain("--bind systemd:more");
    expect(service).toContain("\nRequires=yourapplication.socket yourapplication-more.socket\n");
    expect(settings(first ?? "", "ListenStream")).toEqual(["127.0.0.1:9000"]);
    expect(first).not.toContain("SocketMode");
    expect(settings(second ?? "", "ListenStream")).toEqual(["/run/100%% more.sock"]);
    expect(settings(second ?? "", "SocketMode")).toEqual(["0600"]);
  });

  it("refuses a socket in the folder that systemd removes when the service stops", () => {
    const socket = { name: "app", mode: "0660", owner: "deploy", group: "www-data" };
    const withSocket = (values: object): ServiceModel => ({
      ...model,
      sockets: [{ ...socket, address: "unix:/run/app.sock", ...values }],
    });
    expect(() =>
      generateService("systemd", withSocket({ address: "unix:/run/yourapplication/app.sock" })),
    ).toThrow(/systemd removes \/run\/yourapplication .* such as unix:\/run\/yourapplication\.sock/);
    expect(() => generateService("systemd", withSocket({ name: "a:b" }))).toThrow(/socket "a:b"/);
    expect(() => generateService("systemd", withSocket({ address: "fd:3" }))).toThrow(
      /unix:\/path or host:port/,
    );
  });
});

describe("supervisor", () => {
  const passing = (address: string): ServiceModel => ({
    ...model,
    arguments: ["serve", "/srv/app.js"],
    sockets: [{ name: "app", address, mode: "0660", owner: "deploy", group: "www-data" }],
  });

  it("opens a TCP socket too, without owner and mode", () => {
    const text = generateService("supervisor", passing("127.0.0.1:9000")).files[0]?.text ?? "";
    expect(settings(text, "socket")).toEqual(["tcp://127.0.0.1:9000"]);
    expect(text).not.toContain("socket_owner");
  });

  it("refuses what it cannot open", () => {
    expect(() => generateService("supervisor", passing("[::1]:9000"))).toThrow(/no IPv6/);
    const { sockets } = passing("unix:/run/a.sock");
    expect(() => generateService("supervisor", { ...model, sockets: [...sockets, ...sockets] })).toThrow(
      /one socket/,
    );
  });

  it("has nothing to say about folders for a TCP address", () => {
    const args = ["serve", "/srv/app.js", "--bind", "127.0.0.1:9000"];
    expect(generateService("supervisor", { ...model, arguments: args }).notes).toEqual([]);
  });

  it("says which folder is missing after a boot, when Postern itself listens in one", () => {
    expect(generated("supervisor").notes).toEqual([]);
    expect(generated("supervisor-listening").notes).toEqual([
      expect.stringContaining("/run/yourapplication must be"),
    ]);
  });
});

describe("shared hosting", () => {
  it("leaves the socket to the web server", () => {
    expect(() => generateService("shared-hosting", model)).toThrow(/--bind: on a shared host/);
  });

  it("is told to reload by a file when it has workers of its own, else ended", () => {
    const reloadOf = (...args: string[]): string | undefined =>
      generateService("shared-hosting", { ...model, arguments: ["serve", ...args] }).steps.find(
        ({ what }) => what === "reload",
      )?.command;
    const touch = "mkdir -p /var/www/yourapplication/tmp && touch /var/www/yourapplication/tmp/restart.txt";
    expect(reloadOf("/srv/app.js", "--workers", "2")).toBe(touch);
    expect(reloadOf("--config", "/srv/postern.config.js")).toBe(touch);
    const end = `pkill -TERM -u "$(id -un)" -f '^[^ ]*node .* serve /srv/a\\.js'`;
    expect(reloadOf("/srv/a.js")).toBe(end);
    expect(reloadOf("/srv/a.js", "--workers", "0")).toBe(end);
    expect(reloadOf()).toContain(" serve '");
  });

  it("names the URL of the public folder where Apache cannot know it, and nowhere else", () => {
    const [kind, variant] = VARIANTS["shared-hosting"]!;
    const rules = (mount: string): string | undefined =>
      generateService(kind, { ...variant, mount }).files.find(({ path }) => path.endsWith(".htaccess"))?.text;
    expect(textOf("shared-hosting", ".htaccess")).not.toMatch(/^\s*RewriteBase/m);
    for (const mount of ["/~kim", "/~kim/"]) expect(rules(mount)).toMatch(/^RewriteBase \/~kim\/$/m);
    expect(rules("/")).toMatch(/^RewriteBase \/$/m);
    for (const mount of ["kim", "/a b", "/a\nb", "/a?b", "//x"]) {
      expect(() => rules(mount)).toThrow(/--mount ".*": a path such as \/yourapplication/);
    }
  });

  it("goes to the folder of the application when no public one is known", () => {
    const { publicDirectory: _, ...others } = VARIANTS["shared-hosting"]![1];
    expect(generateService("shared-hosting", others).folder).toBe("/home/deploy/yourapplication");
  });

  it("has the rules of the example", () => {
    const example = readFileSync(join(repositoryRoot, "examples", "shared-hosting", ".htaccess"), "utf8");
    expect(textOf("shared-hosting", ".htaccess")).toContain(example);
  });
});

/** The pages of docs/deploy, each block of which is a generated file. */
const PAGES: Readonly<Record<string, readonly string[]>> = {
  systemd: ["systemd", "systemd-sockets"],
  supervisor: ["supervisor", "supervisor-listening"],
  sysv: ["sysv"],
  openrc: ["openrc"],
  runit: ["runit"],
  screen: ["screen"],
};

describe.each(Object.entries(PAGES))("docs/deploy/%s.md", (page, shown) => {
  const { blocks, text: whole } = readDocument(`docs/deploy/${page}.md`);
  const marked = blocks.flatMap(({ info, text }) => {
    const [, variant = "", path = ""] = /^made=(\S+) file=(\S+)$/.exec(info) ?? [];
    return path === "" ? [] : [{ variant, path, text }];
  });

  it("shows the files as they are made", () => {
    for (const { variant, path, text } of marked) {
      expect(text, `${variant} ${path}`).toBe(
        generated(variant).files.find((file) => file.path === path)?.text,
      );
    }
    expect([...new Set(marked.map(({ variant }) => variant))]).toEqual(shown);
  });

  it("has the commands", () => {
    const [first = ""] = shown;
    // In a table, a bar has a backslash.
    const plain = whole.replaceAll("\\|", "|");
    const missing = generated(first).steps.filter(({ command }) => !plain.includes(`\`${command}\``));
    expect(missing).toEqual([]);
  });
});
