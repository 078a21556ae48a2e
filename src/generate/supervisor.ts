/**
 * A program of supervisor. With one socket in the model, an `[fcgi-program:x]`: supervisor opens that socket, as root
 * if it is that, and passes it as descriptor 0. It closes it when its last process has ended, so a restart still has a
 * gap. Without one, a `[program:x]` that listens by itself.
 */
import type { GeneratedService, ServiceModel, ServiceSocket } from "./model.ts";
import {
  bindsOf,
  HOPELESS_EXIT_CODES,
  madeBy,
  passedAddress,
  refused,
  stopSeconds,
  unixPath,
} from "./parts.ts";
import { checked, supervisorCommand, supervisorEnvironment, supervisorText } from "./quoting.ts";

const FOLDER = "/etc/supervisor/conf.d";

export function supervisorProgram(model: ServiceModel): GeneratedService {
  if (model.sockets.length > 1) {
    throw refused("supervisor opens one socket for a program: with several, let Postern listen, with --bind");
  }
  const { name, user } = model;
  const [socket] = model.sockets;
  // No control socket by name: supervisor would not make its folder, and Postern has a place of its own for it.
  const words = [...model.arguments, "--name", name].map((word) => ["argument", word] as const);
  const command = supervisorCommand([["node", model.node], ["postern", model.postern], ...words]);
  const text = `${madeBy(model, "supervisor")}
[${socket === undefined ? "program" : "fcgi-program"}:${name}]
command=${command}
${socket === undefined ? "" : socketLines(socket)}process_name=%(program_name)s
numprocs=1
directory=${supervisorText("working directory", model.workingDirectory)}
user=${supervisorText("user", user)}
umask=027
${environmentLine(model)}autostart=true
autorestart=unexpected
; What ends sooner than this has not started, and is tried again only startretries times.
startsecs=5
startretries=3
; Asked to stop, a wrong setting, an application that cannot be loaded: a restart does not mend these.
exitcodes=0,${HOPELESS_EXIT_CODES.join(",")}
; TERM to the manager alone, which lets the workers finish; KILL, if it comes to that, to all.
stopsignal=TERM
stopasgroup=false
killasgroup=true
stopwaitsecs=${stopSeconds(model)}
redirect_stderr=true
stdout_logfile=${supervisorText("log directory", model.logDirectory)}/%(program_name)s.log
`;
  return {
    folder: FOLDER,
    files: [{ path: `${FOLDER}/${name}.conf`, mode: 0o644, text }],
    steps: [
      { what: "install", command: `supervisorctl reread && supervisorctl add ${name}` },
      { what: "start", command: `supervisorctl start ${name}` },
      { what: "reload", command: `supervisorctl signal HUP ${name}` },
      { what: "stop", command: `supervisorctl stop ${name}` },
      { what: "status", command: `supervisorctl status ${name}` },
      { what: "log", command: `supervisorctl tail -f ${name}` },
    ],
    notes: foldersToMake(model).map(
      (folder) =>
        `supervisor makes no folders: ${folder} must be there at every boot, and ${user} must be able to write to it`,
    ),
  };
}

/** None for nothing: an empty one is an error. */
function environmentLine({ environment }: ServiceModel): string {
  return Object.keys(environment).length === 0 ? "" : `environment=${supervisorEnvironment(environment)}\n`;
}

/** Folders below /run, which is empty at every boot, where Postern itself is to listen. */
function foldersToMake(model: ServiceModel): string[] {
  const paths = bindsOf(model).flatMap((address) => unixPath(address) ?? []);
  const folders = paths.map((path) => path.replace(/\/[^/]*$/, ""));
  return [...new Set(folders)].filter((folder) => folder.startsWith("/run/"));
}

function socketLines(socket: ServiceSocket): string {
  const address = passedAddress(socket.address);
  if ("port" in address) {
    if (address.host.includes(":")) {
      throw refused(`--bind ${socket.address}: supervisor knows no IPv6; let Postern listen there`);
    }
    return `socket=tcp://${supervisorText("--bind", address.host)}:${address.port}\n`;
  }
  return `socket=unix://${supervisorText("--bind", address.path)}
socket_owner=${supervisorText("owner", socket.owner)}:${supervisorText("group", socket.group)}
socket_mode=${checked("mode", socket.mode)}
`;
}
