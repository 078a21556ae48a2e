/**
 * A systemd service, and its sockets when systemd is to open them.
 *
 * Type=notify: the unit counts as started when the first workers are ready, and as reloading while they are replaced.
 * Type=notify-reload would say the latter without ExecReload, but exists only from systemd 253 on.
 */
import type { GeneratedFile, GeneratedService, ServiceModel, ServiceSocket, Step } from "./model.ts";
import {
  bindsOf,
  controlArguments,
  HOPELESS_EXIT_CODES,
  madeBy,
  managerArguments,
  passedAddress,
  refused,
  stopSeconds,
} from "./parts.ts";
import { checked, systemdAssignment, systemdProgram, systemdText, systemdWord } from "./quoting.ts";

const FOLDER = "/etc/systemd/system";
/** What ProtectHome=yes hides. */
const HOMES = /^\/(?:home|root|run\/user)(?:\/|$)/;
/** What PrivateTmp=yes replaces by an empty folder. */
const TEMPORARY = /^\/(?:tmp|var\/tmp)(?:\/|$)/;

export function systemdService(model: ServiceModel): GeneratedService {
  const sockets = model.sockets.map((socket, at) => socketUnit(model, socket, at));
  const units = sockets.map(({ path }) => path.slice(FOLDER.length + 1));
  const { text, notes } = serviceUnit(model, units);
  const service = { path: `${FOLDER}/${model.name}.service`, mode: 0o644, text };
  return { folder: FOLDER, files: [service, ...sockets], steps: stepsOf(model, units), notes };
}

function serviceUnit(model: ServiceModel, sockets: readonly string[]): { text: string; notes: string[] } {
  const names = [...new Set(model.sockets.map(({ name }) => name))];
  const binds = names.flatMap((name) => ["--bind", `systemd:${name}`]);
  const serving = { ...model, arguments: [...model.arguments, ...binds] };
  const { lines, notes } = protection(model);
  const runtime = /^\/run\/(.+)$/.exec(model.runtimeDirectory)?.[1];
  const text = `${madeBy(model, "systemd")}
[Unit]
Description=${systemdText("description", model.description)}
After=network.target${sockets.map((unit) => ` ${unit}`).join("")}
${sockets.length > 0 ? `Requires=${sockets.join(" ")}\n` : ""}
[Service]
Type=notify
NotifyAccess=all
User=${systemdText("user", model.user)}
Group=${systemdText("group", model.group)}
UMask=0027
WorkingDirectory=${systemdText("working directory", model.workingDirectory)}
${runtime === undefined ? "" : `RuntimeDirectory=${systemdWord("runtime directory", runtime)}\nRuntimeDirectoryMode=0750\n`}${environment(model)}\
ExecStart=${commandLine(model, managerArguments(serving))}
ExecReload=${commandLine(model, controlArguments(model, "reload"))}
# TERM goes to the manager alone, which lets the workers finish; KILL, if it comes to that, to all.
KillMode=mixed
TimeoutStopSec=${stopSeconds(model)}
Restart=on-failure
RestartSec=1
# A wrong setting, an application that cannot be loaded: a restart does not mend these.
RestartPreventExitStatus=${HOPELESS_EXIT_CODES.join(" ")}
WatchdogSec=30
LimitNOFILE=65536

# MemoryDenyWriteExecute= must stay off: Node compiles JavaScript to machine code.
${lines.join("\n")}

[Install]
WantedBy=multi-user.target
${sockets.length > 0 ? `Also=${sockets.join(" ")}\n` : ""}`;
  return { text, notes };
}

function environment(model: ServiceModel): string {
  return Object.entries(model.environment)
    .map(([name, value]) => `Environment=${systemdAssignment(name, value)}\n`)
    .join("");
}

function commandLine({ node, postern }: ServiceModel, args: readonly string[]): string {
  const words = [systemdWord("postern", postern), ...args.map((word) => systemdWord("argument", word))];
  return [systemdProgram("node", node), ...words]
    .map((word, at) => (at === 0 ? word : word.startsWith("--") ? ` \\\n  ${word}` : ` ${word}`))
    .join("");
}

/** What the service cannot do. Nothing that hides the application, node, or a socket that must be seen from outside. */
function protection(model: ServiceModel): { lines: string[]; notes: string[] } {
  const notes: string[] = [];
  const lines = ["NoNewPrivileges=yes", "ProtectSystem=full"];
  const used = [model.node, model.postern, model.workingDirectory, ...model.arguments];
  if (!used.some((path) => HOMES.test(path))) lines.push("ProtectHome=yes");
  const hidden = [...bindsOf(model), model.runtimeDirectory, ...used].find((text) =>
    TEMPORARY.test(text.replace(/^unix:/, "")),
  );
  if (hidden === undefined) {
    lines.push("PrivateTmp=yes");
  } else {
    lines.push(
      "# Off, because something of this service is in a temporary folder, which this would hide.",
      "PrivateTmp=no",
    );
    notes.push(
      `${hidden} is in a temporary folder, where anybody may make files, and PrivateTmp= must be off for it; another place is better`,
    );
  }
  lines.push(
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
  );
  return { lines, notes };
}

function socketUnit(model: ServiceModel, socket: ServiceSocket, at: number): GeneratedFile {
  if (!/^[A-Za-z0-9._-]{1,255}$/.test(socket.name)) {
    throw refused(`socket ${JSON.stringify(socket.name)}: a name is of letters, digits, ".", "_" and "-"`);
  }
  const address = passedAddress(socket.address);
  const path = "path" in address ? address.path : undefined;
  if (path?.startsWith(`${model.runtimeDirectory}/`)) {
    throw refused(
      `--bind ${socket.address}: systemd removes ${model.runtimeDirectory} when the service stops, and its own socket with it; put the socket elsewhere, such as unix:/run/${model.name}.sock`,
    );
  }
  const rights =
    path === undefined
      ? ""
      : `SocketUser=${systemdText("owner", socket.owner)}
SocketGroup=${systemdText("group", socket.group)}
SocketMode=${checked("mode", socket.mode)}
`;
  const unit = at === 0 ? model.name : `${model.name}-${socket.name}`;
  const text = `${madeBy(model, "systemd")}
[Unit]
Description=${systemdText("description", `Socket ${socket.name} of ${model.name}`)}

[Socket]
ListenStream=${systemdText("--bind", path ?? socket.address)}
${rights}FileDescriptorName=${socket.name}
Accept=no
Service=${model.name}.service

[Install]
WantedBy=sockets.target
`;
  return { path: `${FOLDER}/${unit}.socket`, mode: 0o644, text };
}

function stepsOf({ name }: ServiceModel, sockets: readonly string[]): Step[] {
  const all = [`${name}.service`, ...sockets].join(" ");
  return [
    { what: "install", command: "systemctl daemon-reload" },
    { what: "start", command: `systemctl enable --now ${all}` },
    { what: "reload", command: `systemctl reload ${name}` },
    { what: "stop", command: `systemctl stop ${all}` },
    { what: "status", command: `systemctl status ${name}` },
    { what: "log", command: `journalctl -u ${name} -f` },
  ];
}
