/** Breakages of the program: a file that cannot be started, and an application that does not come up. */
import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { freePort } from "../ports.ts";
import {
  APP,
  patient,
  SCRIPT,
  SERVE,
  type Spawned,
  type SpawnedOptions,
  served,
  spawned,
} from "./deployments.ts";
import { type Animal, WELL } from "./model.ts";
import { edit, must, type Place, restart } from "./place.ts";

/** One started by a web server, which is changed and has to be started anew. */
function broken(
  options: SpawnedOptions,
  change: (place: Place, site: Spawned) => unknown,
  server: "apache" | "lighttpd" = "apache",
): Animal["live"] {
  return async (place) => {
    const site = await spawned(place, server, options);
    return patient(site, async () => {
      await change(place, site);
      await site.startAnew();
    });
  };
}

const FCGID = { server: "Apache mod_fcgid", needs: ["apache", "apache-fcgid"], isRoots: false } as const;
const LIGHTTPD = { server: "lighttpd", needs: ["lighttpd"], isRoots: false } as const;

export const PROGRAMS: readonly Animal[] = [
  {
    ...FCGID,
    name: "CRLF in the first line of the program",
    sick: 500,
    cause: "program.crlf",
    live: broken({ program: SCRIPT }, (_place, site) => edit(site.program, "node\n", "node\r\n")),
  },
  {
    ...LIGHTTPD,
    name: "byte order mark before #!",
    sick: 503,
    cause: "program.bom",
    live: broken({ program: SCRIPT }, (_place, site) => edit(site.program, "#!", "\uFEFF#!"), "lighttpd"),
  },
  {
    ...FCGID,
    name: "node is not on the web server's PATH",
    sick: 500,
    cause: "program.node-not-on-path",
    async live(place) {
      const site = await spawned(place, "apache", { program: SCRIPT });
      return patient(site, async () => {
        edit(site.file, "/usr/local/bin:/usr/bin:/bin", "/usr/sbin:/sbin");
        await site.startAnew();
      });
    },
  },
  {
    ...LIGHTTPD,
    name: "program without the execute bit",
    isRoots: true,
    sick: 503,
    cause: "program.not-executable",
    live: broken({}, (_place, site) => chmodSync(site.program, 0o644), "lighttpd"),
  },
  {
    ...FCGID,
    name: "folder above the program without the execute bit",
    isRoots: true,
    sick: 403,
    cause: "program.no-permission",
    live: broken({}, (_place, site) => chmodSync(dirname(site.program), 0o700)),
  },
  {
    ...LIGHTTPD,
    name: "the interpreter of the first line is not there",
    sick: 503,
    cause: "program.interpreter-missing",
    live: broken(
      { program: SCRIPT },
      (_place, site) => edit(site.program, "#!/usr/bin/env node", "#!/opt/node/bin/node"),
      "lighttpd",
    ),
  },
  {
    ...FCGID,
    name: "an old version of Node",
    sick: 500,
    cause: "program.node-too-old",
    // The old Node is a stand-in: it says its version, and fails as Node 16 does with what it does not know.
    live: broken({ program: SCRIPT }, (place, site) => {
      const script = `#!/bin/sh\ncase "$1" in -v|--version) echo v16.20.2; exit;; esac\necho "SyntaxError: Unexpected token" >&2\nexit 1\n`;
      const old = place.write("node16/node", script, 0o755);
      edit(site.program, "#!/usr/bin/env node", `#!${old}`);
    }),
  },
  {
    ...FCGID,
    name: "a missing environment variable",
    sick: 500,
    cause: "program.environment-missing",
    async live(place) {
      const app = `if (process.env.DATABASE_URL === undefined) throw new Error("DATABASE_URL is not set");\nexport default (request, response) => response.end("${WELL}\\n");\n`;
      const url = "postgres://db.example/shop";
      const site = await spawned(place, "apache", {
        program: SCRIPT,
        files: { "app.js": app },
        environment: { DATABASE_URL: url },
      });
      return patient(site, async () => {
        place.write(".env", `DATABASE_URL=${url}\n`);
        edit(site.file, /^.*DATABASE_URL.*\n/m, "");
        await site.startAnew();
      });
    },
  },
  {
    ...LIGHTTPD,
    name: "a missing module",
    sick: 503,
    cause: "program.module-missing",
    live: broken(
      { files: { "serve.js": SERVE.replace("./app.js", "./shop/app.js"), "shop/app.js": APP } },
      (place) => {
        // Nothing of the network: the package is in a folder beside.
        const own = { name: "greeting", version: "1.0.0", type: "module", exports: "./index.js" };
        place.write("greeting/package.json", JSON.stringify(own));
        place.write("greeting/index.js", `export const greeting = "${WELL}\\n";\n`);
        const shop = { private: true, type: "module", dependencies: { greeting: "file:../greeting" } };
        place.write("shop/package.json", JSON.stringify(shop));
        place.write("shop/.npmrc", "offline=true\naudit=false\nfund=false\nupdate-notifier=false\n");
        const imports = 'import { greeting } from "greeting";\n';
        place.write(
          "shop/app.js",
          `${imports}export default (request, response) => response.end(greeting);\n`,
        );
      },
      "lighttpd",
    ),
  },
  {
    ...FCGID,
    name: "a syntax error",
    sick: 500,
    cause: "program.syntax-error",
    advice: "mend the line",
    async live(place) {
      const site = await spawned(place, "apache");
      return patient(
        site,
        async () => {
          edit(place.path("app.js"), '");', '";');
          await site.startAnew();
        },
        { byHand: async () => edit(place.path("app.js"), '";', '");') },
      );
    },
  },
  {
    ...LIGHTTPD,
    name: "import in a CommonJS package",
    sick: 503,
    cause: "program.esm-mismatch",
    live: broken({}, (place) => edit(place.path("package.json"), '"module"', '"commonjs"'), "lighttpd"),
  },
  {
    ...FCGID,
    name: "the application listens on a port by itself",
    sick: 500,
    cause: "program.listens-itself",
    async live(place) {
      const port = await freePort();
      const site = await spawned(place, "apache", { program: SCRIPT, site: { timeoutSeconds: 2 } });
      return patient(site, async () => {
        place.write(
          "serve.js",
          `import { createServer } from "node:http";\ncreateServer((request, response) => response.end("${WELL}\\n")).listen(${port}, "127.0.0.1");\n`,
        );
        await site.startAnew();
      });
    },
  },
  {
    ...LIGHTTPD,
    name: "a top-level await that never ends",
    sick: 504,
    cause: "program.never-ready",
    advice: "mend the application",
    async live(place) {
      const site = await spawned(place, "lighttpd", { site: { timeoutSeconds: 3 } });
      const wait = `const timer = setInterval(() => {}, 1000);\nawait new Promise(() => {});\n`;
      return patient(
        site,
        async () => {
          edit(place.path("app.js"), /^/, wait);
          await site.startAnew();
        },
        {
          byHand: async () => {
            edit(place.path("app.js"), wait, "");
            await site.startAnew();
          },
        },
      );
    },
  },
  {
    ...FCGID,
    name: "the application exports nothing",
    sick: 500,
    cause: "program.bad-export",
    advice: "mend the application",
    async live(place) {
      const site = await spawned(place, "apache", {
        files: {
          "serve.js": SERVE.replace("import app", "import * as all").replace(
            "serve(app)",
            "serve(all.default)",
          ),
        },
      });
      return patient(
        site,
        async () => {
          edit(place.path("app.js"), "export default ", "export const app = ");
          await site.startAnew();
        },
        { byHand: async () => edit(place.path("app.js"), "export const app = ", "export default ") },
      );
    },
  },
  {
    ...FCGID,
    name: "out of memory: --max-old-space-size is too small",
    sick: 500,
    cause: "program.out-of-memory",
    live: broken(
      { program: SCRIPT.replace("env node", "env -S node --max-old-space-size=256") },
      (place, site) => {
        const greedy =
          'const kept = [];\nfor (let i = 0; i < 400_000; i++) kept.push({ i, text: "number " + i });\n';
        edit(place.path("app.mjs"), /^/, greedy);
        edit(site.program, "=256", "=24");
      },
    ),
  },
  {
    ...LIGHTTPD,
    name: "a relative path of the program",
    sick: "refused",
    cause: "program.relative-path",
    advice: "start the web server",
    async live(place) {
      const site = await spawned(place, "lighttpd");
      return patient(
        site,
        async () => {
          edit(site.file, site.program, "yourapplication.fcgi");
          // lighttpd mostly gives up at once; when the program takes longer to fail than that, it stays and answers 503.
          const again = await restart(place, site.web);
          await again.stop();
        },
        { byHand: async () => void (await restart(place, site.web)) },
      );
    },
  },
  {
    name: "a setting that Postern does not know",
    server: "nginx",
    needs: ["nginx"],
    isRoots: false,
    sick: 502,
    cause: "program.settings",
    advice: "mend the setting",
    async live(place) {
      const site = await served(place, "nginx");
      return patient(
        site,
        async () => {
          site.configure("listenMod: 0o660");
          await site.kill();
          await site.restart({ isReady: false }).then((running) => running.exited);
        },
        {
          byHand: async () => {
            site.configure();
            await site.restart();
          },
        },
      );
    },
  },
  {
    name: "no space left for the socket",
    server: "nginx",
    needs: ["nginx"],
    isRoots: true,
    sick: 502,
    cause: "program.disk-full",
    advice: "make room",
    async live(place) {
      const site = await served(place, "nginx");
      return patient(
        site,
        async () => {
          await site.kill();
          must("mount", "-t", "tmpfs", "-o", "size=8k,nr_inodes=3,mode=0777", "zoo", place.path("run"));
          place.later(() => must("umount", "--lazy", place.path("run")));
          place.write("run/a", "");
          place.write("run/b", "");
          await site.restart({ isReady: false }).then((running) => running.exited);
        },
        {
          byHand: async () => {
            must("rm", "-f", place.path("run/a"), place.path("run/b"));
            await site.restart();
          },
        },
      );
    },
  },
];
