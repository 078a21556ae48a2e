/**
 * Writes the tables of docs/settings.md, which a test compares with the table of settings in src/config.
 * Run it after a setting was added or changed: `node scripts/settings-doc.mjs`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createJiti } from "jiti";
import { root } from "./steps.mjs";

const MARK = "<!-- From here on written by scripts/settings-doc.mjs. -->\n";
const jiti = createJiti(import.meta.url, { fsCache: false });
const { settingsReference } = await jiti.import(join(root, "src", "config", "reference.ts"));
const path = join(root, "docs", "settings.md");
const [head] = readFileSync(path, "utf8").split(MARK);
writeFileSync(path, `${head}${MARK}\n${settingsReference()}`);
