// Servers for one WSGI application that is the same for all: one process that runs it, with as many threads at once.
import { programOf } from "../set-up.mjs";

/** Debian's, which has Debian's Flask, gunicorn and uWSGI. */
export const PYTHON = "/usr/bin/python3";
export const THREADS = 8;
/** Whom all others are compared with. */
export const POSTERN = "Postern, worker";

const PEERS = new URL("../peers/", import.meta.url).pathname;
const LIBRARY = new URL("../../python/", import.meta.url).pathname;
const CLI = new URL("../../dist/cli/main.js", import.meta.url).pathname;
const GUNICORN = ["--workers", "1", "--pythonpath", PEERS];

const alone = (server, path, app, where) => [
  ...["/usr/bin/env", `PYTHONPATH=${path}`, "PYTHONDONTWRITEBYTECODE=1"],
  ...[PYTHON, `${PEERS}wsgi_alone.py`, server, app, where, String(THREADS)],
];

/**
 * Name → candidate: the protocol nginx speaks to it, whether nginx `keeps` connections to it, what it `needs` of
 * set-up.mjs, its command line for an application MODULE:NAME at the path of a socket, whether its first process is a
 * `manager` that never runs the application, and how it says its `version`.
 */
export const CANDIDATES = {
  [POSTERN]: {
    protocol: "fastcgi",
    keeps: true,
    needs: ["python"],
    hasManager: true,
    command: ({ app, where, folder }) => [
      ...["/usr/bin/env", "PYTHONDONTWRITEBYTECODE=1"],
      ...[process.execPath, CLI, "serve", `${PEERS}${app}`, "--bind", `unix:${where}`, "--python", PYTHON],
      ...["--workers", "1", "--threads", String(THREADS), "--name", "bench"],
      ...["--control-socket", `${folder}/control`],
    ],
  },
  "Postern, .fcgi file": {
    protocol: "fastcgi",
    keeps: true,
    needs: ["python"],
    command: ({ app, where }) => alone("flup.server.fcgi", `${LIBRARY}:${PEERS}`, app, where),
  },
  // A thread per connection: kept ones would hold all threads, so its users keep none.
  "flup (a model of it)": {
    protocol: "fastcgi",
    keeps: false,
    needs: ["python"],
    command: ({ app, where }) => alone("flup_model", PEERS, app, where),
  },
  // Closes every connection, whatever the request says.
  "uWSGI, FastCGI": {
    protocol: "fastcgi",
    keeps: false,
    needs: ["uwsgi", "uwsgi-python"],
    hasManager: true,
    version: () => [programOf("uwsgi"), "--version"],
    command: ({ app, where }) => [
      programOf("uwsgi"),
      ...[
        "--plugin",
        "/usr/lib/uwsgi/plugins/python3_plugin.so",
        "--fastcgi-socket",
        where,
        "--listen",
        "100",
      ],
      ...["--master", "--processes", "1", "--threads", String(THREADS), "--pythonpath", PEERS],
      ...["--module", app, "--need-app", "--disable-logging"],
    ],
  },
  // One request at a time, and no kept connections: its documentation says so.
  "gunicorn sync, HTTP": {
    protocol: "http",
    keeps: false,
    needs: ["gunicorn"],
    hasManager: true,
    version: () => [programOf("gunicorn"), "--version"],
    command: ({ app, where }) => [programOf("gunicorn"), "--bind", `unix:${where}`, ...GUNICORN, app],
  },
  // --keep-alive: longer than nginx keeps a connection that is idle. With gunicorn's default of 2 s a request that
  // crosses its close is lost, and nginx repeats no POST.
  "gunicorn gthread, HTTP": {
    protocol: "http",
    keeps: true,
    needs: ["gunicorn"],
    hasManager: true,
    version: () => [programOf("gunicorn"), "--version"],
    command: ({ app, where }) => [
      programOf("gunicorn"),
      ...["--bind", `unix:${where}`, ...GUNICORN, "--worker-class", "gthread", "--threads", String(THREADS)],
      ...["--keep-alive", "75", app],
    ],
  },
};
