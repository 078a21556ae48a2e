/** What an existing configuration says: every server's generated one read again, and some that people write. */
import { describe, expect, it } from "vitest";
import { readApacheFolders } from "../../../src/sites/apache-folders.ts";
import { generateSite, type Site, WEB_SERVERS } from "../../../src/sites/index.ts";
import { readConfiguration } from "../../../src/sites/reading.ts";
import { addressOf, commandOf, limitOf, listenOf, secondsOf } from "../../../src/sites/reading-model.ts";

const SITE: Site = {
  name: "a",
  serverNames: ["example.com"],
  listen: { host: "127.0.0.1", port: 8080 },
  mount: "/app",
  application: {
    kind: "external",
    addresses: [
      { kind: "unix", path: "/run/a/a.sock" },
      { kind: "tcp", host: "127.0.0.1", port: 9000 },
    ],
  },
  apacheModule: "proxy_fcgi",
  publicFolder: undefined,
  statics: [],
  maxBodyBytes: 2_097_152,
  timeoutSeconds: 70,
  isKeptAlive: false,
  isMultiplexed: false,
  isStreaming: false,
  tls: undefined,
  passwords: undefined,
  sendFile: [],
  webSocket: undefined,
  standalone: { folder: "/srv/x", user: "www-data", group: "www-data", modules: undefined },
};

/** Those that cannot have two addresses are given one. */
const ONE: readonly string[] = ["apache", "h2o"];

describe("a generated configuration, read again", () => {
  it.each(WEB_SERVERS)("%s: where it goes, listens, and who it becomes", (server) => {
    const all = SITE.application.kind === "external" ? SITE.application.addresses : [];
    const addresses = ONE.includes(server) ? all.slice(0, 1) : all;
    const site = { ...SITE, application: { kind: "external", addresses } as const };
    const text = generateSite(server, site).files[0]?.text ?? "";
    const reading = readConfiguration(server, text);
    expect(reading.backends.map(({ address }) => address)).toEqual(addresses);
    const lines = text.split("\n");
    for (const { line, timeout, program } of reading.backends) {
      expect(lines[line - 1]).toMatch(/a\.sock|9000|"127\.0\.0\.1"|fastcgi\.connect/);
      if (server !== "caddy" && server !== "cherokee") expect(timeout).toBe(70);
      expect(program).toBeUndefined();
    }
    expect(reading.listens).toContainEqual(expect.objectContaining({ port: 8080, isTls: false }));
    // The others say elsewhere which requests a backend is for, or take all.
    const names = reading.backends.map((one) => one.site?.names);
    if (/nginx|apache|h2o/.test(server)) expect(names).toEqual(addresses.map(() => ["example.com"]));
    if (server !== "caddy") expect(reading.user).toBe("www-data");
  });

  it.each(["apache", "lighttpd", "h2o", "cherokee"] as const)("%s: the program that it starts", (server) => {
    const application = {
      kind: "spawned",
      program: "/srv/app.fcgi",
      processes: 2,
      isDynamic: false,
      socket: "/run/a/a.sock",
      environment: { LANG: "C" },
    } as const;
    const text = generateSite(server, { ...SITE, apacheModule: "fcgid", application }).files[0]?.text ?? "";
    const [backend] = readConfiguration(server, text).backends;
    expect(backend?.program).toMatch(/^\/srv\/app\.fcgi$/);
    expect(backend?.environment).toMatchObject({ LANG: "C" });
    // Cherokee's program binds by itself.
    expect(backend?.address === undefined).toBe(server !== "cherokee");
  });
});

