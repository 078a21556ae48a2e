/** The service of the documents and the goldens, and its variants. */
import {
  type GeneratedService,
  generateService,
  type ServiceKind,
  type ServiceModel,
} from "../../../src/generate/services.ts";

const SITE = "/var/www/yourapplication";

export const model: ServiceModel = {
  name: "yourapplication",
  description: "yourapplication, a Node application served by Postern",
  user: "deploy",
  group: "www-data",
  node: "/usr/bin/node",
  postern: `${SITE}/node_modules/postern/dist/cli/main.js`,
  arguments: ["serve", `${SITE}/app.js`, "--bind", "unix:/run/yourapplication/app.sock", "--workers", "2"],
  workingDirectory: SITE,
  environment: { NODE_ENV: "production" },
  runtimeDirectory: "/run/yourapplication",
  logDirectory: "/var/log/yourapplication",
  sockets: [],
  drainTimeoutSeconds: 30,
};

const socket = {
  name: "app",
  address: "unix:/run/yourapplication.sock",
  mode: "0660",
  owner: "deploy",
  group: "www-data",
};
const passed: ServiceModel = {
  ...model,
  arguments: ["serve", `${SITE}/app.js`, "--workers", "2"],
  sockets: [socket],
};

/** What `postern init` makes of it, by a word for each. */
export const VARIANTS: Readonly<Record<string, readonly [ServiceKind, ServiceModel]>> = {
  systemd: ["systemd", model],
  "systemd-sockets": ["systemd", passed],
  supervisor: ["supervisor", { ...passed, logDirectory: "/var/log/supervisor" }],
  "supervisor-listening": ["supervisor", { ...model, logDirectory: "/var/log/supervisor" }],
  sysv: ["sysv", model],
  openrc: ["openrc", model],
  runit: ["runit", model],
  screen: [
    "screen",
    {
      ...model,
      arguments: ["serve", `${SITE}/app.js`, "--bind", `unix:${SITE}/run/app.sock`, "--workers", "2"],
      runtimeDirectory: `${SITE}/run`,
      logDirectory: `${SITE}/run`,
    },
  ],
  "shared-hosting": [
    "shared-hosting",
    {
      ...model,
      arguments: ["serve", "/home/deploy/yourapplication/app.js"],
      workingDirectory: "/home/deploy/yourapplication",
      postern: "/home/deploy/yourapplication/node_modules/postern/dist/cli/main.js",
      publicDirectory: "/home/deploy/public_html",
    },
  ],
};

export function generated(variant: string): GeneratedService {
  const found = VARIANTS[variant];
  if (found === undefined) throw new Error(`there is no variant ${variant}`);
  return generateService(...found);
}
