/**
 * The application of the tests of programs that somebody else starts. It writes down each start and end, and does at the
 * start what `start.txt` beside it says: `throws`, `exits`, or `waits` until there is a file `go`.
 */
import { appendFileSync, existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { fastcgi } from "postern";
import load from "./load.js";

const folder = import.meta.dirname;
const note = (text) => appendFileSync(join(folder, "lives.txt"), `${text} ${process.pid}\n`);
const exists = (path) =>
  new Promise((resolve) => {
    const look = () => (existsSync(path) ? resolve() : setTimeout(look, 5));
    look();
  });

note("start");
process.on("exit", (code) => note(`exit ${code}`));
const mode = readFileSync(join(folder, "start.txt"), "utf8");
if (mode === "throws") throw new Error("the database is not there");
if (mode === "exits") process.exit(3);
if (mode === "waits") await exists(join(folder, "go"));
const { SPAWNED_BY } = process.env;

const ROUTES = {
  "/load": load,
  "/started": (_, res) => {
    const fds = {};
    for (const fd of [0, 1, 2]) fds[fd] = target(fd);
    res.setHeader("content-type", "application/json");
    const { pid, ppid, env } = process;
    res.end(JSON.stringify({ pid, ppid, env, cwd: process.cwd(), fds, by: SPAWNED_BY ?? "" }));
  },
  "/say": (req, res) => {
    console.log("said on stdout");
    console.error("said on stderr");
    fastcgi(req).stderr.write("said to the web server\n");
    res.end(`said by ${process.pid}`);
  },
  // Open until there is a file of that name.
  "/wait": async (req, res) => {
    const name = new URL(req.url, "http://a").searchParams.get("until") ?? "";
    note(`wait ${name}`);
    await exists(join(folder, name));
    res.end(`waited in ${process.pid}`);
  },
  "/crash": () => {
    setImmediate(() => {
      throw new Error("crashed on purpose");
    });
  },
};

function target(fd) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "closed";
  }
}

export default (req, res) => {
  const route = ROUTES[req.url.replace(/\?.*/, "")];
  if (route === undefined) res.end(`hello from ${process.pid} at ${req.url}`);
  else return route(req, res);
};
