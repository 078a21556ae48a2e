import { defineConfig, type ViteUserConfig } from "vitest/config";

/**
 * Four projects, so that `--project fast` is everything that needs no web server. They run one after the other: the
 * end-to-end tests of `e2e` start real servers and put them under load or measure memory, and two of them at once on two
 * cores would measure each other. Those of `servers` only ask, and wait a lot; `compat` runs other people's frameworks,
 * libraries and tests, and measures nothing.
 */
const shared = {
  pool: "forks",
  // A deprecated call is a failure here before it is one in somebody's terminal.
  execArgv: ["--throw-deprecation"],
  setupFiles: ["test/support/setup.ts"],
  unstubEnvs: true,
} satisfies ViteUserConfig["test"];

/** In CI nobody waits for a failure, and nothing is known of what else the machine does: see test/support/wait.ts. */
const PATIENCE = process.env["CI"] ? 4 : 1;
const unitTimeouts = { testTimeout: 30_000 * PATIENCE, hookTimeout: 30_000 * PATIENCE };
const serverTimeouts = { testTimeout: 60_000 * PATIENCE, hookTimeout: 60_000 * PATIENCE };

/** End-to-end tests that may run beside each other. */
const ASKING = [
  "apache-sites",
  "balancers",
  "boot-failure",
  "cherokee-interpreter",
  "config-command",
  "examples",
  "fetch",
  "foreign-client",
  "guide",
  "identity",
  "lighttpd-sites",
  "migration-php-fpm",
  "nginx-sites",
  "offload",
  "php-fpm",
  "python-wsgi",
  "roles",
  "server-failures",
  "shared-hosting",
  "site-configurations",
  "site-exposure",
  "spawned-by-servers",
  "tools-doctor",
  "tools-conform",
  "tools-curl",
  "tools-doctor-servers",
  "tools-doctor-sites",
  "tools-inspect",
  "tools-bench",
  "tools-explain",
  "websocket",
].map((name) => `test/e2e/${name}.test.ts`);

const config: ViteUserConfig = defineConfig({
  test: {
    globalSetup: ["test/support/global-setup.ts"],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text-summary", "html"],
      thresholds: {
        "src/protocol/**": { lines: 100 },
        "src/cgi/**": { lines: 100 },
      },
    },
    projects: [
      {
        test: {
          ...shared,
          name: "fast",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**", "test/compat/**", "test/soak/**", "**/node_modules/**"],
          maxWorkers: 2,
          ...unitTimeouts,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...shared,
          name: "servers",
          include: ASKING,
          maxWorkers: 2,
          ...serverTimeouts,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...shared,
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: [...ASKING, "**/node_modules/**"],
          maxWorkers: 1,
          ...serverTimeouts,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          ...shared,
          name: "compat",
          include: ["test/compat/**/*.test.ts"],
          exclude: ["**/node_modules/**"],
          maxWorkers: 2,
          ...serverTimeouts,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
export default config;
