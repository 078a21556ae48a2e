#!/bin/sh
# yourapplication, a Node application served by Postern. Made by: postern init screen
# The one command in it: screen -dmS yourapplication node … postern serve …

LOG_FOLDER=/var/www/yourapplication/run
NAME=yourapplication
NODE=/usr/bin/node
POSTERN=/var/www/yourapplication/node_modules/postern/dist/cli/main.js
FOLDER=/var/www/yourapplication
RUN=/var/www/yourapplication/run
PID_FILE=/var/www/yourapplication/run/yourapplication.pid
LOG=/var/www/yourapplication/run/yourapplication.log
START_SECONDS=60
# More than the open requests have (--drain-timeout).
STOP_SECONDS=45

export NODE_ENV=production
umask 027

# The session is of whoever starts it: log in as the application's user.
become() {
	exec "$@"
}

# 0: it runs, as process $pid. 1: it is gone and left its pid file. 3: it is stopped.
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
	case ${program##*/} in
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
	until (become "$NODE" "$POSTERN" status --json --control /var/www/yourapplication/run/control.sock) 2>/dev/null |
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
	(become "$NODE" "$POSTERN" reload --control /var/www/yourapplication/run/control.sock)
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

start() {
	if is_running; then
		echo "$NAME is running already (process $pid)"
		return 0
	fi
	[ -d "$RUN" ] || mkdir -p "$RUN" || return 1
	[ -d "$LOG_FOLDER" ] || mkdir -p "$LOG_FOLDER" || return 1
	# A relative name for the log: in a longer one, screen would take a % for something of its own.
	cd "$LOG_FOLDER" || return 1
	screen -dmS "$NAME" -L -Logfile "$NAME.log" /bin/sh -c 'cd "$0" && exec "$@"' "$FOLDER" \
		"$NODE" "$POSTERN" serve /var/www/yourapplication/app.js --bind unix:/var/www/yourapplication/run/app.sock --workers 2 --name yourapplication --control-socket /var/www/yourapplication/run/control.sock --pid-file /var/www/yourapplication/run/yourapplication.pid || return 1
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
