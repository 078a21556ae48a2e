/**
 * The application of the tests of the manager. What it answers is JSON, except where the path asks for something odd.
 * `release.txt` beside it is read once, when it is loaded: `throws` makes it fail to load.
 */
import { existsSync, readFileSync } from "node:fs";

const release = readFileSync(new URL("release.txt", import.meta.url), "utf8").trim();
if (release === "throws") throw new Error("no database");
if (release === "awaits") await new Promise(() => {});
if (release === "waits") {
  console.error("loading");
  await new Promise(() => setInterval(() => {}, 1000));
}
if (release === "exits") process.exit(7);
if (release === "dies") process.kill(process.pid, "SIGKILL");
const kept = [];

export default function handle(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://x");
  switch (pathname) {
    case "/wait": // answers when the file named by ?until exists
      console.error(`waiting in ${process.pid}`);
      waitForFile(searchParams.get("until"), () => response.end(`waited in ${process.pid}`));
      return;
    case "/loop":
      console.error(`looping in ${process.pid}`);
      if (searchParams.has("seconds")) busyFor(Number(searchParams.get("seconds")) * 1000);
      else endlessLoop();
      response.end("looped");
      return;
    case "/never":
      console.error(`never in ${process.pid}`);
      return;
    case "/grow":
      kept.push(Buffer.alloc(Number(searchParams.get("mebibytes")) * 1024 * 1024, 1));
      response.end("grown");
      return;
    case "/print":
      process[searchParams.get("to") ?? "stdout"].write(`${searchParams.get("text")}\n`, () =>
        response.end(),
      );
      return;
    case "/close-stdout":
      process.stdout.destroy();
      process.stderr.destroy();
      console.log("into nothing");
      response.end("closed");
      return;
    case "/facts":
      answer(response, facts());
      return;
    default:
      answer(response, { pid: process.pid, release, url: request.url });
  }
}

function answer(response, value) {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(value));
}

function waitForFile(path, then) {
  const timer = setInterval(() => {
    if (!existsSync(path)) return;
    clearInterval(timer);
    then();
  }, 5);
}

function endlessLoop() {
  for (;;) {
    if (Date.now() === 0) return;
  }
}

function busyFor(ms) {
  const until = Date.now() + ms;
  while (Date.now() < until);
}

function facts() {
  const limits = existsSync("/proc/self/limits") ? readFileSync("/proc/self/limits", "latin1") : "";
  return {
    pid: process.pid,
    uid: process.getuid(),
    gid: process.getgid(),
    groups: process.getgroups(),
    umask: process.umask(),
    cwd: process.cwd(),
    env: process.env,
    execArgv: process.execArgv,
    openFiles: Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]),
    title: process.title,
  };
}
