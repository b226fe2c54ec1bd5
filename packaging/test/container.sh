#!/usr/bin/env bash
# Runs the container image in empty roots, and with podman: packaging/test/container.sh
#
# Builds the image twice, with musl where Debian and PyPI have it, and once for arm64 and with glibc; holds the
# two against each other and the sizes against their limits. Unpacks it, and runs it with its own entry point as
# container engines do: chroot into a directory with nothing else, namespaces of its own, as root and not, with a
# read-only root, without capabilities, and as the Kubernetes manifest says. Then podman loads its archives and
# runs it. The program for arm64 runs under qemu (packaging/test/arm64.sh).
# Needs root and what packaging/test/install-tools installs.
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
need capsh libcap2-bin
need python3 python3
need podman podman
python3 -c "import yaml" || need yaml python3-yaml

# The image a second time, in DIRECTORY: compiled anew, from a copy of the source in another place.
again() {
	local copy status
	copy=$(mktemp -d)
	tar -C "$TOP" -c Cargo.toml Cargo.lock build.rs src packaging tests/main.rs | tar -C "$copy" -x
	SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$TOP" log -1 --format=%ct)} \
		CARGO_TARGET_DIR=$copy/target "$copy/packaging/container/build" "$1" --libc musl --gate
	status=$?
	rm -r "$copy"
	return $status
}

# built DIRECTORY STATUS: what its build has said, and how it ended.
built() { cat "$1.log"; return "$2"; }

# The program of MACHINE that packaging/build-static made last.
program_of() { ls -t "${CARGO_TARGET_DIR:-$TOP/target}"/static*/"$1"-unknown-linux-musl/tiny/thttpd | head -n 1; }

position_independent() { readelf --file-header "$1" | grep -q 'Type: *DYN'; }

[ $# -gt 0 ] || {
	image=$TOP/target/image
	mkdir -p "$TOP/target"
	# The programs that are not run here are compiled meanwhile: each has one long step for one processor.
	"$TOP/packaging/container/build" "$image-glibc" --libc glibc --gate >"$image-glibc.name" 2>"$image-glibc.log" &
	glibc=$!
	check "the image is within its limits" "$TOP/packaging/container/build" "$image" --libc musl --gate
	wait $glibc
	check "so is the one with glibc" built "$image-glibc" $?
	check "its archive alone is printed, to be loaded" test "$(cat "$image-glibc.name")" = "$image-glibc/thttpd-image.tar"
	"$TOP/packaging/container/build" "$image-arm64" --platform linux/arm64 --gate >"$image-arm64.log" 2>&1 &
	arm64=$!
	check "it is built again" again "$image-again"
	check "is the same, byte for byte" diff -r "$image" "$image-again"
	check "its program is position-independent" position_independent "$(program_of "$(uname -m)")"
	wait $arm64
	check "the one for arm64 is within its limits" built "$image-arm64" $?
	check "the program for arm64 does all that it should" "$HERE/arm64.sh" "$(program_of aarch64)"
	rm -rf "$image-again" "$image-glibc" "$image-glibc.name" "$image-arm64"
	set -- "$image/thttpd-image.tar" "$PASSED" "$FAILED"
}
scratch "$@"
PASSED=${2:-0} FAILED=${3:-0}

# unpack ROOT: the image's layer, and nothing else, in ROOT; leaves ENTRYPOINT, a list.
unpack() {
	mkdir -p "$1"
	mapfile -t ENTRYPOINT < <(python3 - "$IMAGE" "$1" <<-'END'
		import gzip, io, json, sys, tarfile
		image, root = tarfile.open(sys.argv[1]), sys.argv[2]
		read = lambda name: image.extractfile(name).read()
		manifest = json.loads(read("manifest.json"))[0]
		for layer in manifest["Layers"]:
		    tarfile.open(fileobj=io.BytesIO(gzip.decompress(read(layer)))).extractall(root)
		settings = json.loads(read(manifest["Config"]))["config"]
		assert settings["Healthcheck"]["Test"] == ["CMD", "/thttpd", "--healthcheck"]
		print(*settings["Entrypoint"], sep="\n")
	END
	)
}

