/** Errors of the library name its options; who typed a command knows them as flags, and some by another name there. */
import { flagName } from "../config/settings.ts";

/** Options of the server whose setting has another name. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  mode: "listenMode",
  owner: "listenOwner",
  group: "listenGroup",
  backlog: "listenBacklog",
};
const SAME_NAMES = [
  "bind",
  "base",
  "allowedClients",
  "trustProxy",
  "sendFile",
  "scriptName",
  "stripBase",
] as const;

/** `option mode: …` as `--listen-mode: …`, `allowedClients` as `--allowed-clients`, `bind host:port: …` as `--bind …`. */
export function inFlagNames(message: string): string {
  let text = message;
  for (const [option, setting] of Object.entries(OTHER_NAMES)) {
    text = text.replace(new RegExp(`\\boption ${option}\\b`, "g"), flagName(setting));
  }
  for (const name of SAME_NAMES) {
    const flag = flagName(name);
    text = text.replace(new RegExp(`\\boption ${name}\\b`, "g"), flag);
    text = text.replace(new RegExp(`^${name}(?= \\S+:)`), flag);
    if (/[A-Z]/.test(name)) text = text.replace(new RegExp(`\\b${name}\\b`, "g"), flag);
  }
  return text;
}