describe("a configuration that somebody wrote", () => {
  it("nginx: its own limits where nothing is said, upstreams, several logs", () => {
    const reading = readConfiguration(
      "nginx",
      "error_log /var/log/nginx/error.log;\nhttp {\n  upstream a { server unix:/run/a.sock; server app:9000; }\n  server { server_name a.org *.a.org; error_log syslog:server=x;\n    location /x/ { fastcgi_pass a; }\n    location /y { fastcgi_pass $where; }\n  }\n}\n",
    );
    expect(reading.backends).toEqual([
      expect.objectContaining({
        address: { kind: "unix", path: "/run/a.sock" },
        line: 3,
        timeout: 60,
        bodyLimit: 1024 ** 2,
        url: "/x/",
      }),
      expect.objectContaining({ address: { kind: "tcp", host: "app", port: 9000 } }),
    ]);
    expect(reading.errorLogs).toEqual([{ path: "/var/log/nginx/error.log", line: 1 }]);
    expect(reading.listens).toEqual([expect.objectContaining({ port: 80, names: ["a.org"] })]);
  });

  it("apache: mod_fastcgi's external servers, and what mod_fcgid lets through by itself", () => {
    const fastcgi = readConfiguration(
      "apache",
      "FastCgiExternalServer /srv/x.fcgi -socket /run/a.sock -idle-timeout 5\n",
    );
    expect(fastcgi.backends).toEqual([
      expect.objectContaining({ address: { kind: "unix", path: "/run/a.sock" }, timeout: 5 }),
    ]);
    const fcgid = readConfiguration(
      "apache",
      '<Directory /srv>\nSetHandler fcgid-script\nOptions +ExecCGI\n</Directory>\nScriptAlias "/app" "/srv/app.fcgi/"\n',
    );
    expect(fcgid.backends).toEqual([
      expect.objectContaining({ program: "/srv/app.fcgi", bodyLimit: 131_072, timeout: 40, url: "/app" }),
    ]);
  });

  it("haproxy: the folder it lives in, and only servers that speak FastCGI", () => {
    const reading = readConfiguration(
      "haproxy",
      "global\n  chroot /var/lib/haproxy\ndefaults\n  timeout server 5s\nbackend b\n  server one unix@/app.sock proto fcgi\n  server two 127.0.0.1:80\nfrontend f\n  bind :443 ssl crt x\n",
    );
    expect(reading.chroot).toBe("/var/lib/haproxy");
    expect(reading.backends).toEqual([
      expect.objectContaining({ address: { kind: "unix", path: "/app.sock" }, timeout: 5, line: 6 }),
    ]);
    expect(reading.listens).toEqual([expect.objectContaining({ host: "", port: 443, isTls: true })]);
  });

  it("caddy: php_fastcgi, a site by its name, one behind a matcher", () => {
    const reading = readConfiguration(
      "caddy",
      "example.org {\n\tphp_fastcgi unix//run/php.sock\n\treverse_proxy /app/* 127.0.0.1:9000 {\n\t\ttransport fastcgi {\n\t\t\tread_timeout 7s\n\t\t}\n\t}\n}\n",
    );
    expect(reading.backends.map(({ address, url, timeout }) => [address, url, timeout])).toEqual([
      [{ kind: "unix", path: "/run/php.sock" }, undefined, undefined],
      [{ kind: "tcp", host: "127.0.0.1", port: 9000 }, "/app/", 7],
    ]);
    expect(reading.listens).toEqual([
      expect.objectContaining({ port: 443, isTls: true, names: ["example.org"] }),
    ]);
  });

  it("h2o: a port alone, a program, and no YAML at all", () => {
    const reading = readConfiguration(
      "h2o",
      'hosts:\n  "a.org:80":\n    listen: 8080\n    paths:\n      /:\n        fastcgi.connect: 9000\n      /p:\n        fastcgi.spawn: "exec /srv/p.fcgi -x"\n',
    );
    expect(reading.backends.map(({ address, program, url }) => address ?? [program, url])).toEqual([
      { kind: "tcp", host: "127.0.0.1", port: 9000 },
      ["/srv/p.fcgi", "/p"],
    ]);
    expect(() => readConfiguration("h2o", "a: [")).toThrow(/^line \d+: this is not a configuration of h2o/);
  });
});

