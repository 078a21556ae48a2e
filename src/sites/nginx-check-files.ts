/** Locations whose files nginx sends itself: those of `alias`, and the internal ones of `--send-file`. */
import type { Expected, Finding } from "./model.ts";
import type { Directive } from "./nginx-parse.ts";
import { around, inForce, locationName, type Pass, type Place } from "./nginx-places.ts";

/** `location /static { alias /x/; }`: `/static../secret` is `/x/../secret`. */
export function aliases(places: readonly Place[]): Finding[] {
  return places.flatMap((place) => {
    const name = locationName(place);
    const alias = place.block.find((one) => one.name === "alias");
    const folder = alias?.args[0];
    if (alias === undefined || folder === undefined || (name?.modifier !== "" && name?.modifier !== "^~"))
      return [];
    if (!name.text.endsWith("/") && folder.endsWith("/")) {
      return [
        {
          rule: "alias-traversal",
          severity: "error" as const,
          line: place.directive.line,
          what: `${name.text}../x is a file outside of ${folder}: the location needs a slash at its end, as the alias has`,
          remedy: `location ${name.text}/ {`,
        },
      ];
    }
    if (!name.text.endsWith("/") || folder.endsWith("/")) return [];
    return [
      {
        rule: "alias-slash",
        severity: "error" as const,
        line: alias.line,
        what: `${name.text}x is the file ${folder}x: the alias needs a slash at its end, as the location has`,
        remedy: `alias ${folder}/;`,
      },
    ];
  });
}

/** The internal locations of `--send-file`. */
export function fileLocations(
  places: readonly Place[],
  passes: readonly Pass[],
  expected: Expected,
): Finding[] {
  const [pass] = passes;
  return (expected.sendFile ?? []).flatMap(({ folder, url }): Finding[] => {
    if (url === undefined || pass === undefined) return [];
    const remedy = `location ${url} {\n    internal;\n    alias ${folder}/;\n}`;
    const server = around(pass.place, "server");
    const place = places.find(
      (one) => locationName(one)?.text === url && (server === undefined || around(one, "server") === server),
    );
    if (place === undefined) {
      const what = `there is no location ${url} for the files of ${folder} (--send-file): visitors get 404 or an empty page`;
      return [{ rule: "send-file-missing", severity: "error", line: pass.line, what, remedy }];
    }
    const has = (name: string): Directive | undefined => place.block.find((one) => one.name === name);
    const at = { severity: "error" as const, line: place.directive.line, remedy };
    const open: Finding = {
      rule: "send-file-open",
      what: `${url} is not internal: every visitor can ask for the files that the application guards`,
      ...at,
    };
    const other: Finding = {
      rule: "send-file-folder",
      what: `${url} is not the folder ${folder} (--send-file): visitors get 404`,
      ...at,
    };
    const alias = has("alias")?.args[0]?.replace(/\/+$/, "");
    const root = (has("root")?.args[0] ?? inForce(place, "root")?.args[0] ?? "").replace(/\/+$/, "");
    const is = alias ?? `${root}${url.replace(/\/$/, "")}`;
    return [...(has("internal") ? [] : [open]), ...(is === folder || is.includes("$") ? [] : [other])];
  });
}
