/** What the doctor reads out of logs: the end of a file, its times, the lines that matter. */
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { logChecks } from "../../../../src/tools/doctor/log-checks.ts";
import {
  aboutOthers,
  aboutOurs,
  addressesIn,
  shown,
  told,
} from "../../../../src/tools/doctor/log-reading.ts";
import { linesOf, sizeOf, tailOf } from "../../../../src/tools/doctor/log-tail.ts";
import { timeOf } from "../../../../src/tools/doctor/log-times.ts";
import type { Facts, Finding, WebServerFact } from "../../../../src/tools/doctor/model.ts";
import { temporaryFolder } from "../../../support/temp.ts";

const NGINX: WebServerFact = {
  server: "nginx",
  files: ["/etc/nginx/nginx.conf"],
  running: true,
  hidden: [],
  errorLogs: [],
  backends: [{ address: { kind: "unix", path: "/run/a.sock" }, place: "/etc/nginx/nginx.conf:3" }],
};

/** As nginx writes it, in local time. */
function line(time: Date, text: string): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = `${time.getFullYear()}/${two(time.getMonth() + 1)}/${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())} [error] 1#1: ${text}`;
}

describe("the time of a line", () => {
  const local = new Date(2026, 10, 22, 20, 3, 25).getTime();
  it.each([
    ["nginx", "2026/11/22 20:03:25 [crit] 1#1: x", local],
    ["apache", "[Sun Nov 22 20:03:25.500000 2026] [proxy:error] x", local + 500],
    ["lighttpd", "2026-11-22 20:03:25: (gw_backend.c.323) x", local],
    ["caddy", '{"level":"error","ts":1795384812.25,"msg":"x"}', 1795384812250],
    ["haproxy", "127.0.0.1:1 [22/Nov/2026:20:03:25.480] v a/a1 0/0 503", local + 480],
    ["haproxy", "2026-11-22T20:03:25+00:00 host haproxy[1]: x", Date.UTC(2026, 10, 22, 20, 3, 25)],
    ["h2o", "1795384812.250000 host h2o[1]: x", 1795384812250],
    ["h2o", "[lib/handler/fastcgi.c] in request:/x:I/O timeout", undefined],
    ["nginx", "a stack: at line 3", undefined],
  ] as const)("%s: %s", (server, text, time) => {
    expect(timeOf(server, text)).toBe(time);
  });

  it("is that of the line before where it has none", () => {
    const lines = linesOf("2026/11/22 20:03:25 [error] a\n  at b\n\n", "nginx");
    expect(lines.map(({ time, text }) => [time, text])).toEqual([
      [local, "2026/11/22 20:03:25 [error] a"],
      [local, "  at b"],
    ]);
  });
});

describe("the end of a file", () => {
  it("is read from where it is asked for, and of a large one only the last whole lines", () => {
    const file = join(temporaryFolder("log"), "e.log");
    writeFileSync(file, `${"x".repeat(99)}\n`.repeat(5000));
    const from = sizeOf(file);
    expect(from).toBe(500_000);
    const all = tailOf(file, "nginx");
    expect(all.length).toBeLessThan(2700);
    expect(all.every(({ text }) => text.length === 99)).toBe(true);
    appendFileSync(file, "new\n");
    expect(tailOf(file, "nginx", from).map(({ text }) => text)).toEqual(["new"]);
    expect(() => tailOf(`${file}.none`, "nginx")).toThrow(/ENOENT/);
    expect(sizeOf(`${file}.none`)).toBe(0);
  });
});

