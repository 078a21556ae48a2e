/**
 * An init script by the rules of the Linux Standard Base: actions, exit codes, the INIT INFO block. In plain sh; of
 * util-linux it uses setpriv or runuser when it is started by root for another user.
 */
import type { GeneratedService, ServiceModel } from "./model.ts";
import { logFileOf, madeBy, managerArguments, pidFileOf, withoutSockets } from "./parts.ts";
import { shWord } from "./quoting.ts";
import { shFunctions, shSettings, shWords } from "./shell.ts";

const FOLDER = "/etc/init.d";

export function sysvScript(model: ServiceModel): GeneratedService {
  withoutSockets(model, "an init script");
  const { name } = model;
  // With a log file of its own, the manager can open it anew after rotation.
  const files = ["--pid-file", pidFileOf(model), "--log-file", logFileOf(model)];
  const serving = shWords(managerArguments(model, ...files));
  const text = `#!/bin/sh
${madeBy(model, "sysv")}
# chkconfig: 345 80 20
# description: ${model.description}
### BEGIN INIT INFO
# Provides:          ${name}
# Required-Start:    $remote_fs $network
# Required-Stop:     $remote_fs $network
# Should-Start:      $syslog $named
# Should-Stop:       $syslog $named
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: ${model.description}
### END INIT INFO

RUN_AS=${shWord("user", model.user)}
RUN_GROUP=${shWord("group", model.group)}
LOG_FOLDER=${shWord("log directory", model.logDirectory)}
${shSettings(model)}
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Becomes the application's user and runs the arguments; in a ( ) or in the background, as it does not return.
become() {
	[ "$(id -un)" = "$RUN_AS" ] && exec "$@"
	unset HOME # root's; node finds the right one
	if command -v setpriv >/dev/null; then
		exec setpriv "--reuid=$RUN_AS" "--regid=$RUN_GROUP" --init-groups -- "$@"
	fi
	exec runuser -u "$RUN_AS" -g "$RUN_GROUP" -- "$@"
}

${shFunctions(model)}
# A folder of the application's user.
make_folder() {
	if [ "$(id -u)" = 0 ]; then
		install -d -o "$RUN_AS" -g "$RUN_GROUP" -m 0750 "$1"
	else
		[ -d "$1" ] || mkdir -m 0750 "$1"
	fi
}

start() {
	if is_running; then
		echo "$NAME is running already (process $pid)"
		return 0
	fi
	if [ ! -x "$NODE" ] || [ ! -e "$POSTERN" ]; then
		echo "$NAME cannot be started: $NODE or $POSTERN is missing" >&2
		return 5
	fi
	make_folder "$RUN" && make_folder "$LOG_FOLDER" && cd "$FOLDER" || return 1
	# Away from the terminal, so that closing it does not end the service.
	away=nohup
	command -v setsid >/dev/null && away=setsid
	ulimit -n 65536 2>/dev/null || :
	echo "starting $NAME"
	become /bin/sh -c 'log=$1 && shift && exec "$@" </dev/null >>"$log" 2>&1' sh "$LOG" \\
		"$away" "$NODE" "$POSTERN" ${serving} &
	child=$!
	serves_soon has_ended
}

has_ended() {
	! kill -0 "$child" 2>/dev/null
}

if [ "$(id -u)" != 0 ] && [ "$(id -un)" != "$RUN_AS" ]; then
	echo "$NAME: only root and $RUN_AS can do that" >&2
	exit 4
fi
cd / || exit 1

case $1 in
	start) start ;;
	stop) stop ;;
	restart) stop && start ;;
	try-restart | condrestart) if is_running; then stop && start; fi ;;
	reload | force-reload) reload ;;
	status) status ;;
	*)
		echo "usage: $0 {start|stop|restart|try-restart|reload|force-reload|status}" >&2
		exit 2
		;;
esac
`;
  const path = `${FOLDER}/${name}`;
  return {
    folder: FOLDER,
    files: [{ path, mode: 0o755, text }],
    steps: [
      { what: "install", command: `update-rc.d ${name} defaults || chkconfig --add ${name}` },
      { what: "start", command: `${path} start` },
      { what: "reload", command: `${path} reload` },
      { what: "stop", command: `${path} stop` },
      { what: "status", command: `${path} status` },
      { what: "log", command: `tail -F ${shWord("log directory", logFileOf(model))}` },
    ],
    notes: [],
  };
}
