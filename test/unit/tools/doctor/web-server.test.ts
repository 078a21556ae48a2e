/** What the doctor says of a web server's configuration, and of what came through it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkConfiguration } from "../../../../src/sites/index.ts";
import type { WebServerName } from "../../../../src/sites/model.ts";
import type { Check, Facts, Finding, Remedy, WebServerFact } from "../../../../src/tools/doctor/model.ts";
import { findWebServers } from "../../../../src/tools/doctor/servers/index.ts";
import { configurationChecks } from "../../../../src/tools/doctor/web-server-checks-configuration.ts";
import { denials } from "../../../../src/tools/doctor/web-server-checks-kernel.ts";
import { limitsCheck } from "../../../../src/tools/doctor/web-server-checks-limits.ts";
import { modulesCheck } from "../../../../src/tools/doctor/web-server-checks-modules.ts";
import { findings, targetsOf } from "../../../../src/tools/doctor/web-server-checks-request.ts";
import { stepsFor, taking } from "../../../../src/tools/doctor/web-server-remedies.ts";
import { temporaryFolder } from "../../../support/temp.ts";

/** A configuration on the disk that nothing runs with. */
async function factOf(server: WebServerName, text: string): Promise<WebServerFact> {
  const configFile = join(temporaryFolder("conf"), "a.conf");
  writeFileSync(configFile, text);
  const [fact] = await findWebServers({ server, configFile, environment: {} }, AbortSignal.timeout(10_000));
  return fact!;
}

/** The text after the steps. */
function edited(remedy: readonly Remedy[], file: string): string {
  const lines = readFileSync(file, "utf8").split("\n");
  for (const step of remedy) {
    if (!("file" in step) || step.line === undefined) continue;
    expect(lines[step.line - 1]).toContain(step.from);
    lines[step.line - 1] = lines[step.line - 1]!.replace(step.from, () => step.to);
  }
  return lines.join("\n");
}

const EXPECTED = { addresses: undefined, mount: undefined, maxBodyBytes: undefined, sendFile: undefined };

describe("an edit that is printed takes away what was found", () => {
  it.each([
    ["nginx", "body-limit", "http { server { location / { \nfastcgi_pass unix:/a;\n} } }"],
    [
      "nginx",
      "address-without-unix",
      "http { server { location / { client_max_body_size 0;\n fastcgi_pass /run/a.sock;\n} } }",
    ],
    [
      "nginx",
      "alias-slash",
      "http { server {\nlocation /s/ {\n alias /srv/s;\n}\n location / { client_max_body_size 0; fastcgi_pass unix:/a; } } }",
    ],
    [
      "apache",
      "body-limit-default",
      'ServerRoot /srv\nScriptAlias "/" "/srv/a.fcgi/"\n<Directory /srv>\nSetHandler fcgid-script\nRequire all granted\n</Directory>\n',
    ],
    ["apache", "trailing-slash-missing", 'ProxyPass "/" "unix:/run/a.sock|fcgi://a" flushpackets=on\n'],
    ["apache", "authorization-dropped", 'ProxyPass "/" "unix:/run/a.sock|fcgi://a/"\n'],
    [
      "lighttpd",
      "check-local",
      'server.modules = ( "mod_fastcgi" )\nfastcgi.server = ( "/x" => ((\n"socket" => "/run/a.sock"\n)) )\n',
    ],
    [
      "lighttpd",
      "root-scriptname",
      'server.modules = ( "mod_fastcgi" )\nfastcgi.server = ( "/" => ((\n"socket" => "/run/a.sock", "check-local" => "disable"\n)) )\n',
    ],
    [
      "haproxy",
      "proto-fcgi-missing",
      "fcgi-app a\n docroot /x\nbackend b\n use-fcgi-app a\n server s /run/a.sock\n",
    ],
    [
      "haproxy",
      "authorization-not-passed",
      "fcgi-app a\n docroot /x\nbackend b\n use-fcgi-app a\n server s /run/a.sock proto fcgi\n",
    ],
  ] as const)("%s: %s", async (server, rule, text) => {
    const fact = await factOf(server, text);
    const found = checkConfiguration(server, fact.text ?? "", EXPECTED).find((one) => one.rule === rule);
    expect(found, rule).toBeDefined();
    const mended = edited(stepsFor(fact, found!), fact.files[0]!);
    expect(checkConfiguration(server, mended, EXPECTED).map((one) => one.rule)).not.toContain(rule);
  });

  it("else it is a sentence with the place", async () => {
    const fact = await factOf("caddy", ":80 {\n\tphp_fastcgi unix//a\n}\n");
    const [found] = checkConfiguration("caddy", fact.text ?? "", EXPECTED);
    expect(stepsFor(fact, found!)).toEqual([
      { advice: `in ${fact.files[0]}:2: use reverse_proxy with transport fastcgi` },
    ]);
    expect(taking(fact)).toEqual([{ advice: "start caddy" }]);
    expect(taking({ ...fact, running: true, reload: "kill -HUP 1" })).toEqual([{ run: "kill -HUP 1" }]);
  });
});

