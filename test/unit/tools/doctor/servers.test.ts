/** How the doctor finds web servers: command lines, configurations in many files, processes, namespaces. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readConfiguration } from "../../../../src/sites/reading.ts";
import { checkCommand, readCommandLine } from "../../../../src/tools/doctor/servers/command-line.ts";
import { readFiles } from "../../../../src/tools/doctor/servers/configuration.ts";
import { differing } from "../../../../src/tools/doctor/servers/hidden.ts";
import { htaccessOf } from "../../../../src/tools/doctor/servers/htaccess.ts";
import { findWebServers, serverOfFile } from "../../../../src/tools/doctor/servers/index.ts";
import { runningServers } from "../../../../src/tools/doctor/servers/processes.ts";
import { reloadOf } from "../../../../src/tools/doctor/servers/systemd.ts";
import { temporaryFolder } from "../../../support/temp.ts";

const HERE = { root: "" };

function written(files: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder("conf");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

describe("a command line", () => {
  it.each([
    ["nginx", ["-p", "/srv/x", "-c", "conf/n.conf", "-e", "e.log"], ["/srv/x/conf/n.conf"], "/srv/x"],
    ["nginx", ["-c/etc/n.conf"], ["/etc/n.conf"], undefined],
    ["apache", ["-d", "/srv", "-f", "a.conf", "-D", "FOREGROUND"], ["/srv/a.conf"], "/srv"],
    ["lighttpd", ["-D", "-f", "l.conf"], ["/cwd/l.conf"], undefined],
    ["haproxy", ["-db", "-f", "a.cfg", "-f", "/etc/b.cfg"], ["/cwd/a.cfg", "/etc/b.cfg"], undefined],
    ["caddy", ["run", "--config=/etc/Caddyfile", "--adapter", "caddyfile"], ["/etc/Caddyfile"], undefined],
    ["h2o", ["-m", "worker", "-c", "/srv/h2o.conf"], ["/srv/h2o.conf"], undefined],
    ["cherokee", ["-C", "/srv/c.conf"], ["/srv/c.conf"], undefined],
    ["nginx", [], [], undefined],
  ] as const)("%s %j names its files", (server, args, files, prefix) => {
    expect(readCommandLine(server, args, "/cwd")).toMatchObject({ files, prefix });
  });

  it("is checked with the arguments that name the configuration, and with none that starts anything", () => {
    const line = readCommandLine(
      "apache",
      ["-d", "/srv", "-f", "a.conf", "-D", "FOREGROUND", "-k", "start"],
      "/",
    );
    expect(checkCommand("apache", ["/usr/sbin/apache2"], line)).toEqual([
      "/usr/sbin/apache2",
      "-d",
      "/srv",
      "-f",
      "/srv/a.conf",
      "-D",
      "FOREGROUND",
      "-t",
    ]);
  });
});

describe("a configuration in several files", () => {
  it("nginx: includes are followed, and each line knows its place", () => {
    const folder = written({
      "nginx.conf": "http {\n  include sites/*.conf;\n}\n",
      "sites/a.conf": "server {\n  location / {\n    fastcgi_pass unix:/run/a.sock;\n  }\n}\n",
      "sites/.hidden.conf": "garbage {",
    });
    const main = join(folder, "nginx.conf");
    const { source } = readFiles({
      server: "nginx",
      files: [main],
      prefix: undefined,
      environment: undefined,
      disk: HERE,
    });
    const [backend] = readConfiguration("nginx", source?.text ?? "").backends;
    expect(source?.files).toEqual([main, join(folder, "sites/a.conf")]);
    expect(source?.lines[(backend?.line ?? 0) - 1]).toEqual({ file: join(folder, "sites/a.conf"), line: 3 });
  });

  it("apache: folders and patterns below the server root, and variables of its environment", () => {
    const folder = written({
      "apache2.conf": `ErrorLog \${LOGS}/error.log\nIncludeOptional mods/*.load\nInclude conf\nIncludeOptional none/*.conf\n`,
      "mods/p.load": "LoadModule proxy_module x.so\n",
      "conf/site": 'ProxyPass "/" "unix:/run/a.sock|fcgi://a/"\n',
    });
    const files = [join(folder, "apache2.conf")];
    const { source, folder: root } = readFiles({
      server: "apache",
      files,
      prefix: undefined,
      environment: { LOGS: "/var/log/x" },
      disk: HERE,
    });
    expect(root).toBe(folder);
    expect(source?.text).toBe(
      'ErrorLog /var/log/x/error.log\nLoadModule proxy_module x.so\nProxyPass "/" "unix:/run/a.sock|fcgi://a/"\n',
    );
    expect(source?.lines[2]).toEqual({ file: join(folder, "conf/site"), line: 1 });
  });

  it("lighttpd and caddy: what they include or import; haproxy: a folder", () => {
    const folder = written({
      "l.conf": 'include "more.conf"\nserver.port = 1\n',
      "more.conf": 'server.errorlog = "/e"\n',
      Caddyfile: ":80 {\n\timport snippet\n\timport parts/*\n}\n",
      "parts/a": "respond x\n",
      "h/1.cfg": "global\n",
      "h/2.cfg": "frontend f\n  bind :80\n",
      "h/3.txt": "no configuration",
    });
    const read = (server: "lighttpd" | "caddy" | "haproxy", name: string): string | undefined =>
      readFiles({
        server,
        files: [join(folder, name)],
        prefix: undefined,
        environment: undefined,
        disk: HERE,
      }).source?.text;
    expect(read("lighttpd", "l.conf")).toBe('server.errorlog = "/e"\nserver.port = 1\n');
    expect(read("caddy", "Caddyfile")).toBe(":80 {\n\timport snippet\nrespond x\n}\n");
    expect(read("haproxy", "h")).toBe("global\nfrontend f\n  bind :80\n");
  });

  it("files that include each other end, and a main file that is not there is said", () => {
    const folder = written({ "a.conf": 'include "b.conf"\n', "b.conf": 'include "a.conf"\n' });
    const read = (name: string) =>
      readFiles({
        server: "lighttpd" as const,
        files: [join(folder, name)],
        prefix: undefined,
        environment: undefined,
        disk: HERE,
      });
    expect(read("a.conf").source?.files.length).toBeLessThan(100);
    expect(read("none.conf").problem).toMatch(/ENOENT/);
  });

  it("finds .htaccess files only where Apache may follow them", () => {
    const folder = written({ "www/.htaccess": "RewriteEngine On\n" });
    const root = `DocumentRoot "${folder}/www"\n`;
    expect(htaccessOf(root, HERE)).toEqual([]);
    expect(htaccessOf(`${root}<Directory />\nAllowOverride All\n</Directory>\n`, HERE)).toEqual([
      { file: `${folder}/www/.htaccess`, text: "RewriteEngine On\n" },
    ]);
  });
});

describe("which server a file is for", () => {
  it.each([
    ["made.txt", "# Made by: postern config h2o\nhosts:\n", "h2o"],
    ["nginx.conf", "", "nginx"],
    ["Caddyfile", "", "caddy"],
    ["x.conf", "fastcgi.server = ( )\n", "lighttpd"],
    ["x.conf", "<VirtualHost *:80>\n", "apache"],
    ["x.conf", "server {\n", "nginx"],
    ["x.cfg", "frontend f\n", "haproxy"],
    ["x.conf", "hosts:\n", "h2o"],
    ["x.conf", "vserver!1!nick = a\n", "cherokee"],
    ["x.conf", "nothing known", undefined],
  ] as const)("%s with %j", (name, text, server) => {
    const folder = written({ [name]: text });
    expect(serverOfFile(join(folder, name))).toBe(server);
  });
});

/** A folder that looks as /proc does. */
function proc(
  processes: Readonly<
    Record<number, { exe: string; cmdline: string; parent: number; uid: number; start: number }>
  >,
): string {
  const folder = written({ uptime: "1000.00 1.0\n" });
  for (const [pid, { exe, cmdline, parent, uid, start }] of Object.entries(processes)) {
    mkdirSync(join(folder, pid));
    symlinkSync(exe, join(folder, pid, "exe"));
    writeFileSync(join(folder, pid, "cmdline"), cmdline);
    writeFileSync(
      join(folder, pid, "status"),
      `Name:\tx\nPPid:\t${parent}\nUid:\t0\t${uid}\t0\t0\nGid:\t0\t${uid}\t0\t0\nGroups:\t4 ${uid} \n`,
    );
    writeFileSync(
      join(folder, pid, "stat"),
      `${pid} (a (b) c) S ${parent} ${"0 ".repeat(17)}${start * 100} 0\n`,
    );
  }
  return folder;
}

