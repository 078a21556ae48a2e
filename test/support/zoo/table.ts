/** The zoo as the table of docs/tools/doctor.md. */
import type { Animal } from "./model.ts";

export function zooTable(animals: readonly Animal[]): string {
  const rows = animals.map(({ name, server, sick, cause, advice }) => [
    name,
    server,
    String(sick),
    `\`${cause}\``,
    advice === undefined ? "what is printed" : `by hand: ${advice}`,
  ]);
  const all = [
    ["breakage", "web server", "a visitor sees", "first finding", "mended by"],
    ["---", "---", "---", "---", "---"],
    ...rows,
  ];
  return all.map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");
}