describe("the site of a backend", () => {
  it.each([
    [
      "nginx",
      "http {\n server { listen 81; server_name a.org *.a.org; location / { fastcgi_pass unix:/a; } }\n server { location / { fastcgi_pass unix:/b; } }\n}\n",
    ],
    [
      "apache",
      '<VirtualHost *:81>\nServerName a.org:81\nServerAlias *.a.org\nProxyPass "/" "unix:/a|fcgi://x/"\n</VirtualHost>\n<VirtualHost *:80>\nProxyPass "/" "unix:/b|fcgi://x/"\n</VirtualHost>\n',
    ],
    [
      "lighttpd",
      '$SERVER["socket"] == ":81" {\n $HTTP["host"] == "a.org" {\n fastcgi.server = ( "/" => (( "socket" => "/a" )) )\n }\n}\n$SERVER["socket"] == ":80" {\n fastcgi.server = ( "/" => (( "socket" => "/b" )) )\n}\n',
    ],
    ["caddy", "http://a.org:81 {\n\tphp_fastcgi unix//a\n}\n:80 {\n\tphp_fastcgi unix//b\n}\n"],
    [
      "h2o",
      'hosts:\n  "a.org:81":\n    paths:\n      /:\n        fastcgi.connect:\n          port: /a\n          type: unix\n  "*:80":\n    paths:\n      /:\n        fastcgi.connect:\n          port: /b\n          type: unix\n',
    ],
  ] as const)("%s: names without patterns, and ports", (server, text) => {
    const { backends } = readConfiguration(server, text);
    expect(backends.map(({ address, site }) => [address, site])).toMatchObject([
      [
        { kind: "unix", path: "/a" },
        { names: ["a.org"], ports: [81] },
      ],
      [
        { kind: "unix", path: "/b" },
        { names: [], ports: [80] },
      ],
    ]);
  });

  it("has names with patterns, and may take what no other does", () => {
    const block = (server: string, name: string): string =>
      `server { ${server} location / { fastcgi_pass unix:/${name}; } }\n`;
    const nginx = (text: string) =>
      readConfiguration("nginx", `http {\n${text}}\n`).backends.map(({ site }) => site);
    expect(nginx(block("server_name .a.org www.* ~^x\\d;", "a") + block("listen 80;", "b"))).toMatchObject([
      {
        names: [".a.org"],
        patterns: ["^a\\.org$", "^.*\\.a\\.org$", "^www\\..*$"],
        expressions: ["^x\\d"],
        otherwiseAt: [80],
      },
      { otherwiseAt: [] },
    ]);
    const chosen = block("", "a") + block("listen 80 default_server;", "b");
    expect(nginx(chosen)).toMatchObject([{ otherwiseAt: [] }, { otherwiseAt: [80] }]);
    // One address only: which of both is asked depends on the visitor.
    const apart = block("", "a") + block("listen 127.0.0.1:80;", "b");
    expect(nginx(apart)).toMatchObject([{ otherwiseAt: [] }, { otherwiseAt: [] }]);
    const apache =
      "<VirtualHost *:80>\nServerAlias *.a.org\nProxyPass / unix:/a|fcgi://x/\n</VirtualHost>\n<VirtualHost *:80>\nProxyPass / unix:/b|fcgi://x/\n</VirtualHost>\n";
    expect(readConfiguration("apache", apache).backends.map(({ site }) => site)).toMatchObject([
      { patterns: ["^.*\\.a\\.org$"], otherwiseAt: [80] },
      { otherwiseAt: [] },
    ]);
    const lighttpd =
      'fastcgi.server = ( "/" => (( "socket" => "/a" )) )\n$HTTP["host"] =~ "^x" {\n fastcgi.server = ( ".php" => (( "socket" => "/b" )) )\n}\n';
    expect(readConfiguration("lighttpd", lighttpd).backends).toMatchObject([
      { site: { expressions: [], otherwiseAt: [80] } },
      { site: { expressions: ["^x"] }, pattern: "\\.php$" },
    ]);
    const haproxy =
      "frontend f\n  bind :81\n  default_backend b\nbackend b\n  server one unix@/app.sock proto fcgi\n";
    expect(readConfiguration("haproxy", haproxy).backends).toMatchObject([{ site: { ports: [81] } }]);
  });

  it("haproxy: the ports of the frontends that lead to it, also by a name that is made of the request", () => {
    const ports = (rule: string): unknown =>
      readConfiguration(
        "haproxy",
        `frontend f\n  bind :81\n  ${rule}\nfrontend g\n  bind :82\n  default_backend other\nbackend b\n  server one unix@/a proto fcgi\n`,
      ).backends.map(({ site }) => site?.ports);
    expect(ports("default_backend b")).toEqual([[81]]);
    expect(ports("use_backend b if { path_beg /b }")).toEqual([[81]]);
    expect(ports("use_backend %[req.hdr(host)]")).toEqual([[81]]);
    expect(ports("default_backend other")).toEqual([undefined]);
  });

  it("caddy: the path of what is around a proxy", () => {
    const { backends } = readConfiguration(
      "caddy",
      ":80 {\n\thandle_path /app/* {\n\t\treverse_proxy unix//a {\n\t\t\ttransport fastcgi\n\t\t}\n\t}\n\thandle {\n\t\treverse_proxy unix//b {\n\t\t\ttransport fastcgi\n\t\t}\n\t}\n}\n",
    );
    expect(backends.map(({ url }) => url)).toEqual(["/app/", undefined]);
  });

  it("lighttpd: a host name without its port; apache: the name of the whole server is no virtual host's", () => {
    const lighttpd =
      '$HTTP["host"] == "a.org:8080" {\n fastcgi.server = ( "/" => (( "socket" => "/a" )) )\n}\n';
    expect(readConfiguration("lighttpd", lighttpd).backends[0]?.site?.names).toEqual(["a.org"]);
    const apache = "Listen 80\nServerName whole.org\n<VirtualHost *:80>\nServerName a.org\n</VirtualHost>\n";
    expect(readConfiguration("apache", apache).listens[0]?.names).toEqual(["a.org"]);
    expect(readConfiguration("apache", "Listen 80\nServerName whole.org\n").listens[0]?.names).toEqual([
      "whole.org",
    ]);
  });

  it("is not known of what stands outside of all sites, nor where sites are elsewhere", () => {
    const apache =
      'ProxyPass "/" "unix:/a|fcgi://x/"\n<VirtualHost *:80>\nServerName a.org\n</VirtualHost>\n';
    const haproxy = "backend b\n  server one unix@/app.sock proto fcgi\n";
    expect(readConfiguration("apache", apache).backends.map(({ site }) => site)).toEqual([undefined]);
    expect(readConfiguration("haproxy", haproxy).backends.map(({ site }) => site)).toEqual([undefined]);
  });
});

