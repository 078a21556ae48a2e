// `npm run bench [-- …]`: CPU time of the application process per request, candidates in turns within one run.
// README.md says what there is and how to read it. Needs the build: npm run build.
import { parseArgs } from "node:util";
import { NEWEST_NODE, setUp } from "./set-up.mjs";

const { values: flags } = parseArgs({
  options: {
    goals: { type: "boolean", default: false },
    scaling: { type: "boolean", default: false },
    "start-up": { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    python: { type: "boolean", default: false },
    out: { type: "string", default: "docs/performance" },
    json: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    node: { type: "string", default: process.execPath },
    "no-install": { type: "boolean", default: false },
  },
});

/** What goes on, where it is not in the way of the result. */
const say = (line) => console.error(line);

try {
  if (flags.goals) await goals();
  else if (flags.scaling) await scaling();
  else if (flags["start-up"]) await startUp();
  else if (flags.profile) await profile();
  else if (flags.python) await python();
  else await all();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

/** @param rounds how often every candidate has its turn, and for how many seconds, unless the flags say otherwise */
async function options(rounds, seconds) {
  const installs = !flags["no-install"];
  let node = flags.node;
  if (node === "newest") {
    const missing = await setUp(["npm"], say, installs);
    if (missing.size > 0) throw new Error(`--node newest: ${missing.get("npm")}`);
    node = NEWEST_NODE;
  }
  return {
    node,
    rounds: Number(flags.rounds ?? rounds),
    seconds: Number(flags.seconds ?? seconds),
    say,
    installs,
  };
}

async function goals() {
  const { measureGoals, printGoals } = await import("./goals.mjs");
  const how = await options(7, 0.6);
  const results = await measureGoals({ ...how, only: flags.only?.split(",") });
  if (flags.json) console.log(JSON.stringify(results, null, 2));
  else printGoals(results, how);
}

async function scaling() {
  const { printScaling, scaling } = await import("./scaling/scaling.mjs");
  const results = await scaling({ ...(await options(5, 0.8)), only: flags.only?.split(",") });
  if (flags.json) console.log(JSON.stringify(results, null, 2));
  else printScaling(results);
}

async function startUp() {
  const { printStartUp, startUp } = await import("./start-up/start-up.mjs");
  const results = await startUp(await options(7, 0));
  if (flags.json) console.log(JSON.stringify(results, null, 2));
  else printStartUp(results);
}

async function profile() {
  const { printProfiles, profiles } = await import("./profile/profile.mjs");
  const how = await options(1, 4);
  const results = await profiles({ ...how, only: flags.only?.split(","), out: flags.out });
  if (flags.json) console.log(JSON.stringify(results, null, 2));
  else printProfiles(results);
}

async function python() {
  const { printPython, pythonBench } = await import("./python/python.mjs");
  const how = { ...(await options(7, 1)), only: flags.only?.split(",") };
  const results = await pythonBench(how, flags.json ? () => {} : printPython);
  if (flags.json) console.log(JSON.stringify(results, null, 2));
}

async function all() {
  const { overview, printGroup } = await import("./overview.mjs");
  const results = await overview(await options(3, 1), flags.json ? () => {} : printGroup);
  if (flags.json) console.log(JSON.stringify(results, null, 2));
}