describe("the processes of a machine", () => {
  it("are masters and workers, told by their program; nginx's title is taken apart", () => {
    const found = runningServers(
      proc({
        10: {
          exe: "/usr/sbin/nginx",
          cmdline: "nginx: master process nginx -p /srv/a b -c /srv/a b/nginx.conf\0\0",
          parent: 1,
          uid: 0,
          start: 900,
        },
        11: { exe: "/usr/sbin/nginx", cmdline: "nginx: worker process\0", parent: 10, uid: 33, start: 950 },
        12: {
          exe: "/usr/sbin/nginx",
          cmdline: "nginx: worker process is shutting down\0",
          parent: 10,
          uid: 33,
          start: 910,
        },
        20: {
          exe: "/lib64/ld-linux-x86-64.so.2",
          cmdline: "/lib64/ld-linux-x86-64.so.2\0--library-path\0/l\0/x/usr/sbin/haproxy\0-f\0/h.cfg\0",
          parent: 1,
          uid: 33,
          start: 1,
        },
        30: { exe: "/usr/bin/vim", cmdline: "vim\0/etc/nginx/nginx.conf\0", parent: 1, uid: 0, start: 1 },
        31: {
          exe: "/usr/sbin/lighttpd (deleted)",
          cmdline: "lighttpd\0-D\0-f\0/l.conf\0",
          parent: 1,
          uid: 33,
          start: 1,
        },
      }),
    );
    expect(
      found.map(({ master, workers }) => [master.server, master.pid, workers.map(({ pid }) => pid)]),
    ).toEqual([
      ["nginx", 10, [11, 12]],
      ["haproxy", 20, []],
      ["lighttpd", 31, []],
    ]);
    const [nginx, haproxy] = found;
    expect(nginx?.master.args).toEqual(["-p", "/srv/a b", "-c", "/srv/a b/nginx.conf"]);
    expect(nginx?.workers.map(({ isLeaving }) => isLeaving)).toEqual([false, true]);
    expect(nginx?.workers[0]).toMatchObject({ uid: 33, gids: [33, 4] });
    expect(haproxy?.master).toMatchObject({
      program: ["/lib64/ld-linux-x86-64.so.2", "--library-path", "/l", "/x/usr/sbin/haproxy"],
      args: ["-f", "/h.cfg"],
    });
    // It began 100 s ago.
    expect(Math.abs((nginx?.master.startedAt ?? 0) - (Date.now() - 100_000))).toBeLessThan(5000);
  });

  it("are none without a /proc", () => {
    expect(runningServers("/nowhere")).toEqual([]);
  });
});

