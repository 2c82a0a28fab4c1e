#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# tests/run counts what goes wrong: whatever ends badly, breaks off, hangs or says nothing. TAP.
: "${SRC:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-runner.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0
expect() { # closing line, exit status, program…
	line=$1 status=$2
	shift 2
	O=$work BIFOCAL_TEST_TIMEOUT=${patience:-600} "$SRC/tests/run" "$@" >"$work/out" 2>&1
	got=$?
	n=$((n + 1))
	if [ "$got" -eq "$status" ] && [ "$(tail -n 1 "$work/out")" = "$line" ]; then
		echo "ok $n - ${1%%=*}"
	else
		echo "not ok $n - ${1%%=*}: status $got, $(tail -n 1 "$work/out")"
		failed=1
	fi
}
good='good=echo ok 1 - one; echo 1..1'
expect '1 passed, 0 failed, 0 skipped' 0 "$good"
expect '0 passed, 0 failed, 1 skipped' 1 'only skips=echo "ok 1 - one # SKIP no disk"; echo 1..1'
expect '1 passed, 0 failed, 0 skipped' 0 'nothing to do here=echo "1..0 # SKIP no disk"' "$good"
expect '1 passed, 1 failed, 0 skipped' 1 'a failed test=echo not ok 1 - one; echo 1..1' "$good"
expect '1 passed, 1 failed, 0 skipped' 1 'silence=true' "$good"
expect '1 passed, 1 failed, 0 skipped' 1 'a crash=kill -SEGV $$' "$good"
expect '2 passed, 1 failed, 0 skipped' 1 'a bad exit=echo ok 1 - one; echo 1..1; exit 3' "$good"
expect '2 passed, 1 failed, 0 skipped' 1 'broken off=echo ok 1 - one; echo 1..2' "$good"
expect '1 passed, 1 failed, 0 skipped' 1 'bailed out=echo 1..1; echo "Bail out! no disk"' "$good"
expect '1 passed, 1 failed, 0 skipped' 1 'no such program=/nonexistent' "$good"
patience=1
expect '1 passed, 1 failed, 0 skipped' 1 'a hang=echo ok 1 - one; sleep 60'
echo "1..$n"
exit $failed
