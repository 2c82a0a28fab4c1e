#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's kernel traced by BPF programs and by tracefs, in real guests: both see the same requests, and all of them are matched.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-bpf.XXXXXX") || exit 1
export BIFOCAL_DB="$work/db"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0

check() { # what, command…
	n=$((n + 1))
	what=$1
	shift
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$work/out" | tail -n 30
		failed=1
	fi
}
# The same 400 requests, seen by the guest's kernel as trace.guest says; `bifocal show` of it is in $work/out.
run() { # source, more options…
	source=$1
	shift
	"$bifocal" run --vm vm.accel=tcg --vm trace.host=off --vm trace.guest="$source" --seed 7 --workload runtime=0 --workload ramp_time=0 \
		--workload number_ios=400 "$@" >"$work/run" 2>&1 || { cp "$work/run" "$work/out"; return 1; }
	"$bifocal" show last >"$work/out"
}
seen_by() { grep -q "guest.kernel $1 " "$work/out"; }
all_matched() { grep -q 'matched  *400 of 400 (100 %)' "$work/out" && grep -q 'within 0 cycles' "$work/out" && grep -q 'no phase is negative' "$work/out"; }
phases() { awk '/^  (guest|cross)\./ && $2 ~ /^[0-9,]+$/ { print $1, $2 }' "$work/out"; }

for bus in virtio-blk virtio-scsi; do
	check "$bus: a run traced by BPF" run on --vm disk.bus=$bus
	check "$bus: its guest's kernel was seen by BPF" seen_by bpf
	check "$bus: every request is matched, to the cycle" all_matched
	phases >"$work/bpf"
	check "$bus: a run traced by tracefs" run tracefs --vm disk.bus=$bus
	check "$bus: its guest's kernel was seen by tracefs" seen_by tracefs
	check "$bus: every request is matched, to the cycle" all_matched
	phases >"$work/tracefs"
	check "$bus: both show the same phases of as many requests" cmp -s "$work/bpf" "$work/tracefs"
done

echo "1..$n"
exit $failed
