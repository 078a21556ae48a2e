/** All behaviours, in the order of the table. */
import { bodyBehaviours } from "./bodies.ts";
import {
  connectionBehaviours,
  fileBehaviours,
  leavingBehaviours,
  streamingBehaviours,
} from "./connections.ts";
import { headerBehaviours, identityBehaviours, methodBehaviours } from "./headers.ts";
import { largeBehaviours } from "./large.ts";
import type { Behaviour } from "./model.ts";
import { errorBehaviours, rangeBehaviours, responseBehaviours } from "./responses.ts";
import { urlBehaviours } from "./urls.ts";

export const BEHAVIOURS: readonly Behaviour[] = [
  ...urlBehaviours,
  ...methodBehaviours,
  ...headerBehaviours,
  ...identityBehaviours,
  ...bodyBehaviours,
  ...responseBehaviours,
  ...rangeBehaviours,
  ...streamingBehaviours,
  ...largeBehaviours,
  ...leavingBehaviours,
  ...connectionBehaviours,
  ...errorBehaviours,
  ...fileBehaviours,
];
