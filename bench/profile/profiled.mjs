// Preloaded into an application that is profiled (`--import`): SIGUSR2 begins, a second one ends, and the profile is in
// the file that POSTERN_PROFILE names. So nothing of the start and of warming up is in it.
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector";

/** Often enough to see what takes a twentieth of a microsecond per request, and seldom enough not to be seen itself, us. */
const INTERVAL_US = 400;

const session = new Session();
session.connect();
const post = (method, params) =>
  new Promise((resolve, reject) => {
    session.post(method, params, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
await post("Profiler.enable");
await post("Profiler.setSamplingInterval", { interval: INTERVAL_US });

let isRunning = false;
process.on("SIGUSR2", async () => {
  isRunning = !isRunning;
  if (isRunning) {
    await post("Profiler.start");
    return;
  }
  const { profile } = await post("Profiler.stop");
  writeFileSync(process.env.POSTERN_PROFILE, JSON.stringify(profile));
});