# run [USER] -- [FLAGS...]: the image as `docker run [--user USER --cap-drop ALL] IMAGE FLAGS` runs it,
# process 1 of its own process namespace, with ENVIRONMENT alone. Leaves CONTAINER (and INSIDE, its process 1 as seen from here),
# and what it says in LOG.
run() {
	local user=()
	[ "$1" = -- ] || { user=(--drop=all "--groups=$1" "--gid=$1" "--uid=$1"); shift; }
	shift
	LOG=$WORK/log
	: >"$LOG"
	# The shell that capsh starts is the first word of the entry point, with the others behind it.
	unshare --pid --fork --kill-child --ipc --uts --mount \
		setpriv --no-new-privs env -i "${ENVIRONMENT[@]}" /usr/sbin/capsh "--chroot=$ROOT" "${user[@]}" \
		"--shell=${ENTRYPOINT[0]}" -- "${ENTRYPOINT[@]:1}" "$@" >>"$LOG" 2>&1 &
	CONTAINER=$!
	eventually 5 pgrep --parent $CONTAINER
	INSIDE=$(pgrep --parent $CONTAINER)
}

# Ends the container by SIGNAL, as an engine does. Leaves its exit STATUS, and the seconds it TOOK.
end() {
	local start=$SECONDS
	kill "-$1" "$INSIDE"
	eventually 20 gone "$INSIDE" || kill -KILL "$INSIDE"
	TOOK=$((SECONDS - start))
	wait $CONTAINER
	STATUS=$?
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# The container's process has UID and GID, all four of each, and no capability.
has_ids() {
	grep -E "^(Uid|Gid|CapEff):" "/proc/$INSIDE/status"
	grep -qP "^Uid:\t$1\t$1\t$1\t$1$" "/proc/$INSIDE/status" &&
		grep -qP "^Gid:\t$1\t$1\t$1\t$1$" "/proc/$INSIDE/status" &&
		grep -qP "^CapEff:\t0+$" "/proc/$INSIDE/status"
}

# The log has a line in the form of the image that people know.
logged() {
	eventually 5 grep -qP '^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET / HTTP/1\.1" 200 \d+ "" "curl/[\d.]+"$' "$LOG" ||
		{ cat "$LOG"; return 1; }
}

# Nothing but access-log lines and thttpd's own words at its start: what an empty root lacks is no news.
quiet() {
	local noise
	noise=$(grep -vP '^[\d.:a-f]+ - - \[|^thttpd: thttpd/\S+ starting on ' "$LOG")
	[ -z "$noise" ] || { echo "$noise"; return 1; }
}

IMAGE=$1
ENVIRONMENT=()
# In memory, with a file system of its own, so that it can be made read-only.
WORK=$SCRATCH/tmp
ROOT=$WORK/root
mkdir "$ROOT"
mount -t tmpfs image "$ROOT"
unpack "$ROOT"
[ -x "$ROOT/thttpd" ] || { echo "$0: no image in $IMAGE" >&2; exit 1; }
check "the image holds the program and a page, and nothing else" test "$(cd "$ROOT" && find . | sort | tr '\n' ' ')" = ". ./thttpd ./www ./www/index.html "

as_root() {
	run --
	check "root: serves the page of the image on port 80" eventually 5 page_has http://127.0.0.1/ "thttpd works"
	check "root: is 65534:65534 without a file that says who nobody is" has_ids 65534
	check "root: logs the request on standard error" logged
	check "root: says nothing about what is not there" quiet
	check "root: its own probe finds it" chroot "$ROOT" /thttpd --healthcheck
	end TERM
	check "root: ends on TERM with status 0" test $STATUS = 0
	check "root: at once" test $TOOK -le 2
	check "root: its probe tells when it is gone" refused chroot "$ROOT" /thttpd --healthcheck
}

refused() { ! "$@"; }

another_folder() {
	mkdir -p "$ROOT/docs"
	echo "<p>my docs</p>" >"$ROOT/docs/index.html"
	run -- -d /docs
	check "-d /docs: serves that folder" eventually 5 page_has http://127.0.0.1/ "my docs"
	end USR1
	check "-d /docs: ends on USR1" test $STATUS = 0
	rm -r "$ROOT/docs"
}

# The line that people know from that image, but for the time.
log_line() {
	local line
	mkdir "$ROOT/docs"
	head -c 1351 /dev/zero >"$ROOT/docs/index.html"
	ENVIRONMENT=(TZ=EST5)
	run -- -d /docs -D -l "$1" -p 8080
	ENVIRONMENT=()
	eventually 5 curl --silent --fail --output "$WORK/page" --user-agent curl/7.37.0 http://127.0.0.1:8080/
	line='127.0.0.1 - - [04/Jan/2015:16:44:26 -0500] "GET / HTTP/1.1" 200 1351 "" "curl/7.37.0"'
	check "-l $1: prints the very line" eventually 5 dated "$line"
	end TERM
	rm -r "$ROOT/docs"
}

# The log has LINE, with a time that is now or was a moment ago.
dated() {
	local now
	now=$(LC_ALL=C TZ=EST5 date --date="$(tail -n 1 "$LOG" | sed 's/.*\[\([^:]*\):\([^ ]*\) -0500\].*/\1 \2 -0500/; s,/, ,g')" +%s) || return
	[ $((EPOCHSECONDS - now)) -le 60 ] || { cat "$LOG"; return 1; }
	sed 's,\[[0-9]*/[A-Z][a-z]*/[0-9:]* -0500\],[04/Jan/2015:16:44:26 -0500],' "$LOG" | grep -qxF -- "$1" ||
		{ cat "$LOG"; return 1; }
}

not_root() {
	# As a pod with a read-only root, every capability dropped and no new privileges.
	local whole=$ROOT
	ROOT=$WORK/read-only
	mkdir "$ROOT"
	mount --bind "$whole" "$ROOT"
	mount -o remount,bind,ro "$ROOT"
	run 1000 -- -p 8080
	check "restricted: serves on port 8080" eventually 5 page_has http://127.0.0.1:8080/ "thttpd works"
	check "restricted: is who it was started as" has_ids 1000
	check "restricted: logs" logged
	check "restricted: says nothing about what is not there" quiet
	check "restricted: its own probe finds it" chroot "$ROOT" /thttpd --healthcheck http://127.0.0.1:8080/
	end TERM
	check "restricted: ends on TERM" test $STATUS = 0
	umount "$ROOT"
	ROOT=$whole
}

port_80_without_root() {
	echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
	run 1000 --
	check "not root: has port 80 where the kernel gives it" eventually 5 page_has http://127.0.0.1/ "thttpd works"
	end TERM
	check "not root: ends on TERM" test $STATUS = 0
	echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start
	run 1000 --
	wait $CONTAINER
	check "not root: ends where the kernel does not" test $? = 1
	check "not root: and says what to do" grep -q 'ports below 1024 are root.*-p' "$LOG"
}

# A ConfigMap as the kubelet lays it: the names are links to ..data, and that is a link, too.
config_map() {
	local map=$ROOT/pages
	mkdir -p "$map/..2026_one"
	echo "<p>first</p>" >"$map/..2026_one/index.html"
	ln -s ..2026_one "$map/..data"
	ln -s ..data/index.html "$map/index.html"
	run -- -d /pages -p 8080
	check "ConfigMap: is served through its links" eventually 5 page_has http://127.0.0.1:8080/ "first"
	check "ConfigMap: by its name, too" page_has http://127.0.0.1:8080/index.html "first"
	mkdir "$map/..2026_two"
	echo "<p>second</p>" >"$map/..2026_two/index.html"
	ln -s ..2026_two "$map/..data_tmp"
	mv --no-target-directory "$map/..data_tmp" "$map/..data"
	rm -r "$map/..2026_one"
	check "ConfigMap: an update is served at the next request" page_has http://127.0.0.1:8080/ "second"
	end TERM
	check "ConfigMap: ends on TERM" test $STATUS = 0
	rm -r "$map"
}

# What leaves its script's process group outlives it as the child of process 1, which has to take
# note of its end.
orphans() {
	local programs=(/bin/dash /bin/sleep /usr/bin/setsid) libraries
	mapfile -t libraries < <(ldd "${programs[@]}" | grep -o '/[^ ]*\.so[^ ]*' | sort -u)
	cp --parents --dereference "${programs[@]}" "${libraries[@]}" "$ROOT"
	mkdir "$ROOT/www/cgi-bin"
	cat >"$ROOT/www/cgi-bin/leave" <<-'END'
		#!/bin/dash
		/usr/bin/setsid --fork /bin/dash -c 'echo left; exec /bin/sleep 1 <&- >&- 2>&-' | {
			read -r line
			echo "Content-Type: text/plain"
			echo
			echo "$line"
		}
	END
	chmod 755 "$ROOT/www/cgi-bin/leave"
	run -- -c 'cgi-bin/*'
	check "process 1: runs a script" eventually 5 page_has http://127.0.0.1/cgi-bin/leave left
	check "process 1: is the parent of what it leaves" eventually 5 pgrep --parent "$INSIDE" --exact sleep
	check "process 1: takes note of its end" eventually 5 childless
	end TERM
	(cd "$ROOT" && rm -r www/cgi-bin bin usr lib*)
}

# A child that has ended and was not waited for is a child still.
childless() { ! pgrep --list-name --parent "$INSIDE" --exact sleep; }

# The Kubernetes manifest: its arguments, user, volume and probes, under its restrictions.
manifest() {
	local pod=$WORK/pod args probe user
	mkdir "$pod"
	check "manifest: is right" "$HERE/pod" "$TOP/packaging/container/kubernetes/thttpd.yaml" "$pod"
	[ -e "$pod/volume" ] || return
	mapfile -t args <"$pod/args"
	mapfile -t probe <"$pod/probe"
	user=$(cat "$pod/user")
	mv "$pod/volume" "$ROOT$(cat "$pod/mount")"
	check "manifest: its arguments mean something" chroot --userspec="$user:$user" "$ROOT" "${ENTRYPOINT[@]}" "${args[@]}" --check
	check "manifest: its probe fails before there is a server" refused chroot "$ROOT" "${probe[@]}"
	mount -o remount,ro "$ROOT"
	run "$user" -- "${args[@]}"
	check "manifest: serves the ConfigMap" eventually 5 page_has http://127.0.0.1:8080/ "A page from a ConfigMap"
	check "manifest: its probe finds it well" chroot --userspec="$user:$user" "$ROOT" "${probe[@]}"
	check "manifest: is ready, as the kubelet asks" eventually 5 page_has http://127.0.0.1:9117/healthz ok
	end TERM
	check "manifest: ends on TERM" test $STATUS = 0
	check "manifest: its port stays open for the delay" test "$TOOK" -ge 8
	mount -o remount,rw "$ROOT"
}

# TERM lets the request in flight end: the pod is going, its clients should not notice.
drain() {
	local client
	head -c 3000000 /dev/zero >"$ROOT/www/large"
	run -- -o stop_grace=10
	eventually 5 page_has http://127.0.0.1/ "thttpd works"
	curl --silent --limit-rate 2M --output "$WORK/large" http://127.0.0.1/large &
	client=$!
	eventually 5 test -s "$WORK/large"
	kill -TERM "$INSIDE"
	wait $client
	check "drain: the download in flight ends whole" test $? = 0
	check "drain: nothing of it is missing" cmp "$ROOT/www/large" "$WORK/large"
	check "drain: then it is gone" eventually 5 gone "$INSIDE"
	rm "$ROOT/www/large"
}

# podman with storage of its own, and without what only systemd and limits of a real machine give it.
podman() {
	local status
	# Not a pipe: what watches over a container would hold it open.
	command podman --root "$WORK/podman/root" --runroot "$WORK/podman/run" --tmpdir "$WORK/podman/tmp" \
		--storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@" 2>"$WORK/said"
	status=$?
	grep -vE 'systemd connection|healthchecks?:' "$WORK/said" >&2
	return $status
}

# podman_run FLAGS... IMAGE...: a container in the network of this test, where it has no name.
podman_run() {
	podman run --network host --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
}

# loads FILE NAME: podman takes FILE, and has an image of that NAME then.
loads() {
	podman load --input "$1" && podman image exists "$2"
}

healthcheck_is_there() {
	test "$(podman image inspect "$1" --format '{{json .HealthCheck.Test}}')" = '["CMD","/thttpd","--healthcheck"]'
}

# says STATUS TEXT... -- COMMAND...: ends with STATUS, with one line of words, and every TEXT among them.
says() {
	local status=$1 text texts=() said
	shift
	while [ "$1" != -- ]; do texts+=("$1"); shift; done
	shift
	said=$("$@" 2>&1)
	[ $? = "$status" ] && [ "$(echo "$said" | wc -l)" = 1 ] || { echo "$said"; return 1; }
	for text in "${texts[@]}"; do
		[[ $said == *"$text"* ]] || { echo "not in it: $text: $said"; return 1; }
	done
}

# crun gives standard input to the user of the container, be it the machine's /dev/null: it gets another one.
devices_of_its_own() {
	mkdir "$WORK/dev"
	mount -t tmpfs -o mode=755 dev "$WORK/dev"
	# Copies are nodes of their own, unlike what is mounted.
	cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$WORK/dev"
	mkdir "$WORK/dev/pts" "$WORK/dev/shm"
	ln -s /proc/self/fd "$WORK/dev/fd"
	mount --rbind "$WORK/dev" /dev
	exec </dev/null
}

with_podman() {
	local directory image=thttpd:3.0.0
	directory=$(dirname "$IMAGE")
	devices_of_its_own
	# One hierarchy of control groups, as on a machine of today.
	[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 cgroup /sys/fs/cgroup
	check "podman: loads the archive" loads "$IMAGE" $image
	check "podman: the image's HEALTHCHECK is there" healthcheck_is_there $image
	check "podman: root without capabilities is told what to do, in one line" says 1 "--user 65534" CAP_SETUID CAP_SETGID -- \
		podman_run --rm --cap-drop=ALL $image
	check "podman: as that user it is told of its port" says 1 -p -- podman_run --rm --cap-drop=ALL --user 65534 $image
	check "podman: -u root is known in an empty root" says 0 sound -- podman_run --rm --cap-drop=ALL $image -u root -p 8080 --check
	check "podman: serves" podman_run --detach --name one $image
	check "podman: the page of the image" eventually 5 page_has http://127.0.0.1/ "thttpd works"
	check "podman: its HEALTHCHECK finds it well" podman healthcheck run one
	podman stop --time 5 one >/dev/null
	check "podman: ends on TERM with status 0" test "$(podman inspect one --format '{{.State.ExitCode}}')" = 0
	podman rm --force one >/dev/null
	check "podman: serves as nobody without capabilities" podman_run --detach --name two --cap-drop=ALL --user 65534 $image -p 8080
	check "podman: the page, once more" eventually 5 page_has http://127.0.0.1:8080/ "thttpd works"
	podman rm --force --time 0 two >/dev/null
	podman rmi --all --force >/dev/null
	check "podman: loads the OCI layout" loads "$directory/thttpd-image-oci.tar" docker.io/library/$image
	podman rmi --all --force >/dev/null
	check "podman: loads the one packed by zstd" loads "$directory/thttpd-image-oci-zstd.tar" docker.io/library/$image
}

as_root
another_folder
log_line /dev/stderr
log_line /dev/stdout
not_root
port_80_without_root
config_map
orphans
manifest
drain
with_podman
finish
