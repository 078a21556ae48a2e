/** Which requests a person wants to see: by how they ended, how long they took, and their URL. Pure. */
import { SettingError } from "../../base/errors.ts";
import { readDuration } from "../../config/values.ts";
import type { Exchange } from "../capture/conversation.ts";
import { urlOf } from "./view.ts";

export type Filter = (exchange: Exchange) => boolean;

const FORMS = "5xx, 404, aborted, failed, stderr or slow:500ms";

/**
 * @param only any of them is enough: `5xx`, `404`, `aborted`, `failed`, `stderr`, `slow:500ms`
 * @param url `*` stands for anything; without a `?` in it the query does not count
 * @throws {SettingError} `ERR_POSTERN_BAD_SETTING`
 */
export function filterOf(only: readonly string[], url: string | undefined): Filter {
  const kinds = only.flatMap((text) => text.split(",")).map(kindOf);
  const pattern = url === undefined ? undefined : globOf(url);
  return (exchange) => {
    if (kinds.length > 0 && !kinds.some((kind) => kind(exchange))) return false;
    if (pattern === undefined) return true;
    const whole = urlOf(exchange);
    return pattern.test(url?.includes("?") === true ? whole : (whole.split("?", 1)[0] ?? ""));
  };
}

function kindOf(text: string): Filter {
  const word = text.trim();
  const status = /^([1-5])(xx|\d\d)$/.exec(word);
  if (status !== null) {
    const [, hundred, rest] = status;
    return ({ head }) =>
      head !== undefined &&
      (rest === "xx" ? Math.floor(head.status / 100) === Number(hundred) : head.status === Number(word));
  }
  if (word === "aborted")
    return ({ ending }) => ending === "aborted" || ending === "closed by the web server";
  if (word === "failed") return isFailed;
  if (word === "stderr") return ({ stderrBytes }) => stderrBytes > 0;
  const slow = /^slow:(.+)$/.exec(word);
  const least = slow === null ? undefined : readDuration(slow[1]);
  if (least !== undefined) return ({ beginMs, endMs }) => endMs !== undefined && endMs - beginMs >= least;
  throw new SettingError("ERR_POSTERN_BAD_SETTING", `--only ${JSON.stringify(word)}: write ${FORMS}`);
}

/** Whether the answer is not one that an application gives on purpose. */
export function isFailed({ ending, head, headProblem, appStatus }: Exchange): boolean {
  return (
    (ending !== "done" && ending !== "open") ||
    (head?.status ?? 0) >= 500 ||
    headProblem !== undefined ||
    (appStatus ?? 0) !== 0
  );
}

function globOf(glob: string): RegExp {
  const parts = glob.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s");
}
