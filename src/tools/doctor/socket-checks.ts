/** The questions about sockets, in the order of causes. */
import type { Check } from "./model.ts";
import { socketAnswerChecks } from "./socket-answer-checks.ts";
import { socketPathChecks } from "./socket-path-checks.ts";
import { socketPermissionChecks } from "./socket-permission-checks.ts";

export const socketChecks: readonly Check[] = [
  ...socketPathChecks,
  ...socketPermissionChecks,
  ...socketAnswerChecks,
];
