#!/usr/bin/env bash
# Runs the container image in empty roots, without a container engine: packaging/test/container.sh
#
# Builds the image twice, holds the two against each other and the sizes against their limits, unpacks
# it, and runs it with its own entry point as container engines do: chroot into a directory with
# nothing else, namespaces of its own, as root and not, with a read-only root, without capabilities.
# Needs root and what packaging/test/install-tools installs.
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
need capsh libcap2-bin
need python3 python3

[ $# -gt 0 ] || {
	image=$TOP/target/image
	check "the image is within its limits" "$TOP/packaging/container/build"
	check "is built again" "$TOP/packaging/container/build" "$image-again"
	check "is the same, byte for byte" cmp "$image/thttpd-image.tar" "$image-again/thttpd-image.tar"
	check "so is its OCI layout" diff -r "$image/oci" "$image-again/oci"
	rm -rf "$image-again"
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
# process 1 of its own process namespace. Leaves CONTAINER (and INSIDE, its process 1 as seen from here),
# and what it says in LOG.
run() {
	local user=()
	[ "$1" = -- ] || { user=(--drop=all "--groups=$1" "--gid=$1" "--uid=$1"); shift; }
	shift
	LOG=$WORK/log
	: >"$LOG"
	# The shell that capsh starts is the first word of the entry point, with the others behind it.
	unshare --pid --fork --kill-child --ipc --uts --mount \
		setpriv --no-new-privs env -i /usr/sbin/capsh "--chroot=$ROOT" "${user[@]}" \
		"--shell=${ENTRYPOINT[0]}" -- "${ENTRYPOINT[@]:1}" "$@" >>"$LOG" 2>&1 &
	CONTAINER=$!
	eventually 5 pgrep --parent $CONTAINER
	INSIDE=$(pgrep --parent $CONTAINER)
}

# Ends the container by SIGNAL, as an engine does. Leaves its exit STATUS, and the seconds it TOOK.
end() {
	local start=$SECONDS
	kill "-$1" "$INSIDE"
	eventually 10 gone "$INSIDE" || kill -KILL "$INSIDE"
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
	noise=$(grep -vP '^[\d.:a-f]+ - - \[|^thttpd: (thttpd/\S+ starting on|started as root without) ' "$LOG")
	[ -z "$noise" ] || { echo "$noise"; return 1; }
}

IMAGE=$1
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

as_root
another_folder
not_root
port_80_without_root
config_map
drain
finish
