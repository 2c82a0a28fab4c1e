#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Two builds of the image from copies of the source in different folders, with different build directories, time zones,
# locales and umasks, hours apart by the files' dates, have the same bytes. Only the kernel package is shared.
set -u
: "${O:?}" "${SRC:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-twice.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
files="vmlinux vmlinuz initrd cmdline bifocal.img VERSION MANIFEST init"
deb=$(readlink -f "$O/image/kernel/deb" 2>/dev/null) && export BIFOCAL_CACHE="${deb%/*}"
# What the outer make was told must not reach the inner ones.
unset MAKEFLAGS MFLAGS MAKELEVEL SAN OPT

# Source directory, build directory, date of the sources.
build() {
	mkdir -p "$1" && (cd "$SRC" && tar -c Makefile scripts common lua guest vmimage tests/tests.mk) | tar -x -C "$1" &&
		find "$1" -exec touch -d "$3" {} + && make -C "$1" --no-print-directory O="$2" image >"$1.log" 2>&1
}

(
	umask 022
	export TZ=UTC LC_ALL=C
	build "$work/one" build '2026-01-01 00:00 UTC'
) &
first=$!
(
	umask 077
	export TZ=Asia/Kathmandu LC_ALL=C.UTF-8
	build "$work/somewhere-else/with.a-longer_name" "$work/out" '2026-02-03 04:05 UTC'
)
second=$?
wait $first
first=$?

n=0 failed=0
ok() { # status, what
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
	fi
}
ok $first "first build"
[ $first -eq 0 ] || tail -n 20 "$work/one.log" | sed 's/^/# /'
ok $second "second build"
[ $second -eq 0 ] || tail -n 20 "$work"/somewhere-else/*.log | sed 's/^/# /'
for f in $files; do
	cmp "$work/one/build/image/$f" "$work/out/image/$f" 2>&1 | sed 's/^/# /'
	cmp -s "$work/one/build/image/$f" "$work/out/image/$f"
	ok $? "$f has the same bytes"
done
echo "1..$n"
exit $failed
