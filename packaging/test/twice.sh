#!/usr/bin/env bash
# Builds both packages here and once more in another directory, and compares them byte by byte:
# packaging/test/twice.sh. Compiles everything for release, twice; needs no root.
set -u
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
# shellcheck source=packaging/reproducible.sh
. "$TOP/packaging/reproducible.sh"
# Only what this script compiles is compared, with flags of each build's own.
unset PROGRAMS RUSTFLAGS

elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
(cd "$TOP" && git ls-files -z | xargs -0 cp --parents --target-directory "$elsewhere") || exit 1

# both TREE: the names of the .deb and the .rpm that TREE makes.
both() {
	"$1/packaging/deb/build" && "$1/packaging/rpm/build"
}

mapfile -t here < <(both "$TOP")
mapfile -t there < <(CARGO_TARGET_DIR=$elsewhere/target both "$elsewhere")
[ "${#here[@]}" = 2 ] && [ "${#there[@]}" = 2 ] || { echo "$0: a build has failed" >&2; exit 1; }
check "both .deb are the same" cmp "${here[0]}" "${there[0]}"
check "both .rpm are the same" cmp "${here[1]}" "${there[1]}"
sha256sum "${here[@]}"
finish
