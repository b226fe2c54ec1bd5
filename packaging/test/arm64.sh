#!/usr/bin/env bash
# Runs the program for arm64 under qemu: packaging/test/arm64.sh [PROGRAM]
#
# Unless given one, it builds the image for two kinds of machine, looks at that, and takes its program. Needs musl
# for both (rustup target add aarch64-unknown-linux-musl, or what packaging/musl-parts needs), Debian's
# qemu-user-static, curl and python3; no root.
set -u
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
need qemu-aarch64-static qemu-user-static
need curl curl

work=$(mktemp -d)
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
server=
image=$work/image

refused() { ! "$@"; }

# An image index with both platforms, and a layer for each.
holds_both() {
	python3 - "$image/oci" <<-'END'
		import json, os, sys
		blob = lambda d: os.path.join(sys.argv[1], "blobs", *d["digest"].split(":"))
		top = json.load(open(os.path.join(sys.argv[1], "index.json")))["manifests"][0]
		images = json.load(open(blob(top)))["manifests"]
		platforms = [m["platform"]["architecture"] for m in images]
		assert platforms == ["amd64", "arm64"], platforms
		for one in images:
		    manifest = json.load(open(blob(one)))
		    config = json.load(open(blob(manifest["config"])))
		    assert config["architecture"] == one["platform"]["architecture"]
		    assert os.path.getsize(blob(manifest["layers"][0])) == manifest["layers"][0]["size"]
	END
}

position_independent() { readelf --file-header "$1" | grep -q 'Type: *DYN'; }

# The program, wherever it is to run.
lay_program() {
	cp "$1" "$work/aarch64"
	printf '#!/bin/sh\nexec qemu-aarch64-static %s "$@"\n' "$work/aarch64" >"$work/thttpd"
	chmod 755 "$work" "$work/aarch64" "$work/thttpd"
}

# Pages, a script that sh runs, and a file that is more than one write.
serve() {
	mkdir -p "$work/www/cgi-bin"
	PORT=$(python3 -c "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])")
	page=http://127.0.0.1:$PORT
	echo "arm64 works" >"$work/www/index.html"
	head -c 3000000 /dev/urandom >"$work/www/large"
	printf '#!/bin/sh\necho Content-Type: text/plain\necho\necho "$REQUEST_METHOD by a script"\n' >"$work/www/cgi-bin/script"
	chmod 755 "$work/www/cgi-bin/script"
	"$work/thttpd" -D -h 127.0.0.1 -p "$PORT" -d "$work/www" -l "$work/log" -c '/cgi-bin/*' &
	server=$!
}

# same URL FILE: the answer is what the file holds.
same() { curl --silent --fail --max-time 30 "$1" | cmp - "$2"; }

status_is() { test "$(curl --silent --output /dev/null --max-time 10 --write-out '%{http_code}' "${@:2}")" = "$1"; }

# Many at once, each by a connection of its own.
many() {
	seq 40 | xargs -P 8 -I{} curl --silent --fail --max-time 30 --output "$work/page-{}" "$page/" || return
	[ "$(cat "$work"/page-* | sort -u)" = "arm64 works" ]
}

build_image() {
	check "the image is built for amd64 and arm64, within its limits" \
		"$TOP/packaging/container/build" "$image" --platform linux/amd64,linux/arm64 --gate
	check "it has an entry for each" holds_both
	check "an unknown platform is refused" refused "$TOP/packaging/container/build" "$image" --platform linux/vax
}

[ $# -gt 0 ] || {
	build_image
	set -- "$(ls -t "${CARGO_TARGET_DIR:-$TOP/target}"/static*/aarch64-unknown-linux-musl/tiny/thttpd | head -n 1)"
}
lay_program "$1"
check "arm64: is position-independent" position_independent "$work/aarch64"
check "arm64: starts" "$work/thttpd" -V
serve
check "arm64: serves a page" eventually 10 page_has "$page/" "arm64 works"
check "arm64: logs it" eventually 5 grep -q '"GET / HTTP/1.1" 200 12 ' "$work/log"
check "arm64: a large file" same "$page/large" "$work/www/large"
check "arm64: a range of it" status_is 206 --range 1000000-1999999 "$page/large"
check "arm64: what is not there is 404" status_is 404 "$page/none"
check "arm64: a script" page_has "$page/cgi-bin/script" "GET by a script"
check "arm64: many at once" many
check "arm64: its own probe finds it" "$work/thttpd" --healthcheck "$page/"
kill -TERM $server
wait $server
check "arm64: ends on TERM with status 0" test $? = 0
finish
