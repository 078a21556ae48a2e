/**
 * A script that runs the manager in a detached GNU screen session: for trying out, and for machines where nobody lets
 * you install a service. Nothing starts it again after a crash of the manager or a reboot.
 */
import type { GeneratedService, ServiceModel } from "./model.ts";
import { madeBy, managerArguments, pidFileOf, withoutSockets } from "./parts.ts";
import { shWord } from "./quoting.ts";
import { shFunctions, shSettings, shWords } from "./shell.ts";

export function screenScript(model: ServiceModel): GeneratedService {
  withoutSockets(model, "screen");
  const { name, workingDirectory: folder } = model;
  const serving = shWords(managerArguments(model, "--pid-file", pidFileOf(model)));
  const text = `#!/bin/sh
${madeBy(model, "screen")}
# The one command in it: screen -dmS ${name} node … postern serve …

LOG_FOLDER=${shWord("log directory", model.logDirectory)}
${shSettings(model)}
# The session is of whoever starts it: log in as the application's user.
become() {
	exec "$@"
}

${shFunctions(model)}
start() {
	if is_running; then
		echo "$NAME is running already (process $pid)"
		return 0
	fi
	[ -d "$RUN" ] || mkdir -p "$RUN" || return 1
	[ -d "$LOG_FOLDER" ] || mkdir -p "$LOG_FOLDER" || return 1
	# A relative name for the log: in a longer one, screen would take a % for something of its own.
	cd "$LOG_FOLDER" || return 1
	screen -dmS "$NAME" -L -Logfile "$NAME.log" /bin/sh -c 'cd "$0" && exec "$@"' "$FOLDER" \\
		"$NODE" "$POSTERN" ${serving} || return 1
	serves_soon has_ended || return 1
	echo "$NAME runs; to look at it: screen -r $NAME, and leave with Ctrl-A D"
}

has_ended() {
	! screen -S "$NAME" -Q echo '' >/dev/null 2>&1
}

case $1 in
	start) start ;;
	stop) stop ;;
	restart) stop && start ;;
	reload) reload ;;
	status) status ;;
	log) tail -F "$LOG" ;;
	*)
		echo "usage: $0 {start|stop|restart|reload|status|log}" >&2
		exit 2
		;;
esac
`;
  const path = `${folder}/${name}-screen.sh`;
  const script = shWord("working directory", path);
  return {
    folder,
    files: [{ path, mode: 0o755, text }],
    steps: ["start", "reload", "stop", "status", "log"].map((what) => ({
      what,
      command: `${script} ${what}`,
    })),
    notes: ["screen starts nothing at boot, and nothing again after a crash: it is for trying out"],
  };
}
