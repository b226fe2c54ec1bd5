#!/usr/bin/env bash
# Installs the RPM package for real, in a scratch system: packaging/test/rpm.sh [RPM]
# Needs root and what packaging/test/install-tools installs. MINIMAL=1 uses a minimal Debian root.
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
need rpm rpm
need rpmbuild rpm
need logrotate logrotate
[ $# -gt 0 ] || set -- "$("$TOP/packaging/rpm/build")"
scratch "$@"

conf=$SCRATCH/etc/thttpd.conf
before=$SCRATCH/tmp/before
cp "$1" "$SCRATCH/tmp/thttpd.rpm" || exit 1

# A database of its own; what the package requires is Debian's here, which rpm does not know.
in_root() { rpm --force-debian --root "$SCRATCH" --dbpath /var/lib/rpm --nodeps --nosignature "$@"; }

# The package once more as 3.0.1, with the programs that are installed and a new line in its configuration.
next_version() {
	local tree=$SCRATCH/tmp/tree
	mkdir -p "$tree/programs" &&
		cp -r "$TOP/packaging" "$TOP/man" "$TOP/LICENSE" "$TOP/thttpd.conf.example" "$tree" &&
		cp "$SCRATCH"/usr/sbin/{thttpd,syslogtocern} "$SCRATCH"/usr/bin/{thtpasswd,makeweb} \
			"$SCRATCH"/usr/libexec/thttpd/cgi-bin/{redirect,ssi} \
			"$SCRATCH"/usr/share/doc/*/thttpd.cdx.json "$tree/programs" &&
		sed -i 's/^Version: .*/Version: 3.0.1/' "$tree/packaging/rpm/thttpd.spec" &&
		echo "# a new line of the package" >>"$tree/packaging/rpm/thttpd.conf" &&
		SOURCE_DATE_EPOCH=1 PROGRAMS=$tree/programs "$tree/packaging/rpm/build" "$SCRATCH/tmp"
}

start() { inside thttpd -C /etc/thttpd.conf; }

stop() {
	local pid
	pid=$(server_pid) && kill "$pid" && eventually 10 no_server
}

# rpmbuild packs with gzip where it is not told otherwise, or not at all.
small() {
	local programs package
	programs=$(cat "$SCRATCH"/usr/sbin/{thttpd,syslogtocern} "$SCRATCH"/usr/bin/{thtpasswd,makeweb} \
		"$SCRATCH"/usr/libexec/thttpd/cgi-bin/* | wc -c)
	package=$(stat -c %s "$SCRATCH/tmp/thttpd.rpm")
	echo "the programs have $programs bytes, the package $package"
	[ $((package * 2)) -lt "$programs" ]
}

# says SCRIPTLET WORDS: that of the package says so.
says() { rpm --query --nosignature --package --queryformat "%{$1}" "$SCRATCH/tmp/thttpd.rpm" | grep -qF -- "$2"; }

# What systemd does is packaging/test/vm.sh's; here is what would make it do so.
scriptlets() {
	check "an upgrade restarts the service and the instances" says POSTUN "try-restart thttpd.service 'thttpd@*.service'"
	check "an upgrade leaves the socket alone" refused says POSTUN thttpd.socket
	check "an erasure closes the socket, too" says PREUN "disable --now thttpd.socket thttpd.service"
	check "and stops the instances" says PREUN "stop 'thttpd@*.service'"
	check "and forgets that they were enabled" says PREUN '.wants/thttpd@*.service'
}

refused() { ! "$@"; }

install() {
	rm -rf "$SCRATCH/var/www"
	differences >"$before"
	check "installs" in_root --install "$SCRATCH/tmp/thttpd.rpm"
	check "every file is as it was packaged" in_root --verify --nogroup --nouser thttpd
	check "is less than half of its programs" small
	check "the list of components came with it" jq --exit-status '.components | length > 10' "$SCRATCH"/usr/share/doc/*/thttpd.cdx.json
	check "the user thttpd is there, without a shell" inside sh -c 'getent passwd thttpd | grep -q nologin$'
	check "the configuration is right by its own check" inside thttpd -C /etc/thttpd.conf --check
	check "starts" start
	check "serves its first page" eventually 10 page_has http://127.0.0.1/ "thttpd works"
	check "runs as thttpd" runs_as thttpd
	check "logs" eventually 5 grep -q '"GET / HTTP/1.1" 200' "$SCRATCH/var/log/thttpd.log"
}

rotation() {
	local pid
	pid=$(server_pid)
	check "logrotate understands its rules" inside logrotate --debug /etc/logrotate.d/thttpd
	# As it does, but for systemd, which is not here to pass the signal on.
	mv "$SCRATCH/var/log/thttpd.log" "$SCRATCH/var/log/thttpd.log.1"
	inside install -m 640 -o thttpd -g thttpd /dev/null /var/log/thttpd.log
	kill -HUP "$pid"
	check "opens its log again" eventually 5 request_lands
	check "is the same process" test "$(server_pid)" = "$pid"
}

request_lands() {
	curl --silent --output /dev/null http://127.0.0.1/after
	grep -q 'GET /after' "$SCRATCH/var/log/thttpd.log"
}

upgrade() {
	check "stops" stop
	sed -i 's/^port=80$/port=8088/' "$conf"
	echo "<p>mine</p>" >"$SCRATCH/var/www/thttpd/index.html"
	check "a next version can be made" next_version
	check "is upgraded over edited files" in_root --upgrade "$SCRATCH"/tmp/thttpd-3.0.1-*.rpm
	check "the edited configuration stays" grep -qx port=8088 "$conf"
	check "the new default lies beside it" grep -q "a new line" "$conf.rpmnew"
	check "so does the edited page" grep -q mine "$SCRATCH/var/www/thttpd/index.html"
	check "starts by the edited configuration" start
	check "and serves by it" eventually 10 page_has http://127.0.0.1:8088/ mine
	check "stops again" stop
}

erasure() {
	check "is erased" in_root --erase thttpd
	check "the edited configuration is kept" grep -qx port=8088 "$conf.rpmsave"
	rm -r "$conf.rpmsave" "$conf.rpmnew" "$SCRATCH/var/www" "$SCRATCH"/var/log/thttpd.log*
	check "the user stays: what it owns may still be somewhere" inside getent passwd thttpd
	inside userdel thttpd >/dev/null 2>&1
	check "nobody else was made" diff "$LOWER/etc/passwd" "$SCRATCH/etc/passwd"
	check "nothing else is left" nothing_left_but_accounts
}

# useradd writes its files anew, even to the same content.
nothing_left_but_accounts() {
	differences | grep -vE '^\./etc/(\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-?)$' | diff "$before" -
}

scriptlets
install
rotation
upgrade
erasure
finish
