#!/usr/bin/env bash
# Builds the image for two kinds of machine and runs the one for arm64: packaging/test/arm64.sh
#
# Needs musl for both (rustup target add aarch64-unknown-linux-musl, or what packaging/musl-parts needs),
# Debian's qemu-user-static, curl and python3; no root. Where the recorded exchanges lie beside the project, they are put to it, too.
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

# Runs the arm64 program, whatever its working directory.
program() {
	cp "$(ls -t "${CARGO_TARGET_DIR:-$TOP/target}"/static*/aarch64-unknown-linux-musl/tiny/thttpd | head -n 1)" "$work/aarch64"
	printf '#!/bin/sh\nexec qemu-aarch64-static %s "$@"\n' "$work/aarch64" >"$work/thttpd"
	chmod 755 "$work" "$work/thttpd"
}

serve() {
	mkdir "$work/www"
	PORT=$(python3 -c "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])")
	echo "arm64 works" >"$work/www/index.html"
	"$work/thttpd" -D -h 127.0.0.1 -p "$PORT" -d "$work/www" -l "$work/log" &
	server=$!
}

check "the image is built for amd64 and arm64, within its limits" \
	"$TOP/packaging/container/build" "$image" --platform linux/amd64,linux/arm64
check "it has an entry for each" holds_both
check "an unknown platform is refused" refused "$TOP/packaging/container/build" "$image" --platform linux/vax
program
check "arm64: starts" "$work/thttpd" -V
serve
check "arm64: serves a page" eventually 10 page_has "http://127.0.0.1:$PORT/" "arm64 works"
check "arm64: logs it" eventually 5 grep -q '"GET / HTTP/1.1" 200 12 ' "$work/log"
check "arm64: its own probe finds it" "$work/thttpd" --healthcheck "http://127.0.0.1:$PORT/"
kill -TERM $server
wait $server
check "arm64: ends on TERM with status 0" test $? = 0
replay=$TOP/../shared/conformance/replay.py
[ ! -e "$replay" ] || check "arm64: answers the recorded exchanges as they should be" "$replay" "$work/thttpd"
finish