describe("modules", () => {
  const ask = async (fact: WebServerFact): Promise<readonly Finding[]> =>
    modulesCheck.examine(
      {
        webServers: [fact],
        options: { cwd: "/", deadlineMs: 1, postern: [], environment: {}, server: fact.server },
      },
      AbortSignal.timeout(1000),
    );

  it("of Apache: one that is needed and not loaded is loaded by the edit", async () => {
    const fact = await factOf(
      "apache",
      'LoadModule mpm_event_module "/m/mod_mpm_event.so"\n<IfModule !proxy_module>\nLoadModule proxy_module "/m/mod_proxy.so"\n</IfModule>\nProxyFCGIBackendType GENERIC\nProxyPass "/" "fcgi://127.0.0.1:9000/"\n',
    );
    const [found] = await ask(fact);
    expect(found).toMatchObject({ id: "web-server.module-missing", verdict: "bad" });
    const mended = edited(found!.remedy, fact.files[0]!);
    // It needs mod_proxy to be there already.
    expect(mended).toContain('mod_proxy.so"\nLoadModule proxy_fcgi_module "/m/mod_proxy_fcgi.so"');
    expect((await ask(await factOf("apache", mended)))[0]?.verdict).toBe("good");
  });

  it("of lighttpd, which takes no notice of settings that no module knows", async () => {
    const fact = await factOf(
      "lighttpd",
      'server.modules = ( "mod_rewrite" )\nfastcgi.server = ( "/" => (( "socket" => "/a" )) )\n',
    );
    const [found] = await ask(fact);
    expect(found?.id).toBe("web-server.module-missing");
    expect(edited(found!.remedy, fact.files[0]!)).toContain(
      'server.modules = ( "mod_fastcgi", "mod_rewrite" )',
    );
  });
});

describe("the configuration beside the application", () => {
  const nginx =
    "http {\n  server {\n    location /shop/ {\n      client_max_body_size 0;\n      fastcgi_pass unix:/run/a.sock;\n      include fastcgi_params;\n      fastcgi_split_path_info ^(/shop)(.*)$;\n      fastcgi_param PATH_INFO $fastcgi_path_info;\n    }\n  }\n}\n";
  const ask = async (check: Check, facts: Facts): Promise<readonly Finding[]> =>
    check.examine(facts, AbortSignal.timeout(5000));
  const configuration = configurationChecks.find(({ id }) => id === "web-server.rules")!;
  const facts = (fact: WebServerFact, folder: string, base: string): Facts => ({
    webServers: [fact],
    application: { file: "a.js", folder, listens: [{ kind: "unix", path: "/run/a.sock" }], base },
  });

  it("a mount that differs is mended in the application's settings: visitors keep their URLs", async () => {
    const folder = temporaryFolder("app");
    const settings = join(folder, "postern.config.js");
    writeFileSync(settings, 'export default {\n  app: "a.js",\n  base: "/shop/shop",\n};\n');
    const found = (
      await ask(configuration, facts(await factOf("nginx", nginx), folder, "/shop/shop"))
    ).filter(({ verdict }) => verdict === "bad");
    expect(found[0]).toMatchObject({ id: "web-server.mount", verdict: "bad" });
    expect(edited(found[0]!.remedy, settings)).toContain('base: "/shop",');
  });

  it("the same mount is no finding", async () => {
    const found = await ask(
      configuration,
      facts(await factOf("nginx", nginx), temporaryFolder("app"), "/shop"),
    );
    expect(found.filter(({ verdict }) => verdict === "bad")).toEqual([]);
  });

  it("a limit of bodies is doubtful until somebody has met it", async () => {
    const fact = await factOf("nginx", nginx.replace("client_max_body_size 0;", ""));
    const [found] = await ask(limitsCheck, facts({ ...fact, errorLogs: [] }, "/", "/shop"));
    expect(found).toMatchObject({ id: "web-server.body-limit", verdict: "doubtful" });
    const log = join(temporaryFolder("log"), "e.log");
    writeFileSync(log, "client intended to send too large body: 2000000 bytes\n");
    const [met] = await ask(limitsCheck, facts({ ...fact, errorLogs: [log] }, "/", "/shop"));
    expect(met).toMatchObject({ id: "web-server.body-limit", verdict: "bad" });
    expect(edited(met!.remedy, fact.files[0]!)).toContain("server { client_max_body_size 100m;");
  });

  it("one that passes nothing on is bad when it was named", async () => {
    const fact = await factOf("nginx", "http { server { listen 80; } }\n");
    const check = configurationChecks.find(({ id }) => id === "web-server.passes")!;
    expect(await ask(check, { webServers: [fact] })).toEqual([]);
    const options = { cwd: "/", deadlineMs: 1, postern: [], environment: {}, server: "nginx" as const };
    expect((await ask(check, { webServers: [fact], options }))[0]).toMatchObject({
      id: "web-server.nothing-passed",
      verdict: "bad",
    });
  });
});

