/** `postern config show`: the settings in force, and where each came from. */
import { Command } from "commander";
import { describeConfiguration, printDescription } from "../../config/describe.ts";
import { loadConfiguration } from "../../config/load.ts";
import { addSettings, type Flags, loadRequest } from "../settings-flags.ts";

export function configCommand(): Command {
  const show = new Command("show")
    .description("Print the effective settings and where each came from; exits with 2 if one is wrong.")
    .argument("[file]", "the application, as for serve (default: what postern.config.* names)")
    .option("--json", "as JSON");
  addSettings(show).action(async (file: string | undefined, flags: Flags) => {
    const loaded = await loadConfiguration(loadRequest(flags, { app: file }));
    const description = describeConfiguration(loaded);
    const text =
      flags["json"] === true
        ? `${JSON.stringify(description, undefined, 2)}\n`
        : printDescription(description);
    process.stdout.write(text);
  });
  return new Command("config").description("Look at the configuration.").addCommand(show);
}
