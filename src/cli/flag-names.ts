/** Errors of the library name its options; who typed a command knows them as flags. */
const OPTIONS = ["bind", "mode", "owner", "group", "base"] as const;
const CAMEL_CASE = ["allowedClients", "scriptName", "stripBase"] as const;

/** `option mode: …` as `--mode: …`, `allowedClients` as `--allowed-clients`, `bind host:port: …` as `--bind …`. */
export function inFlagNames(message: string): string {
  let text = message;
  for (const name of OPTIONS) {
    text = text.replace(new RegExp(`\\boption ${name}\\b`, "g"), `--${name}`);
    text = text.replace(new RegExp(`^${name}(?= \\S+:)`), `--${name}`);
  }
  for (const name of CAMEL_CASE) {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    text = text.replace(new RegExp(`\\b(?:option )?${name}\\b`, "g"), flag);
  }
  return text;
}
