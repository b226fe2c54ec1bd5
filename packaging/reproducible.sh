# shellcheck shell=bash
# Sourced by the build scripts: makes two builds of one commit the same, bytes and all.
#
# Sets SOURCE_DATE_EPOCH (the commit's time, unless the caller set it) and RUSTFLAGS that keep this
# machine's paths out of the binaries. Leaves ROOT, the top of the source tree.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
	SOURCE_DATE_EPOCH=$(git -C "$ROOT" log -1 --format=%ct 2>/dev/null || stat -c %Y "$ROOT/Cargo.toml")
fi
export SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
umask 022

# remap DIRECTORY NAME: programs call DIRECTORY by NAME. A second mention of one changes nothing: a script
# that sources this file starts others that do, and cargo compiles anew for every change of flags.
remap() {
	case "$RUSTFLAGS " in
	*" --remap-path-prefix=$1=$2 "*) ;;
	*) RUSTFLAGS+=" --remap-path-prefix=$1=$2" ;;
	esac
}

RUSTFLAGS=${RUSTFLAGS:-}
remap "$ROOT" /src/thttpd
# Last match wins: what a panic says is `nix-0.32.0/src/…`, short, and with no registry's name in it.
remap "${CARGO_HOME:-$HOME/.cargo}" /cargo
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
	remap "${registry%/}" /cargo
done
remap "$(rustc --print sysroot)" /rust
export RUSTFLAGS

# usage FIRST: ends with the comment at the head of the script when its first argument is a flag; the script has none
# but --help.
usage() {
	case $1 in
	--help) sed -n '2,/^[^#]/s/^#$\|^# //p' "$0"; exit 0 ;;
	-*) echo "$0: unknown argument $1" >&2; sed -n '2,/^[^#]/s/^#$\|^# //p' "$0" >&2; exit 1 ;;
	esac
}

# need COMMAND PACKAGE...: ends with the packages to install when COMMAND is missing.
need() {
	command -v "$1" >/dev/null && return
	local command=$1
	shift
	echo "$0: needs $command: apt-get install $*" >&2
	exit 1
}
