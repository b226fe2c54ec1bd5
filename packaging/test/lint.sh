#!/usr/bin/env bash
# Asks each linter about what it knows: packaging/test/lint.sh [CHANGES RPM]
# The .changes file and the .rpm are built where not given. Changes nothing; needs no root.
set -u
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
for tool in lintian rpmlint shellcheck zsh fish mandoc groff; do need $tool $tool; done
need apparmor_parser apparmor
need systemd-analyze systemd

if [ $# -lt 2 ]; then
	deb=$("$TOP/packaging/deb/build") && rpm=$("$TOP/packaging/rpm/build") || exit 1
	set -- "${deb%.deb}.changes" "$rpm"
fi
cd "$TOP" || exit 1

silent() {
	local said
	said=$("$@" 2>&1)
	[ -z "$said" ] || { echo "$said"; return 1; }
}

# Root may run lintian; it only mentions it. Machine code that looks like a misspelt word comes and goes with each
# build, and an override that is not used is a fault, too.
lintian_says() {
	lintian --info --display-info --pedantic --suppress-tags spelling-error-in-binary \
		--fail-on error,warning,info,pedantic "$@" 2>/dev/null
}

# The largest exposure that systemd-analyze may find, out of 10.
EXPOSURE=3.0

exposure() {
	local score
	score=$(systemd-analyze security --offline=true --no-pager "$1" |
		sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
	echo "$1: exposure $score of 10, at most $EXPOSURE"
	awk "BEGIN { exit !(\"$score\" != \"\" && $score <= $EXPOSURE) }"
}

# `verify` looks for the program and the manual; both are only there once installed.
unit_is_right() {
	local said
	said=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$@" 2>&1 |
		grep -v 'Command /usr/sbin/thttpd is not executable: No such file or directory')
	[ -z "$said" ] || { echo "$said"; return 1; }
}

page_is_right() {
	silent env LC_ALL=C.UTF-8 groff -man -mandoc -Tutf8 -ww -z "$1" &&
		! mandoc -Tlint "$1" 2>/dev/null | grep -v 'referenced manual not found'
}

check "lintian has nothing to say" lintian_says "$1"
check "rpmlint has nothing to say" rpmlint --strict --config packaging/rpm/thttpd.rpmlintrc.toml "$2" packaging/rpm/thttpd.spec
for unit in thttpd.service thttpd@.service; do
	check "$(exposure "packaging/systemd/$unit")" exposure "packaging/systemd/$unit"
done
instance=$(mktemp -d)
cp packaging/systemd/* "$instance"
mv "$instance/thttpd@.service" "$instance/thttpd@one.service"
check "the units are right" unit_is_right "$instance"/*
rm -r "$instance"
check "the AppArmor profile is right" apparmor_parser --skip-kernel-load --skip-cache --quiet packaging/apparmor/usr.sbin.thttpd
for page in man/*; do
	check "$page is right" page_is_right "$page"
done
check "bash takes its completion" bash -n packaging/completions/thttpd.bash
check "zsh takes its completion" zsh -n packaging/completions/_thttpd
check "fish takes its completion" fish --no-execute packaging/completions/thttpd.fish
# The scripts start with a line that names a shell; the rest of packaging/ is data.
mapfile -t scripts < <(grep -rlE '^#!/(bin/sh|usr/bin/env bash)' packaging | sort)
check "shellcheck has nothing to say" shellcheck --external-sources --source-path=SCRIPTDIR --severity=warning --exclude=SC1091 "${scripts[@]}" packaging/test/scratch.sh packaging/reproducible.sh
finish