describe("what the kernel forbids", () => {
  it("is said of the web server's program and of no other", () => {
    const line =
      'type=AVC msg=audit(1): avc:  denied  { write } for  pid=1 comm="nginx" name="a.sock" scontext=system_u:system_r:httpd_t:s0 tclass=sock_file';
    expect(denials([line, line.replace("nginx", "sshd")], ["nginx"])).toMatchObject([
      {
        id: "web-server.selinux",
        says: "SELinux has forbidden the web server to write a.sock",
        evidence: [line],
      },
    ]);
    expect(denials([line], ["lighttpd"])).toEqual([]);
    const connect = line.replace("write", "name_connect").replace("sock_file", "tcp_socket");
    expect(denials([connect], ["nginx"])[0]?.remedy).toEqual([
      { run: "setsebool -P httpd_can_network_connect 1" },
    ]);
    const apparmor =
      'audit: apparmor="DENIED" operation="connect" profile="nginx" name="/run/a.sock" comm="nginx"';
    expect(denials([apparmor], ["nginx"])[0]).toMatchObject({
      id: "web-server.apparmor",
      says: "AppArmor has forbidden the web server to connect /run/a.sock",
    });
  });
});

describe("a visit through the web server, beside the application's own answer", () => {
  const target = { url: new URL("http://127.0.0.1:8080/app/x"), server: undefined, wasNamed: true };
  const visited = (status: number, more = {}) => ({
    kind: "answered" as const,
    status,
    headMs: 5,
    firstByteMs: 5,
    totalMs: 6,
    ...more,
  });
  const direct = {
    kind: "answered",
    status: 200,
    reason: "OK",
    headers: [],
    headBytes: 50,
    body: "",
    stderr: "",
    firstByteMs: 3,
    totalMs: 4,
  } as unknown as Parameters<typeof findings>[2];
  const first = (
    ...[visit, answer = direct, lines = []]: [
      Parameters<typeof findings>[1],
      Parameters<typeof findings>[2]?,
      string[]?,
    ]
  ): string | undefined => {
    const [found] = findings(target, visit, answer, lines);
    return found === undefined ? undefined : `${found.id} ${found.verdict}`;
  };

  it.each([
    [visited(200), "request.answer good"],
    [visited(404), "request.not-passed-on bad"],
    [visited(403), "request.forbidden bad"],
    [visited(401), "request.password good"],
    [visited(413), "request.too-large bad"],
    [visited(502), "request.failed bad"],
    [visited(302, { location: "/app/app/login" }), "request.prefix-doubled bad"],
    [visited(302, { location: "http://127.0.0.1/site.fcgi/login" }), "request.file-shown doubtful"],
    [{ kind: "silent" as const }, "request.no-answer bad"],
    [{ kind: "broken" as const, message: "socket hang up" }, "request.cut bad"],
    [{ kind: "unconnected" as const, message: "ECONNREFUSED" }, "request.refused bad"],
  ])("%j is %s", (visit, expected) => {
    expect(first(visit)).toBe(expected);
  });

  it("a 404 that the application gives itself is its answer", () => {
    expect(first(visited(404), { ...(direct as object), status: 404 } as typeof direct)).toBe(
      "request.answer good",
    );
  });

  it("an answer that comes in one piece although the application wrote it in several was held back", () => {
    const slow = { ...(direct as object), firstByteMs: 10, totalMs: 3000 } as typeof direct;
    expect(first(visited(200, { firstByteMs: 3010, totalMs: 3011 }), slow)).toBe(
      "request.held-back doubtful",
    );
    expect(first(visited(200, { firstByteMs: 15, totalMs: 3011 }), slow)).toBe("request.answer good");
  });

  it("an address that nobody gave is no failure", () => {
    const [found] = findings(
      { ...target, wasNamed: false },
      { kind: "unconnected", message: "x" },
      undefined,
      [],
    );
    expect(found?.verdict).toBe("unknown");
  });

  it("goes to where the only server listens, by the name that it serves", async () => {
    const fact = await factOf(
      "nginx",
      "http {\n  server {\n    listen 8081;\n    server_name a.org;\n    location /x/ { fastcgi_pass unix:/a; }\n  }\n}\n",
    );
    const facts = { webServers: [{ ...fact, running: true }] };
    expect(targetsOf(facts).map(({ url, host }) => [url.href, host])).toEqual([
      ["http://127.0.0.1:8081/x/", "a.org"],
    ]);
    expect(targetsOf({ webServers: [fact] })).toEqual([]);
    expect(targetsOf({ ...facts, url: new URL("http://b.org:1/") }).map(({ url }) => url.href)).toEqual([
      "http://b.org:1/",
    ]);
  });
});
