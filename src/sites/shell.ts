/** Commands for those who install what was made: the step that several servers need. */
import type { Step } from "../generate/model.ts";
import { shWord } from "../generate/quoting.ts";
import type { Standalone } from "./model.ts";

/**
 * For servers that open files in their folder only after they have become their user. The folder stays root's, and what
 * root put there cannot be replaced (the sticky bit): root starts the server with it.
 */
export function writableSteps({ folder, user, group }: Standalone): Step[] {
  if (user === undefined) return [];
  const whose = group === undefined ? "" : ` -g ${shWord("group", group)}`;
  const mode = group === undefined ? "1777" : "1775";
  return [{ what: "install", command: `install -d${whose} -m ${mode} ${shWord("folder", folder)}` }];
}