describe("the lines that matter", () => {
  const old = new Date(Date.now() - 3_600_000);
  const now = new Date();
  const died = "*1 upstream prematurely closed connection while reading response header from upstream";

  it("are those since the server began, by cause, the newest first", () => {
    const lines = linesOf(
      [
        line(old, died),
        line(now, `${died} one`),
        line(now, "*2 upstream timed out (110: Connection timed out)"),
        line(now, `${died} two`),
      ].join("\n"),
      "nginx",
    );
    const found = told("nginx", lines, now.getTime() - 1000);
    expect(found.map(({ failure, lines: said }) => [failure.cause, said.length])).toEqual([
      ["died", 2],
      ["silent", 1],
    ]);
    expect(found[0]?.lines[0]?.text).toMatch(/two$/);
  });

  it("leave out what a program only says, and what is about another application", () => {
    const stderr = (text: string): string =>
      line(now, `*1 FastCGI sent in stderr: "${text}" while reading response header`);
    const lines = linesOf(
      [
        stderr("listening"),
        stderr("TypeError: x is not a function"),
        line(now, "connect() to unix:/run/b.sock failed (2: No such file or directory)"),
      ].join("\n"),
      "nginx",
    );
    const facts: Facts = {
      webServers: [],
      application: { file: "a.js", folder: "/srv", listens: [{ kind: "unix", path: "/var/run/a.sock" }] },
    };
    const found = told("nginx", lines, 0, aboutOthers(facts, NGINX));
    expect(found.map(({ failure }) => failure.cause)).toEqual(["threw"]);
    // A configuration without a place for ours: then it is the wrong one that is meant.
    const elsewhere = {
      ...NGINX,
      backends: [{ address: { kind: "unix", path: "/run/b.sock" }, place: "f:1" } as const],
    };
    expect(
      told("nginx", lines, 0, aboutOthers(facts, elsewhere)).map(({ failure }) => failure.cause),
    ).toContain("no-socket");
  });

  it("leave out what is about another site of the same server, by its socket, host, program or visitor", () => {
    const site = (name: string): WebServerFact["backends"][number] => ({
      program: `/srv/${name}/${name}.fcgi`,
      place: `/srv/${name}/.htaccess:2`,
      site: { names: [`${name}.org`], ports: [80] },
    });
    const apache: WebServerFact = { ...NGINX, server: "apache", backends: [site("a")], others: [site("b")] };
    const said = [
      "[client 192.0.2.1:1] mod_fcgid: error reading data, FastCGI server closed connection",
      "[client 192.0.2.1:1] End of script output before headers: b.fcgi",
      "[client 192.0.2.1:2] End of script output before headers: a.fcgi",
      "[client 192.0.2.1:3] End of script output before headers: c",
    ].map((text) => ({ time: undefined, text }));
    const isOthers = aboutOthers({ webServers: [] }, apache, said);
    expect(said.map(({ text }) => isOthers(text))).toEqual([true, true, false, false]);
    expect(said.map(({ text }) => aboutOurs(apache)(text))).toEqual([false, false, true, false]);
    const more = { time: undefined, text: "[client 192.0.2.1:2] mod_fcgid: error reading data" };
    expect(aboutOurs(apache, [...said, more])(more.text)).toBe(true);
    // Without other sites everything is ours.
    expect(aboutOurs({ ...apache, others: [] })(said[0]!.text)).toBe(true);

    const socket = (name: string): WebServerFact["backends"][number] => ({
      address: { kind: "unix", path: `/run/${name}.sock` },
      place: "/etc/nginx/nginx.conf:3",
      site: { names: [`${name}.org`], ports: [80] },
    });
    const nginx: WebServerFact = { ...NGINX, backends: [socket("a")], others: [socket("b"), socket("c")] };
    const isElsewhere = aboutOthers({ webServers: [] }, nginx);
    expect(isElsewhere('connect() to unix:/run/b.sock failed (2: x), host: "b.org:8080"')).toBe(true);
    expect(isElsewhere('upstream timed out (110: x), host: "c.org"')).toBe(true);
    expect(isElsewhere('upstream timed out (110: x), host: "a.org"')).toBe(false);
    expect(isElsewhere('upstream timed out (110: x), host: "192.0.2.1"')).toBe(false);
    // Another place of the same host.
    expect(isElsewhere('unix:/run/b.sock failed (2: x), host: "a.org"')).toBe(true);
    // A visitor of both; and programs of one name.
    const mixed = [...said, { time: undefined, text: "[client 192.0.2.1:1] before headers: a.fcgi" }];
    expect(aboutOthers({ webServers: [] }, apache, mixed)(mixed[4]!.text)).toBe(false);
    const named = (name: string): WebServerFact["backends"][number] => ({
      program: `/srv/${name}/app.fcgi`,
      place: "",
    });
    const same: WebServerFact = { ...apache, backends: [named("a")], others: [named("b")] };
    expect(aboutOurs(same)("before headers: app.fcgi")).toBe(false);
    expect(aboutOthers({ webServers: [] }, same)("before headers: app.fcgi")).toBe(false);
    expect(aboutOthers({ webServers: [] }, same)("can't run /srv/b/app.fcgi")).toBe(true);
  });

  it("name addresses in every server's way", () => {
    expect(
      addressesIn('connect() to unix:/run/a.sock failed (2: x), upstream: "fastcgi://unix:/run/a.sock:"'),
    ).toEqual(["/run/a.sock", "/run/a.sock"]);
    expect(
      addressesIn("AH02454: FCGI: attempt to connect to Unix domain socket /run/a.sock (a:8000) failed"),
    ).toEqual(["/run/a.sock"]);
    expect(addressesIn("dial tcp 127.0.0.1:9000: connect: connection refused")).toEqual(["127.0.0.1:9000"]);
  });

  it("are shown without what would move a cursor", () => {
    expect(shown({ time: undefined, text: `a\x1b[2Jb${"x".repeat(999)}` }, "/e.log")).toMatch(
      /^\/e\.log: a\\x1b\[2Jb/,
    );
    expect(shown({ time: undefined, text: "x".repeat(999) }, "/e.log").length).toBeLessThan(400);
  });
});

describe("the questions about logs", () => {
  const ask = async (facts: Facts): Promise<Finding[]> =>
    (await Promise.all(logChecks.map((check) => check.examine(facts, AbortSignal.timeout(5000))))).flat();

  it("call bad what has just happened, and doubtful what other questions find out or what is history", async () => {
    const file = join(temporaryFolder("log"), "e.log");
    const hours = new Date(Date.now() - 7_200_000);
    writeFileSync(
      file,
      [
        line(hours, "*1 upstream sent too big header while reading"),
        line(new Date(), "*1 upstream timed out (110: Connection timed out)"),
        line(new Date(), "*1 connect() to unix:/run/a.sock failed (13: Permission denied)"),
      ].join("\n"),
    );
    const found = await ask({ webServers: [{ ...NGINX, errorLogs: [file] }] });
    expect(found.map(({ id, verdict }) => `${id} ${verdict}`).sort()).toEqual([
      "log.head-too-large doubtful",
      "log.no-permission doubtful",
      "log.readable good",
      "log.silent bad",
    ]);
    expect(found.find(({ id }) => id === "log.silent")?.evidence[0]).toMatch(/e\.log: .*upstream timed out/);
  });

  it("say when a log cannot be read, and take --log in the place of what was found", async () => {
    const found = await ask({ webServers: [{ ...NGINX, errorLogs: ["/nowhere/e.log"] }] });
    expect(found[0]).toMatchObject({ id: "log.unreadable", verdict: "unknown" });
    const file = join(temporaryFolder("log"), "e.log");
    writeFileSync(file, "\n");
    const options = { cwd: "/", deadlineMs: 1, postern: [], environment: {}, log: file };
    const named = await ask({ webServers: [{ ...NGINX, errorLogs: ["/nowhere/e.log"] }], options });
    expect(named.map(({ verdict }) => verdict)).toEqual(["good", "good"]);
  });
});
