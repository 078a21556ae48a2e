/** A request's parameters → everything there is to say about them. Pure. */
import { PosternError } from "../../base/errors.ts";
import { Params } from "../../protocol/params.ts";
import type { WebServerName } from "../../sites/model.ts";
import { type Decision, decide, type Rules, type Seen, seenBy } from "./decisions.ts";
import { meaningOf } from "./meanings.ts";
import { QUIRKS, type Quirk, serverOf } from "./quirks.ts";

export interface Explanation {
  readonly params: readonly ExplainedParam[];
  /** Undefined when nothing tells. */
  readonly server: WebServerName | undefined;
  readonly software: string | undefined;
  readonly decisions: readonly Decision[];
  /** Undefined when the server would answer 400: then `refusal` says why. */
  readonly seen: Seen | undefined;
  readonly refusal: string | undefined;
  /** What the mount's rule warns of. */
  readonly warning: string | undefined;
  readonly notes: readonly Quirk[];
}

export interface ExplainedParam {
  readonly name: string;
  readonly value: string;
  readonly means: string;
  readonly isClients: boolean;
  /** Another one of that name came later, or before. */
  readonly isRepeated: boolean;
}

/** @param pairs in the order they came; latin1 */
export function explain(
  pairs: readonly (readonly [name: string, value: string])[],
  rules: Rules,
): Explanation {
  const params = Params.from(pairs);
  let seen: Seen | undefined;
  let refusal: string | undefined;
  try {
    seen = seenBy(params, rules);
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    refusal = error.message;
  }
  const server = serverOf(params);
  const subject = { params, pairs, server, rules, seen };
  const counts = new Map<string, number>();
  for (const [name] of pairs) counts.set(name, (counts.get(name) ?? 0) + 1);
  return {
    params: pairs.map(([name, value]) => ({
      name,
      value,
      ...meaningOf(name),
      isRepeated: counts.get(name)! > 1,
    })),
    server,
    software: params.get("SERVER_SOFTWARE"),
    decisions: seen === undefined ? [] : decide(params, rules, seen),
    seen,
    refusal,
    warning: seen?.target.warning,
    notes: QUIRKS.filter((quirk) => quirk.applies(subject)),
  };
}
