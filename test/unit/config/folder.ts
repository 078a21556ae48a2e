/** A folder of configuration files, and loading from it without anything of the process that runs the tests. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type LoadedConfiguration, type LoadRequest, loadConfiguration } from "../../../src/config/load.ts";
import { temporaryFolder } from "../../support/temp.ts";

export interface ConfigFolder {
  readonly path: string;
  /** Writes a file; an object is written as JSON. */
  write(name: string, content: string | object): void;
  /** Loads as user 1000 (somebody) with 4 cores, an empty environment and no flags. */
  load(request?: Partial<LoadRequest>): Promise<LoadedConfiguration>;
  /** {@link load}'s error message, of code ERR_POSTERN_BAD_SETTING. */
  refusal(request?: Partial<LoadRequest>): Promise<string>;
}

/** A new folder called `site`, with `postern.config.json` when a configuration is given. */
export function configFolder(configuration?: object): ConfigFolder {
  const path = join(temporaryFolder("config"), "site");
  mkdirSync(path);
  const write = (name: string, content: string | object): void => {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), typeof content === "string" ? content : JSON.stringify(content));
  };
  if (configuration !== undefined) write("postern.config.json", configuration);
  const load = (request: Partial<LoadRequest> = {}): Promise<LoadedConfiguration> =>
    loadConfiguration({
      cwd: path,
      env: {},
      flags: {},
      uid: 1000,
      cores: 4,
      userName: "somebody",
      ...request,
    });
  return {
    path,
    write,
    load,
    async refusal(request) {
      const result = await load(request).then(
        () => "nothing was refused",
        (error: { code: string; message: string }) =>
          error.code === "ERR_POSTERN_BAD_SETTING" ? error.message : `${error.code}: ${error.message}`,
      );
      return result;
    },
  };
}
