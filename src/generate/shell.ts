/**
 * The parts that the scripts share which start and stop a manager by its pid file: `sysv.ts` and `screen.ts`.
 *
 * Whatever concerns the application is done with its user's rights, `kill` too: the pid file is that user's, and what
 * it says must not be believed with the rights of root.
 */
import type { ServiceModel } from "./model.ts";
import { controlArguments, logFileOf, pidFileOf, shEnvironment, stopSeconds } from "./parts.ts";
import { shWord } from "./quoting.ts";

/** How long a start waits until the manager says that it serves. */
const START_SECONDS = 60;

/** Assignments for the functions below, and the environment of the manager. */
export function shSettings(model: ServiceModel): string {
  return `NAME=${model.name}
NODE=${shWord("node", model.node)}
POSTERN=${shWord("postern", model.postern)}
FOLDER=${shWord("working directory", model.workingDirectory)}
RUN=${shWord("runtime directory", model.runtimeDirectory)}
PID_FILE=${shWord("runtime directory", pidFileOf(model))}
LOG=${shWord("log directory", logFileOf(model))}
START_SECONDS=${START_SECONDS}
# More than the open requests have (--drain-timeout).
STOP_SECONDS=${stopSeconds(model)}

${shEnvironment(model.environment)}umask 027
`;
}

/** The words after "$POSTERN" that ask the running manager. */
function asking(model: ServiceModel, ...command: readonly string[]): string {
  return shWords(controlArguments(model, ...command));
}

export function shWords(words: readonly string[]): string {
  return words.map((word) => shWord("argument", word)).join(" ");
}

/** `become` must be defined: it execs its arguments as the application's user. */
export function shFunctions(model: ServiceModel): string {
  return `# 0: it runs, as process $pid. 1: it is gone and left its pid file. 3: it is stopped.
is_running() {
	pid=
	[ -e "$PID_FILE" ] || return 3
	read -r pid <"$PID_FILE"
	case $pid in
		'' | *[!0-9]*) pid= && return 1 ;;
	esac
	send 0 || return 1
	# The number may have gone to another program since.
	program=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 0
	case \${program##*/} in
		node*) return 0 ;;
		*) return 1 ;;
	esac
}

# A signal to process $pid.
send() {
	(become /bin/sh -c 'kill "-$1" "$2"' sh "$1" "$pid") 2>/dev/null
}

# Whether process $pid ends within so many seconds.
ends_within() {
	end=$(($(date +%s) + $1))
	while send 0; do
		[ "$(date +%s)" -lt "$end" ] || return 1
		sleep 0.2 2>/dev/null || sleep 1
	done
}

# Whether it serves within START_SECONDS; not if it has ended before that.
serves_soon() {
	end=$(($(date +%s) + START_SECONDS))
	until (become "$NODE" "$POSTERN" ${asking(model, "status", "--json")}) 2>/dev/null |
		grep -Eq '"state": "(running|reloading)"'; do
		if "$@"; then
			echo "$NAME ended; the end of $LOG:" >&2
			(become tail -n 20 "$LOG") >&2
			return 1
		fi
		if [ "$(date +%s)" -ge "$end" ]; then
			echo "$NAME does not serve after $START_SECONDS seconds; see $LOG" >&2
			return 1
		fi
		sleep 0.2 2>/dev/null || sleep 1
	done
}

stop() {
	if ! is_running; then
		echo "$NAME is not running"
		return 0
	fi
	echo "stopping $NAME (process $pid)"
	send TERM
	ends_within "$STOP_SECONDS" && return 0
	echo "$NAME still works on requests after $STOP_SECONDS seconds: cutting them off" >&2
	send TERM
	ends_within 5 && return 0
	send KILL
	ends_within 5
}

# Tells whether the new workers came up; if not, the old ones go on.
reload() {
	if ! is_running; then
		echo "$NAME is not running" >&2
		return 7
	fi
	(become "$NODE" "$POSTERN" ${asking(model, "reload")})
}

status() {
	is_running
	code=$?
	case $code in
		0) echo "$NAME is running (process $pid)" ;;
		1) echo "$NAME is not running, but its pid file $PID_FILE is there" ;;
		*) echo "$NAME is not running" ;;
	esac
	return $code
}
`;
}
