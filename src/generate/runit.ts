/** A service folder of runit: what runs, what happens when it ended, and its log. */
import type { GeneratedService, ServiceModel } from "./model.ts";
import {
  HOPELESS_EXIT_CODES,
  madeBy,
  managerArguments,
  shEnvironment,
  shLines,
  stopSeconds,
  withoutSockets,
} from "./parts.ts";
import { shWord } from "./quoting.ts";

const FOLDER = "/etc/sv";
/** Less than the seven seconds that `sv` waits: a stop in this pause still succeeds. */
const PAUSE_SECONDS = 5;

export function runitService(model: ServiceModel): GeneratedService {
  withoutSockets(model, "runit");
  const { name } = model;
  const folder = `${FOLDER}/${name}`;
  const file = (path: string, text: string) => ({ path: `${folder}/${path}`, mode: 0o755, text });
  return {
    folder: FOLDER,
    files: [
      file("run", runScript(model)),
      file("finish", finishScript(model)),
      file("log/run", logScript(model)),
    ],
    steps: [
      { what: "install", command: `ln -s ${folder} /etc/service/` },
      { what: "start", command: `sv up ${name}` },
      { what: "reload", command: `sv hup ${name}` },
      { what: "stop", command: `sv -w ${stopSeconds(model)} force-stop ${name}` },
      { what: "status", command: `sv status ${name}` },
      { what: "log", command: `tail -F ${shWord("log directory", `${model.logDirectory}/current`)}` },
    ],
    notes: [],
  };
}

/** Ends a script by becoming the arguments, as the user when root runs it. */
function becoming(model: ServiceModel, folder: string): string {
  const owner = shWord("user", `${model.user}:${model.group}`);
  const path = shWord("folder", folder);
  return `if [ "$(id -u)" != 0 ]; then
	[ -d ${path} ] || mkdir -p ${path} || exit 1
	exec "$@"
fi
install -d -o ${shWord("user", model.user)} -g ${shWord("group", model.group)} -m 0750 ${path} || exit 1
unset HOME # root's; node finds the right one
exec chpst -u ${owner} "$@"
`;
}

function runScript(model: ServiceModel): string {
  const words = [model.node, model.postern, ...managerArguments(model)];
  return `#!/bin/sh
${madeBy(model, "runit")}
exec 2>&1
umask 027
ulimit -n 65536 2>/dev/null
cd ${shWord("working directory", model.workingDirectory)} || exit 1
${shEnvironment(model.environment)}set -- ${shLines(words, "\t")}
${becoming(model, model.runtimeDirectory)}`;
}

/** runsv starts the service again when this has ended. */
function finishScript(model: ServiceModel): string {
  return `#!/bin/sh
# $1 is the exit code, -1 after a signal, which is then in $2.
if [ "$1" = -1 ]; then
	echo "${model.name}: ended by signal $2"
else
	echo "${model.name}: ended with exit code $1"
fi
case $1 in
	# A wrong setting, an application that cannot be loaded: not again at once.
	${HOPELESS_EXIT_CODES.join(" | ")}) sleep ${PAUSE_SECONDS} ;;
esac
`;
}

function logScript(model: ServiceModel): string {
  return `#!/bin/sh
${madeBy(model, "runit")}
umask 027
set -- svlogd -tt ${shWord("log directory", model.logDirectory)}
${becoming(model, model.logDirectory)}`;
}
