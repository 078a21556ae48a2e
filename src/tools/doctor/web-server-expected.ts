/** What a web server's configuration is compared with: what is known of the application. Pure. */
import type { Expected } from "../../sites/model.ts";
import type { Facts } from "./model.ts";

export function expectedBy({ application, connect }: Facts): Expected {
  const listens = [...(application?.listens ?? []), ...(connect === undefined ? [] : [connect])];
  const reachable = listens.filter(({ kind }) => kind === "unix" || kind === "tcp");
  return {
    addresses: reachable.length === 0 ? undefined : reachable,
    mount: application?.base,
    maxBodyBytes: undefined,
    sendFile: undefined,
    timeoutSeconds: application?.timeoutSeconds,
  };
}
