#!/usr/bin/env bash
# Installs the Debian package for real, in a scratch system: packaging/test/deb.sh [DEB]
# Needs root and what packaging/test/install-tools installs. MINIMAL=1 uses a minimal Debian root.
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
need dpkg-deb dpkg
need logrotate logrotate
[ $# -gt 0 ] || set -- "$("$TOP/packaging/deb/build")"
scratch "$@"

cp "$1" "$SCRATCH/tmp/thttpd.deb" || exit 1
before=$SCRATCH/tmp/before
conf=/etc/thttpd/thttpd.conf

install_deb() { inside dpkg "$@" --install /tmp/thttpd.deb; }

# repack VERSION FUNCTION: the package once more, as VERSION, changed by FUNCTION DIRECTORY.
repack() {
	local tree=$SCRATCH/tmp/tree
	rm -rf "$tree"
	dpkg-deb --raw-extract "$SCRATCH/tmp/thttpd.deb" "$tree" &&
		sed -i "s/^Version: .*/Version: $1/" "$tree/DEBIAN/control" &&
		"$2" "$tree" &&
		dpkg-deb --root-owner-group --build "$tree" "$SCRATCH/tmp/thttpd-$1.deb" >/dev/null
}

changed_default() { echo "# a new line of the package" >>"$1$conf"; }

# The package as it was before 3.0: its configuration as shipped then, and no server.
made_old() {
	printf 'port=80\ndir=/var/www\nuser=www-data\nlogfile=/var/log/thttpd.log\npidfile=/var/run/thttpd.pid\n' >"$1$conf"
	printf '#!/bin/sh\nexit 0\n' >"$1/usr/sbin/thttpd"
	rm "$1/DEBIAN/postinst" "$1/DEBIAN/postrm" "$1/DEBIAN/prerm" "$1/DEBIAN/preinst"
}

# mentions SCRIPT WORDS: a maintainer script of the package says so.
mentions() { dpkg-deb --ctrl-tarfile "$SCRATCH/tmp/thttpd.deb" | tar -xO "./$1" | grep -qF -- "$2"; }

# What systemd does is packaging/test/vm.sh's; here is what would make it do so.
maintainer_scripts() {
	check "an upgrade leaves the socket alone" refused mentions preinst thttpd.socket
	check "a removal closes it" mentions prerm thttpd.socket
	check "an installation opens it where it is enabled" mentions postinst "start 'thttpd.socket'"
	check "an upgrade restarts the instances" mentions postinst 'try-restart '"'thttpd@*.service'"
	check "an installation starts those that are enabled" mentions postinst '/etc/systemd/system/*.wants/thttpd@*.service'
	check "a purge unloads the AppArmor profile" mentions postrm .remove
}

fresh_install() {
	rm -rf "$SCRATCH/var/www"
	differences >"$before"
	check "installs" install_deb
	check "starts under its init script at installation" eventually 10 page_has http://127.0.0.1/ "thttpd works"
	check "answers IPv6 too" page_has "http://[::1]/" "thttpd works"
	check "runs as www-data" runs_as www-data
	check "the configuration is right by its own check" inside thttpd -C "$conf" --check
	check "says that it runs" inside /etc/init.d/thttpd status
	check "no unit or file is in a place that dpkg does not know" owned
	check "the list of components came with it" inside jq --exit-status '.components | length > 10' /usr/share/doc/thttpd/thttpd.cdx.json
}

# Every file that came is a file of the package, a link of update-rc.d or laid by the postinst.
owned() {
	local path bad=0
	# Units are the package's under /lib, which is /usr/lib where /usr is merged.
	for path in $(differences | sed 's/^\.//; s|^/usr/lib/systemd/system/|/lib/systemd/system/|'); do
		case $path in
		/etc/rc?.d/* | /var/www/html/index.html | /var/log/thttpd.log | /etc/systemd/system/*) continue ;;
		/etc/apparmor.d/local/usr.sbin.thttpd) continue ;;
		esac
		grep -qxF ".$path" "$before" || inside dpkg --search "$path" >/dev/null || { echo "$path"; bad=1; }
	done
	return $bad
}

rotation() {
	local pid
	pid=$(server_pid)
	curl --silent --output /dev/null "http://127.0.0.1/before"
	check "the request is in the log" eventually 5 grep -q 'GET /before' "$SCRATCH/var/log/thttpd.log"
	check "the log is not for all to read" test "$(stat -c %a "$SCRATCH/var/log/thttpd.log")" = 640
	check "logrotate rotates" inside logrotate --force /etc/logrotate.d/thttpd
	check "the rotated log has the request" grep -q 'GET /before' "$SCRATCH/var/log/thttpd.log.1"
	# The server opens the new file when the signal reaches it.
	check "later requests are in the new log" eventually 5 request_lands
	check "the same process goes on" test "$(server_pid)" = "$pid"
	check "the new log is the server's, and group adm reads it" test "$(stat -c %U:%G:%a "$SCRATCH/var/log/thttpd.log")" = www-data:adm:640
}

request_lands() {
	curl --silent --output /dev/null "http://127.0.0.1/after"
	grep -q 'GET /after' "$SCRATCH/var/log/thttpd.log"
}

init_script() {
	local pid
	pid=$(server_pid)
	check "restarts" inside /etc/init.d/thttpd restart
	check "serves after the restart" eventually 10 page_has http://127.0.0.1/ "thttpd works"
	check "is another process then" test "$(server_pid)" != "$pid"
	check "the log is still for group adm to read" test "$(stat -c %U:%G "$SCRATCH/var/log/thttpd.log")" = www-data:adm
	echo "port=nonsense" >>"$SCRATCH$conf"
	check "a restart with a broken configuration is refused" refused inside /etc/init.d/thttpd restart
	check "so is a reload" refused inside /etc/init.d/thttpd reload
	check "and the server goes on" page_has http://127.0.0.1/ "thttpd works"
	sed -i '$d' "$SCRATCH$conf"
	echo "charset=us-ascii" >>"$SCRATCH$conf"
	check "a reload reads the configuration again" inside /etc/init.d/thttpd reload
	check "and it is in force" eventually 10 charset_is us-ascii
	sed -i '$d' "$SCRATCH$conf"
	check "stops" inside /etc/init.d/thttpd stop
	check "is gone when it has stopped" no_server
	check "its pid file too" test ! -e "$SCRATCH/run/thttpd.pid"
	check "status says so" refused inside /etc/init.d/thttpd status
	check "starts again" inside /etc/init.d/thttpd start
	check "a second start changes nothing" inside /etc/init.d/thttpd start
	check "serves again" eventually 10 page_has http://127.0.0.1/ "thttpd works"
}

charset_is() { curl --silent --head http://127.0.0.1/ | grep -qi "^content-type: text/html; charset=$1"; }

refused() { ! "$@"; }

upgrade() {
	sed -i 's/^port=80$/port=8088/' "$SCRATCH$conf"
	echo "<p>mine</p>" >"$SCRATCH/var/www/html/index.html"
	repack 3.0.1 changed_default
	check "upgrades over an edited configuration" inside dpkg --force-confold --install /tmp/thttpd-3.0.1.deb
	check "the edited configuration stays" grep -qx port=8088 "$SCRATCH$conf"
	check "the new default lies beside it" grep -q "a new line" "$SCRATCH$conf.dpkg-dist"
	check "and is what the server was restarted with" eventually 10 page_has http://127.0.0.1:8088/ "<p>mine</p>"
}

removal() {
	check "is removed" inside dpkg --remove thttpd
	check "no server is left running" no_server
	check "the configuration stays" test -f "$SCRATCH$conf"
	check "the administrator's page stays" grep -q mine "$SCRATCH/var/www/html/index.html"
	check "comes back with the edited configuration" inside dpkg --install /tmp/thttpd-3.0.1.deb
	check "and serves by it" eventually 10 page_has http://127.0.0.1:8088/ "<p>mine</p>"
	check "is purged" inside dpkg --purge thttpd
	check "no server is left running after that" no_server
	check "the administrator's page stays even then" grep -q mine "$SCRATCH/var/www/html/index.html"
	rm -r "$SCRATCH/var/www"
	check "nothing else is left" nothing_left "$before"
}

untouched() {
	check "installs again" install_deb
	check "serves again after that" eventually 10 page_has http://127.0.0.1/ "thttpd works"
	check "is purged again" inside dpkg --purge thttpd
	check "not even the first page is left" test ! -e "$SCRATCH/var/www"
	check "nothing is left where nothing was touched" nothing_left "$before"
}

from_the_old_package() {
	repack 2.25b-11 made_old
	mkdir -p "$SCRATCH/var/www"
	echo "<p>from 2003</p>" >"$SCRATCH/var/www/old.html"
	inside dpkg --install /tmp/thttpd-2.25b-11.deb >/dev/null 2>&1
	check "an untouched older package is upgraded" install_deb
	check "the old URL still works" eventually 10 page_has http://127.0.0.1/old.html "from 2003"
	inside dpkg --purge thttpd >/dev/null 2>&1
	check "the old pages stay at purge" grep -q 2003 "$SCRATCH/var/www/old.html"
	rm -rf "$SCRATCH/var/www"

	inside dpkg --install /tmp/thttpd-2.25b-11.deb >/dev/null 2>&1
	mkdir -p "$SCRATCH/srv/site"
	echo "<p>a site</p>" >"$SCRATCH/srv/site/index.html"
	printf 'port=8089\ndir=/srv/site\nchroot\nuser=www-data\nlogfile=/var/log/thttpd.log\n' >"$SCRATCH$conf"
	check "an older package with an edited chroot configuration is upgraded" install_deb --force-confold
	check "and the site is served as it was" eventually 10 page_has http://127.0.0.1:8089/ "a site"
	check "from within its chroot" test "$(readlink "/proc/$(server_pid)/root")" = "$SCRATCH/srv/site"
	check "and goes without a trace" inside dpkg --purge thttpd
	rm -r "$SCRATCH/srv/site"
}

port_taken() {
	mkdir -p "$SCRATCH/var/www/html" "$SCRATCH/tmp/other"
	dpkg-deb --extract "$SCRATCH/tmp/thttpd.deb" "$SCRATCH/tmp/other"
	inside /tmp/other/usr/sbin/thttpd -D -p 80 -d /tmp -u www-data -l /dev/null >/dev/null 2>&1 &
	local holder=$!
	eventually 10 curl --silent --output /dev/null http://127.0.0.1/
	check "a taken port does not fail the installation" install_deb
	kill $holder
	wait $holder 2>/dev/null
	check "nor the removal" inside dpkg --purge thttpd
}

maintainer_scripts
fresh_install
rotation
init_script
upgrade
removal
untouched
from_the_old_package
port_taken
finish
