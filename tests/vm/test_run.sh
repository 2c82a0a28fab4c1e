#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# `bifocal run` with real guests: a run from end to end, and what must hold when one of the parties is killed in the window.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-run.XXXXXX") || exit 1
export BIFOCAL_DB="$work/db"
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
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
		sed 's/^/# /' "$work/out" | tail -n 15
		failed=1
	fi
}
field() { # run, key: its first value in the JSON of `show`
	"$bifocal" show "$1" --json 2>/dev/null | sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1
}
is() { # value, wanted
	[ "$1" = "$2" ] && return 0
	echo "# $1, not $2"
	return 1
}
says() { grep -q -- "$1" "$work/out"; }
# Ended; where nobody reaps orphans, as in many containers, a zombie stays.
gone() { ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }
no_dir() { [ -n "$1" ] && [ ! -e "$1" ]; }
above() { [ -n "$1" ] && [ "$1" -gt "$2" ]; }

# Starts a run of 20 s and waits for its window: sets pid (bifocal), qemu, dir and run.
in_window() {
	"$bifocal" run --vm vm.accel=tcg --workload runtime=20s >"$work/out" 2>&1 &
	pid=$! qemu='' dir='' run=''
	tries=600
	while [ $tries -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
		tries=$((tries - 1))
		if [ "$(field last status)" = running ] && [ -n "$(field last start)" ]; then
			qemu=$(cat "/proc/$pid/task/$pid/children" | tr -d ' ')
			dir=$(tr '\0' '\n' <"/proc/$qemu/cmdline" | sed -n 's/.*path=\(.*\)\/control$/\1/p')
			run=$(field last run)
			sleep 2
			return
		fi
		sleep 0.2
	done
	echo "# the window never opened"
}
end() { # sets status
	wait "$pid"
	status=$?
	pid=
}

"$bifocal" run --vm vm.accel=tcg --workload runtime=1s --vary disk.bus=virtio-blk,nvme >"$work/out" 2>&1
check "two cells end with exit 0" is $? 0
check "it said once which accelerator, and why" is "$(grep -c "^accelerator: tcg: " "$work/out")" 1
check "both runs are complete" is "$(field 1 status) $(field 2 status)" "complete complete"
check "I/Os were recorded" above "$(field 1 seen)" 0
check "a record takes 12 bytes of the database at most" above $(($(field 1 seen) * 12 + 1)) "$(field 1 stored_bytes)"
tiers=$("$bifocal" show 1 --json | tr -d ' \n' | grep -oE '"(causal|exchange)":\{[^{}]*"samples":[1-9]' | cut -d: -f1 | sort -u | wc -l)
check "the clock was related by exchange, and by the requests themselves" is "$tiers" 2
check "nothing was lost" is "$("$bifocal" show 1 | grep -c 'nothing lost')" 1

in_window
kill -9 "$qemu"
end
check "QEMU killed in the window: exit 3" is $status 3
check "the run is partial" is "$(field "$run" status)" partial
check "it says what happened" says "signal 9"
check "its directory is gone" no_dir "$dir"

in_window
kill -TERM "$pid"
end
check "SIGTERM in the window: exit 1" is $status 1
check "the run is partial, and what was measured is there" above "$(field "$run" seen)" 0
check "QEMU is gone" gone "$qemu"
check "its directory is gone" no_dir "$dir"

in_window
kill -9 "$pid"
end 2>/dev/null
sleep 1
check "kill -9 of the collector takes QEMU along" gone "$qemu"
"$bifocal" db check >"$work/out" 2>&1
check "the database is whole" is $? 0
"$bifocal" run --vm vm.accel=tcg --vm vm.boot_timeout=1s --workload runtime=1s >"$work/out" 2>&1
check "a guest that does not greet in time: exit 1" is $? 1
check "it says so, and how long it waited" says "did not greet within 1 s"
check "the killed collector's run is partial" is "$(field "$run" status)" partial
check "the directory it left is swept" no_dir "$dir"
echo "1..$n"
exit $failed
