/** A service script of OpenRC, kept running by its supervise-daemon. */
import type { GeneratedService, ServiceModel } from "./model.ts";
import { logFileOf, madeBy, managerArguments, shEnvironment, stopSeconds, withoutSockets } from "./parts.ts";
import { openrcWord, shWord } from "./quoting.ts";

const FOLDER = "/etc/init.d";

export function openrcScript(model: ServiceModel): GeneratedService {
  withoutSockets(model, "OpenRC");
  const { name } = model;
  const words = [["postern", model.postern], ...managerArguments(model).map((word) => ["argument", word])];
  const args = words.map(([what = "", word = ""]) => openrcWord(what, word)).join(" ");
  // What supervise-daemon.sh evaluates is quoted for that, and again for this script.
  const evaluated = (what: string, text: string): string => shWord(what, openrcWord(what, text));
  const owner = shWord("user", `${model.user}:${model.group}`);
  const log = evaluated("log directory", logFileOf(model));
  const text = `#!/sbin/openrc-run
${madeBy(model, "openrc")}

name=${name}
description=${shWord("description", model.description)}
supervisor=supervise-daemon
command=${evaluated("node", model.node)}
command_args=${shWord("argument", args)}
command_user=${owner}
directory=${evaluated("working directory", model.workingDirectory)}
# That of supervise-daemon, not of Postern.
pidfile=/run/${name}.supervise.pid
output_log=${log}
error_log=${log}
umask=027
# TERM lets open requests end.
retry=TERM/${stopSeconds(model)}/KILL/5
# A manager that cannot start, five times within a minute, is left alone.
respawn_delay=2
respawn_max=5
respawn_period=60
extra_started_commands="reload"
description_reload="New workers first, then the old ones finish"

${shEnvironment(model.environment)}
depend() {
	need localmount
	use net dns logger
	after firewall
}

start_pre() {
	# As many as may be had; rc_ulimit would refuse to start with fewer.
	ulimit -n 65536 2>/dev/null || :
	checkpath --directory --owner ${owner} --mode 0750 ${shWord("runtime directory", model.runtimeDirectory)} &&
		checkpath --directory --owner ${owner} --mode 0750 ${shWord("log directory", model.logDirectory)}
}

reload() {
	ebegin "Reloading $name"
	supervise-daemon "$RC_SVCNAME" --signal HUP --pidfile "$pidfile"
	eend $? "$name could not be told to reload"
}
`;
  return {
    folder: FOLDER,
    files: [{ path: `${FOLDER}/${name}`, mode: 0o755, text }],
    steps: [
      { what: "install", command: `rc-update add ${name} default` },
      { what: "start", command: `rc-service ${name} start` },
      { what: "reload", command: `rc-service ${name} reload` },
      { what: "stop", command: `rc-service ${name} stop` },
      { what: "status", command: `rc-service ${name} status` },
      { what: "log", command: `tail -F ${shWord("log directory", logFileOf(model))}` },
    ],
    notes: [],
  };
}
