/** An explanation as text for people. Values come from strangers: nothing of them reaches a terminal as it is. */
import { ascii, pad, printable } from "../../status/text.ts";
import { hidden, isSecretHeader, isSecretParam } from "../capture/secrets.ts";
import type { Explanation } from "./explanation.ts";

export interface TextOptions {
  /** Show passwords and cookies. */
  readonly withSecrets: boolean;
}

export function explanationText(explanation: Explanation, options: TextOptions): string {
  return explanationSections(explanation, options)
    .map(({ title, rows }) => [title, ...columns(rows).map((line) => `  ${line}`)].join("\n"))
    .join("\n\n")
    .concat("\n");
}

/** A titled table: the same for text and for the page. */
export interface Section {
  readonly title: string;
  readonly rows: readonly (readonly string[])[];
}

export function explanationSections(explanation: Explanation, { withSecrets }: TextOptions): Section[] {
  const { params, software, server, decisions, seen, refusal, warning, notes } = explanation;
  const came = params.map(({ name, value, means, isClients, isRepeated }) => [
    ascii(name),
    withSecrets || !isSecretParam(name) ? ascii(value) || "(empty)" : hidden(value),
    `${means}${isClients ? " (the client's word)" : ""}${isRepeated ? "; came more than once" : ""}`,
  ]);
  const sections: Section[] = [
    { title: "What came", rows: came },
    {
      title: "Which server",
      rows: [
        [
          server ?? "not known",
          software === undefined ? "there is no SERVER_SOFTWARE" : `SERVER_SOFTWARE is ${ascii(software)}`,
        ],
      ],
    },
  ];
  if (refusal !== undefined) {
    sections.push({
      title: "What the application sees",
      rows: [["nothing", `the request is answered 400: ${printable(refusal)}`]],
    });
  }
  if (decisions.length > 0) {
    sections.push({
      title: "What was chosen",
      rows: decisions.map(({ what, value, rule, because, from }) => [
        what,
        ascii(value),
        `rule ${rule}: ${printable(because)} (${from.map(ascii).join(", ")})`,
      ]),
    });
  }
  if (seen !== undefined) {
    const { method, target, requestUrl, headers, facts } = seen;
    const rows: string[][] = [
      ["req.method", ascii(method)],
      ["req.url", ascii(target.url)],
      ["req.baseUrl", ascii(target.base) || '""'],
      ["req.originalUrl", ascii(target.originalUrl)],
      ["request.url", ascii(requestUrl)],
    ];
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index]!;
      const value = headers[index + 1]!;
      rows.push([
        `header ${ascii(name)}`,
        withSecrets || !isSecretHeader(name) ? ascii(value) : hidden(value),
      ]);
    }
    for (const [name, value] of Object.entries(facts)) {
      if (value === undefined) continue;
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      rows.push([`fastcgi(req).gateway.${name}`, ascii(text)]);
    }
    sections.push({ title: "What the application sees", rows });
  }
  const remarks = notes.map(({ name, says, remedy, page }) => [name, says, `${remedy} (docs/${page})`]);
  if (warning !== undefined) remarks.unshift(["warning", printable(warning), ""]);
  sections.push({
    title: "Notes",
    rows: remarks.length === 0 ? [["none", "nothing here surprises"]] : remarks,
  });
  return sections;
}

/** All but the last column padded; a wide one does not push the others away. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.slice(0, -1).entries()) {
      widths[index] = Math.max(widths[index] ?? 0, Math.min(cell.length, index === 0 ? 32 : 44));
    }
  }
  return rows.map((row) =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : pad(cell, widths[index]!, "right")))
      .join("  ")
      .trimEnd(),
  );
}

/** For `--json`. Secrets are left out as in text. */
export function explanationJson(explanation: Explanation, { withSecrets }: TextOptions): object {
  const { params, seen, notes, ...rest } = explanation;
  const headers: [string, string][] = [];
  for (let index = 0; seen !== undefined && index < seen.headers.length; index += 2) {
    const [name, value] = [seen.headers[index]!, seen.headers[index + 1]!];
    headers.push([name, withSecrets || !isSecretHeader(name) ? value : hidden(value)]);
  }
  return {
    ...rest,
    params: params.map((param) =>
      withSecrets || !isSecretParam(param.name) ? param : { ...param, value: hidden(param.value) },
    ),
    seen: seen && { ...seen, headers },
    notes: notes.map(({ name, says, remedy, page }) => ({ name, says, remedy, page: `docs/${page}` })),
  };
}
