// The applications that are compared: how each is built and started. All do the work of peers/app.mjs, or the part of it
// that they are asked for.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE, compiled } from "./load/load.mjs";
import { requestFor, WORK } from "./requests.mjs";
import { programOf } from "./set-up.mjs";

const path = (name) => new URL(`peers/${name}`, import.meta.url).pathname;

/** A process of Node: a kind of peers/app.mjs. */
function node(kind, protocol, ...needs) {
  return {
    protocol,
    needs,
    command: ({ node, where }) => [node, path("app.mjs"), kind, where, String(FLOOR_BYTES)],
  };
}

/** The floor counts bytes: it answers every request of this length. */
const FLOOR_BYTES = requestFor("fastcgi", WORK.hello, true).length;

/**
 * Name → candidate: the protocol it speaks, what it `needs` of set-up.mjs, and the `command` that serves at `where` (the
 * path of a unix socket, or a port). `folder` is there for its files.
 */
export const CANDIDATES = {
  floor: node("floor", "fastcgi"),
  "postern fetch": node("postern fetch", "fastcgi"),
  "postern fetch, whole body": node("postern fetch, whole body", "fastcgi"),
  "postern listener": node("postern listener", "fastcgi"),
  "postern express": node("postern express", "fastcgi", "npm"),
  "postern fastify": node("postern fastify", "fastcgi", "npm"),
  "postern hono": node("postern hono", "fastcgi", "npm"),
  "worker fetch": node("worker fetch", "fastcgi"),
  "worker listener": node("worker listener", "fastcgi"),
  "node:http": node("node:http", "http"),
  "node:http express": node("node:http express", "http", "npm"),
  "node:http fastify": node("node:http fastify", "http", "npm"),
  "node:http hono": node("node:http hono", "http", "npm"),
  "node-fastcgi": node("node-fastcgi", "fastcgi", "npm"),
  libfcgi: {
    protocol: "fastcgi",
    needs: ["gcc", "libc", "libfcgi"],
    command: ({ where }) => [compiled(new URL("peers/libfcgi.c", import.meta.url), "-lfcgi"), where],
  },
  go: {
    protocol: "fastcgi",
    needs: ["go"],
    command: ({ where }) => [builtGo(path("fcgi.go")), where],
  },
  "php-fpm": {
    protocol: "fastcgi",
    needs: ["php"],
    command: ({ where, folder }) => phpCommand(where, folder),
  },
  uwsgi: {
    protocol: "fastcgi",
    needs: ["uwsgi", "uwsgi-python"],
    command: ({ where }) => [
      programOf("uwsgi"),
      ...["--plugin", "/usr/lib/uwsgi/plugins/python3_plugin.so", "--fastcgi-socket", where],
      ...["--listen", "100", "--wsgi-file", path("wsgi.py"), "--need-app", "--disable-logging"],
    ],
  },
  perl: {
    protocol: "fastcgi",
    needs: ["perl"],
    command: ({ where }) => ["perl", path("fcgi.pl"), where],
  },
};

function builtGo(source) {
  const program = `${CACHE}go-${createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12)}`;
  if (existsSync(program)) return program;
  mkdirSync(CACHE, { recursive: true });
  // Needs the standard library only, and no network.
  const env = { ...process.env, GOCACHE: join(CACHE, "go-cache"), GO111MODULE: "off", GOFLAGS: "" };
  execFileSync("go", ["build", "-o", `${program}.${process.pid}`, source], { env, stdio: "pipe" });
  renameSync(`${program}.${process.pid}`, program);
  return program;
}

/** One child that answers everything, and keeps what it has compiled. */
function phpCommand(where, folder) {
  const isRoot = process.getuid() === 0;
  const file = join(folder, "php-fpm.conf");
  writeFileSync(
    file,
    `[global]
error_log = ${join(folder, "php-fpm.log")}
daemonize = no
[www]
${isRoot ? "user = root\ngroup = root" : ""}
listen = ${where}
pm = static
pm.max_children = 1
`,
  );
  const settings = ["-d", "zend_extension=opcache", "-d", "opcache.enable=1"];
  return [programOf("php"), "-n", ...settings, "-F", "-y", file, ...(isRoot ? ["-R"] : [])];
}