it("tells which folders another mount namespace has of its own", () => {
  const mount = (device: string, root: string, point: string): string =>
    `1 2 ${device} ${root} ${point} rw - ext4 /dev/x rw`;
  const ours = [mount("8:1", "/", "/"), mount("0:20", "/", "/run")].join("\n");
  const same = [ours, mount("8:1", "/usr", "/usr")].join("\n");
  expect(differing(ours, same)).toEqual([]);
  const privateTmp = [
    same,
    mount("8:1", "/tmp/systemd-private-1/tmp", "/tmp"),
    mount("0:99", "/", "/home"),
    mount("0:5", "/", "/proc/x"),
  ];
  expect(differing(ours, privateTmp.join("\n"))).toEqual(["/home", "/tmp"]);
  expect(differing(ours, mount("8:1", "/", "/"))).toEqual(["/run"]);
  expect(differing("", mount("8:1", "/a\\040b", "/a\\040b"))).toEqual(["/a b"]);
});

it("a server is made to read again by the signal that is its own; some cannot be", () => {
  const running = (server: "nginx" | "haproxy" | "h2o" | "caddy", args: readonly string[] = []) => ({
    master: {
      server,
      pid: 7,
      parent: 1,
      program: ["/usr/bin/x"],
      args,
      uid: 0,
      gids: [0],
      startedAt: 0,
      isLeaving: false,
    },
    workers: [],
  });
  expect(reloadOf("nginx", running("nginx"), undefined, "", "/n.conf")).toBe("kill -HUP 7");
  expect(reloadOf("haproxy", running("haproxy"), undefined, "", "/h.cfg")).toBeUndefined();
  expect(reloadOf("h2o", running("h2o", ["-m", "worker"]), undefined, "", "/h")).toBeUndefined();
  expect(reloadOf("caddy", running("caddy"), undefined, "{\n\tadmin off\n}\n", "/Caddyfile")).toBeUndefined();
  expect(reloadOf("caddy", running("caddy"), undefined, ":80\n", "/a b/Caddyfile")).toBe(
    "/usr/bin/x reload --config '/a b/Caddyfile' --adapter caddyfile",
  );
  expect(reloadOf("nginx", running("nginx"), "nginx.service", "", "/n.conf")).toBe(
    "systemctl reload nginx.service",
  );
  expect(reloadOf("nginx", undefined, undefined, "", "/n.conf")).toBeUndefined();
});

it("a file that was named is looked at although nothing runs with it", async () => {
  const folder = written({
    "lighttpd.conf":
      'server.username = "nobody"\nserver.errorlog = "e.log"\nfastcgi.server = ( "/" => (( "bin-path" => "/srv/a.fcgi", "bin-environment" => ( "A" => "b" ) )) )\n',
  });
  const configFile = join(folder, "lighttpd.conf");
  const [fact] = await findWebServers({ configFile, environment: {} }, AbortSignal.timeout(10_000));
  expect(fact).toMatchObject({
    server: "lighttpd",
    running: false,
    files: [configFile],
    user: { name: "nobody" },
    errorLogs: [join(folder, "e.log")],
    backends: [{ program: "/srv/a.fcgi", place: `${configFile}:3`, environment: { A: "b" } }],
  });
});

it("a configuration that cannot be read is said with its file and line", async () => {
  const folder = written({
    "nginx.conf": "http {\n  include a.conf;\n}\n",
    "a.conf": "server {\n  listen 80\n}\n",
  });
  const [fact] = await findWebServers(
    { configFile: join(folder, "nginx.conf"), environment: {} },
    AbortSignal.timeout(10_000),
  );
  expect(fact?.problem).toMatch(
    new RegExp(`^${join(folder, "a.conf")}:2: this is no configuration of nginx`),
  );
  expect(fact?.backends).toEqual([]);
});