describe("the programs that .htaccess files name", () => {
  const SITES = `FcgidMaxRequestLen 5000
Alias "/tools" "/srv/tools"
<VirtualHost *:80>
  ServerName a.org
  DocumentRoot "/srv/a"
</VirtualHost>
<VirtualHost *:443>
  ServerName www.a.org
  DocumentRoot /srv/a/
</VirtualHost>
`;
  const read = (file: string, text: string) =>
    readApacheFolders(SITES, [{ file, text }]).map(({ program, url, line, site, bodyLimit }) => ({
      program,
      url,
      line,
      site: site && { names: site.names, ports: site.ports },
      bodyLimit,
    }));
  const site = { names: ["a.org"], ports: [80] };
  const secure = { names: ["www.a.org"], ports: [443] };

  it("are files of FastCGI, and those that requests are handed to", () => {
    const files = '<Files "x.fcgi">\n  SetHandler fcgid-script\n</Files>\nRewriteRule ^ x.fcgi [L]\n';
    const x = { program: "/srv/a/x.fcgi", url: "/", line: 2, site, bodyLimit: 5000 };
    // A site of another name may not be at the ports of this one.
    const both = (one: object): object[] => [one, { ...one, site: secure }];
    expect(read("/srv/a/.htaccess", files)).toEqual(both(x));
    for (const target of ["y.fcgi/$1", "y.fcgi$1"]) {
      const rule = `RewriteRule ^(.*)$ ${target} [QSA,L]\n`;
      expect(read("/srv/a/.htaccess", rule)).toEqual(both({ ...x, program: "/srv/a/y.fcgi", line: 1 }));
    }
    expect(read("/srv/a/.htaccess", "FallbackResource /bin/z.fcgi\n")).toEqual(
      both({ ...x, program: "/srv/a/bin/z.fcgi", line: 1 }),
    );
    const [tool] = read("/srv/tools/.htaccess", "RewriteRule ^ /tools/t.fcgi [L]\n");
    expect(tool?.program).toBe("/srv/tools/t.fcgi");
  });

  it("are below the URL of their folder, and of any site where that is an alias of all", () => {
    const [blog] = read("/srv/a/blog/.htaccess", "RewriteRule ^ b.fcgi [L]\n");
    expect(blog).toMatchObject({ program: "/srv/a/blog/b.fcgi", url: "/blog", site });
    const [tools] = read("/srv/tools/.htaccess", "RewriteRule ^ t.fcgi [L]\n");
    expect(tools).toMatchObject({ program: "/srv/tools/t.fcgi", url: "/tools", site: undefined });
  });

  it.each([
    ["/srv/elsewhere/.htaccess", "RewriteRule ^ b.fcgi [L]\n", "a folder that no visitor reaches"],
    ["/srv/a/.htaccess", "RewriteRule ^ index.php [L]\n", "another program"],
    ["/srv/a/.htaccess", "SetHandler fcgid-script\n", "a handler for everything"],
    ["/srv/a/.htaccess", '<Files "*.fcgi">\nSetHandler fcgid-script\n</Files>\n', "a pattern"],
    ["/srv/a/.htaccess", "</Files>\nRewriteRule ^ b.fcgi [L]\n", "a file that cannot be read"],
  ])("are none: %s with %j, %s", (file, text) => {
    expect(read(file, text)).toEqual([]);
  });
});

