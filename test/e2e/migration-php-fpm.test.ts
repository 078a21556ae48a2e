/** docs/migrate/php-fpm.md with a real php-fpm: the pool beside its configuration, and both behind one nginx. */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { settingsOf } from "../../src/config/settings.ts";
import { built } from "../support/e2e/built.ts";
import { blockOf, makeSetting, servePostern, startDocumented, withText } from "../support/e2e/documented.ts";
import { request } from "../support/http.ts";
import { repositoryRoot } from "../support/paths.ts";
import { type Finished, run } from "../support/process.ts";
import { temporaryFolder } from "../support/temp.ts";
import { patience } from "../support/wait.ts";
import { describeWithServer, programOf } from "../support/web-servers/available.ts";
import { startPhpFpm } from "../support/web-servers/php-fpm.ts";
import { serverUser } from "../support/web-servers/web-server.ts";

const CLI = join(repositoryRoot, "dist", "cli", "main.js");
const SOON = { timeoutMs: 30_000 };
const LONG = { timeout: patience(120_000) };

beforeAll(built);

describeWithServer(["nginx", "php-fpm"], "from php-fpm", () => {
  const page = "docs/migrate/php-fpm.md";
  const { user, group } = serverUser() ?? { user: "www-data", group: "www-data" };

  it("Node and php-fpm share a server block", LONG, async () => {
    const setting = await makeSetting();
    const publicFolder = join(setting.site, "public");
    writeFileSync(join(publicFolder, "index.php"), "<?php echo 'php ', $_SERVER['REQUEST_URI'];");
    chmodSync(join(publicFolder, "index.php"), 0o644);
    const php = await startPhpFpm();
    await using _php = php.process;
    await using _app = await servePostern(join(setting.site, "app.js"), [
      "--bind",
      `unix:${join(setting.run, "app.sock")}`,
    ]);
    const socket = "unix" in php.address ? php.address.unix : "";
    const block = withText(blockOf(page, "name=beside"), { "/run/php/php-fpm.sock": socket });
    const web = await startDocumented(block, setting);
    await using _web = web.process;
    const ask = async (path: string): Promise<string> => (await request(`${web.origin}${path}`)).text;
    expect(await ask("/app/a%2Fb?q=1"), web.errorLog()).toBe('mount "/app", path /a%2Fb?q=1\n');
    expect(await ask("/app/x.php")).toBe('mount "/app", path /x.php\n');
    expect(await ask("/")).toBe("php /");
    expect(await ask("/index.php?a=b")).toBe("php /index.php?a=b");
    expect(await ask("/some/page?a=b")).toBe("php /some/page?a=b");
    expect(await ask("/static/a.txt")).toBe("from disk");
    expect((await request(`${web.origin}/nowhere.php`)).status).toBe(404);
  });

  it("the pool of php-fpm and the configuration mean the same, name by name", LONG, async () => {
    const folder = temporaryFolder("pool");
    const here = {
      "/run/yourapplication": folder,
      "/var/www/yourapplication": folder,
      "/var/log/yourapplication": folder,
      "www-data": user,
    };
    const pool = withText(blockOf(page, "name=pool"), {
      ...here,
      "= www-data\nlisten": `= ${group}\nlisten`,
    }).text;
    writeFileSync(join(folder, "fpm.conf"), `[global]\nerror_log = ${folder}/fpm.log\n${pool}`);
    const checked = await run(programOf("php-fpm"), ["-n", "-t", "-y", join(folder, "fpm.conf")]);
    expect(checked.stderr).toMatch(/configuration file .* test is successful/);

    const settings = Object.entries(settingsOf("pool"));
    const environment: Record<string, string> = {};
    const names: string[] = [];
    for (const [, directive = "", value = ""] of pool.matchAll(/^([\w.]+) = (.*)$/gm)) {
      const [name] = settings.find(([, { fpm }]) => fpm === directive) ?? [];
      if (name === undefined) throw new Error(`no setting has the name ${directive} in php-fpm`);
      names.push(name);
      environment[`POSTERN_${name.replace(/[A-Z]/g, "_$&").toUpperCase()}`] = value;
    }
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "app.js"), "export default () => {};");
    writeFileSync(join(folder, "plain.json"), JSON.stringify({ name: "www", app: "app.js" }));
    writeFileSync(
      join(folder, "postern.config.ts"),
      withText(blockOf(page, "name=config"), here).text.replace(
        'from "postern"',
        `from "${repositoryRoot}/dist/index.js"`,
      ),
    );
    const show = (file: string, env: NodeJS.ProcessEnv): Promise<Finished> =>
      run(process.execPath, [CLI, "config", "show", "--json", "-c", file], {
        cwd: folder,
        env: { ...process.env, ...env },
        ...SOON,
      });
    const valuesOf = ({ stdout, stderr }: Finished): Record<string, unknown> => {
      expect(stderr).not.toMatch(/wrong|without effect/);
      const shown = JSON.parse(stdout) as { pools: { www: { setting: string; value: unknown }[] } };
      return Object.fromEntries(
        shown.pools.www.flatMap(({ setting, value }) => (names.includes(setting) ? [[setting, value]] : [])),
      );
    };
    const theirs = valuesOf(await show("plain.json", environment));
    expect(names.length).toBeGreaterThan(18);
    expect(valuesOf(await show("postern.config.ts", {}))).toEqual(theirs);
  });
});
