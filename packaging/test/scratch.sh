# shellcheck shell=bash
# Sourced by the tests that install packages. Gives them a system to spoil that is not this one: an
# overlay over `/` (or over a minimal Debian root, with MINIMAL=1), whose changes live in memory, in
# mount, process and network namespaces of their own. All of it, processes too, is gone when the
# test ends, however it ends.
#
# scratch "$@"             runs the script again inside; returns there, with
#   SCRATCH                the root of the scratch system
#   CHANGED                the directory with what differs from the lower system
#   inside COMMAND...      runs a command in it, with a clean environment
# check "sentence" COMMAND...   one check: passes when COMMAND succeeds
# eventually SECONDS COMMAND... repeats COMMAND until it succeeds or the time is over
# finish                   prints the count and exits

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$HERE/../.." && pwd)
PASSED=0
FAILED=0

need() {
	command -v "$1" >/dev/null && return
	echo "$0: needs $1: apt-get install $2" >&2
	exit 1
}

scratch() {
	[ "$(id -u)" = 0 ] || { echo "$0: needs root, for mounts and chroot" >&2; exit 1; }
	need unshare util-linux
	need ip iproute2
	need curl curl
	if [ -z "${SCRATCH:-}" ]; then
		local lower=/
		[ -z "${MINIMAL:-}" ] || lower=$(minimal_root)
		SCRATCH=$(mktemp -d)
		trap 'rmdir "$SCRATCH"' EXIT
		export SCRATCH LOWER=$lower
		# The time limit is for the whole test; nothing in it takes long.
		timeout --kill-after=5 600 unshare --mount-proc --pid --fork --kill-child --net --ipc --uts "$0" "$@"
		exit $?
	fi
	lay_scratch
}

# A minimal Debian, kept unpacked in target/test: made once.
minimal_root() {
	need mmdebstrap mmdebstrap
	local root=$TOP/target/test/debian
	if [ ! -d "$root" ]; then
		mkdir -p "$TOP/target/test"
		mmdebstrap --quiet --variant=minbase --skip=output/mknod,output/dev \
			--include=logrotate,sysvinit-utils,procps,init-system-helpers \
			bookworm "$root.tmp" >&2
		mv "$root.tmp" "$root"
	fi
	echo "$root"
}

# A mount that fails ends the test at once: what follows must never happen to the real system.
lay_scratch() {
	set -e
	local base=$SCRATCH
	mount -t tmpfs scratch "$base"
	mkdir "$base/changed" "$base/work" "$base/root"
	mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$base/changed,workdir=$base/work" "$base/root"
	CHANGED=$base/changed
	SCRATCH=$base/root
	mount -t proc proc "$SCRATCH/proc"
	mount -t tmpfs tmp "$SCRATCH/tmp"
	mount -t tmpfs run "$SCRATCH/run"
	mount -t tmpfs dev "$SCRATCH/dev"
	chmod 1777 "$SCRATCH/tmp"
	local device
	for device in null zero full random urandom; do
		: >"$SCRATCH/dev/$device"
		mount --bind "/dev/$device" "$SCRATCH/dev/$device"
	done
	ln -s /proc/self/fd "$SCRATCH/dev/fd"
	ln -s /proc/self/fd/0 "$SCRATCH/dev/stdin"
	ln -s /proc/self/fd/1 "$SCRATCH/dev/stdout"
	ln -s /proc/self/fd/2 "$SCRATCH/dev/stderr"
	mkdir -p "$SCRATCH/run/lock"
	# This stands for a system booted by sysvinit: nothing keeps services from starting, as in
	# container images, and systemd, which would say that this is a chroot, is not asked.
	rm -f "$SCRATCH/usr/sbin/policy-rc.d" "$SCRATCH/usr/sbin/runlevel"
	printf '#!/bin/sh\necho N 2\n' >"$SCRATCH/usr/sbin/runlevel"
	chmod 755 "$SCRATCH/usr/sbin/runlevel"
	# Indexing all manual pages anew takes most of an installation's time, and is not ours.
	rm -f "$SCRATCH/var/lib/man-db/auto-update"
	ip link set lo up
	set +e
}

inside() {
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
		chroot "$SCRATCH" "$@" </dev/null
}

check() {
	local sentence=$1 said
	shift
	if said=$("$@" 2>&1); then
		PASSED=$((PASSED + 1))
		echo "ok   $sentence"
	else
		FAILED=$((FAILED + 1))
		echo "FAIL $sentence"
		echo "     $*"
		[ -z "$said" ] || echo "$said" | head -n 40 | sed 's/^/     | /'
	fi
}

eventually() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			"$@"
			return
		fi
		sleep 0.05
	done
}

finish() {
	echo "$PASSED passed, $FAILED failed"
	[ "$FAILED" = 0 ]
	exit $?
}

# --- What the package tests ask in common.

# The page at URL holds TEXT.
page_has() {
	curl --silent --show-error --max-time 5 "$1" | grep -qF -- "$2"
}

server_pid() { cat "$SCRATCH/run/thttpd.pid"; }

# The server's process is USER's.
runs_as() {
	local pid uid
	pid=$(server_pid) && uid=$(inside id -u "$1") &&
		grep -qP "^Uid:\t$uid\t$uid\t$uid\t$uid$" "/proc/$pid/status"
}

# One that has ended is gone, though pid 1 here, a shell, may be yet to wait for it.
no_server() { ! pgrep --runstates D,R,S,T --exact thttpd; }

# Every file of the scratch system that differs from the lower one, but for the package manager's
# own books and caches.
differences() {
	(cd "$CHANGED" && find . -not -type d | sort) |
		grep -vE '^\./var/(lib/(dpkg|rpm|systemd/deb-systemd-helper-[a-z]*)|cache)/|^\./(var/log/(dpkg|alternatives)\.log|etc/ld\.so\.cache|var/lib/logrotate/status)'
}

# Nothing differs from what `differences` said before (in the file BEFORE).
nothing_left() {
	differences | diff "$1" -
}