it("reads the program out of a line for a shell", () => {
  expect(commandOf("A='b c' L=\"d\" exec '/srv/a b/app.fcgi' -x")).toEqual({
    program: "/srv/a b/app.fcgi",
    environment: { A: "b c", L: "d" },
  });
  expect(commandOf("/srv/app.fcgi")).toEqual({ program: "/srv/app.fcgi", environment: {} });
});

it("reads addresses, listeners, times and sizes in the spellings of all of them", () => {
  expect(addressOf("unix:/run/a.sock:")).toEqual({ kind: "unix", path: "/run/a.sock" });
  expect(addressOf("[::1]:9000")).toEqual({ kind: "tcp", host: "::1", port: 9000 });
  expect(addressOf("unix:$socket")).toBeUndefined();
  expect(listenOf("*:80")).toEqual({ host: "", port: 80 });
  expect(listenOf("[::1]:81")).toEqual({ host: "::1", port: 81 });
  expect(listenOf("localhost")).toBeUndefined();
  expect(secondsOf("1m30s")).toBe(90);
  expect(secondsOf("5000", "ms")).toBe(5);
  expect(limitOf("1m")).toBe(1024 ** 2);
  expect(limitOf("10MB", true)).toBe(10_000_000);
  expect(limitOf("0")).toBeUndefined();
});
