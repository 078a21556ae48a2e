/** Every question of the doctor, by stage, in the order of causes: what comes first explains what comes later. */
import { logChecks } from "./log-checks.ts";
import type { Check, Stage } from "./model.ts";
import { programChecks } from "./program-checks.ts";
import { trialChecks } from "./program-trial-checks.ts";
import { socketChecks } from "./socket-checks.ts";
import { webServerChecks } from "./web-server-checks.ts";
import { requestChecks } from "./web-server-checks-request.ts";

export const STAGES: readonly Stage[] = ["program", "socket", "web-server", "request", "log"];

export const CHECKS: Readonly<Record<Stage, readonly Check[]>> = {
  program: [...programChecks, ...trialChecks],
  socket: socketChecks,
  "web-server": webServerChecks,
  request: requestChecks,
  log: logChecks,
};
