/** The reference of all settings, as docs/settings.md has it between its marks. */
import type { Section, Setting } from "./setting.ts";
import { defaultWords, envName, flagName, SECTIONS } from "./settings.ts";

/** Markdown: a heading and a table for each section. */
export function settingsReference(): string {
  return `${SECTIONS.map(sectionOf).join("\n\n")}\n`;
}

function sectionOf({ title, intro, settings }: Section): string {
  const rows = Object.entries(settings).map(([name, setting]) => rowOf(name, setting));
  const table = ["| setting | value | default | does |", "| --- | --- | --- | --- |", ...rows].join("\n");
  return [`## ${title}`, ...(intro === undefined ? [] : [intro]), table].join("\n\n");
}

function rowOf(name: string, setting: Setting): string {
  const also = [
    flagsOf(name, setting),
    ...(setting.fpm === undefined ? [] : [`php-fpm: \`${setting.fpm}\``]),
  ];
  const cells = [
    [`\`${name}\``, ...also.filter((part) => part !== "")].join("<br>"),
    allowedIn(setting),
    defaultWords(setting),
    setting.doc,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function flagsOf(name: string, { kind, short, isFileOnly, hasNoEnv }: Setting): string {
  if (isFileOnly) return "";
  const long = flagName(name);
  const flags =
    kind.placeholder === "" ? [long, long.replace("--", "--no-")] : [...(short ? [short] : []), long];
  return [...flags, ...(hasNoEnv ? [] : [envName(name)])].map((one) => `\`${one}\``).join("<br>");
}

function allowedIn({ kind, canBeOff }: Setting): string {
  return canBeOff ? `${kind.allowed}; or false` : kind.allowed;
}
