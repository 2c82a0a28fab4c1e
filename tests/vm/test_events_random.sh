#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A hundred events at random times in real guests, at depth 1 and 8, all vantages on: every one is seen, and no request is stitched
# together across one. tests/vm/stitched.c judges, from raw stamps and the events' own times; it is shown wrong stores as well.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
stitched=$O/tests/vm/stitched
seed=${EVENTS_SEED:-20261123}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/bifocal-random.XXXXXX") || exit 1
export BIFOCAL_DB="$work/db"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0 events=0 detected=0
: >"$work/said"

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
is() { # value, wanted
	[ "$1" = "$2" ] && return 0
	echo "# $1, not $2"
	return 1
}
above() { [ "${1:-0}" -gt "$2" ]; }
value() { sed -n "s/^$1 //p" "$work/said"; }
# AT:DO of so many steps, each a pair of stop and cont, a savevm or loadvm, or a migration: a word of $2 each, at random times from 300 ms on.
plan() { # steps, kinds, ms between two at most, seed
	awk -v steps="$1" -v kinds="$2" -v gap="$3" -v seed="$4" 'BEGIN {
		srand(seed)
		n = split(kinds, kind, " ")
		at = 300
		for (i = 0; i < steps; i++) {
			at += 20 + int(rand() * gap)
			k = kind[1 + int(rand() * n)]
			if (k == "stop") {
				printf "--event %dms:stop ", at
				at += 5 + int(rand() * 120)
				printf "--event %dms:cont ", at
			} else {
				if (k == "loadvm" && !saved) k = "savevm"
				saved = saved || k == "savevm"
				printf "--event %dms:%s ", at, k
			}
		}
		print ""
	}'
}
# A run with a plan; a guest under emulation that does not boot (its timer is not calibrated on a node under load) gets another try.
go() { # seconds, depth, plan, options…
	seconds=$1 depth=$2 plan=$3
	shift 3
	for try in 1 2 3; do
		# shellcheck disable=SC2086
		"$bifocal" run --vm vm.accel=tcg --vm vm.memory=256m --workload runtime="${seconds}s" --workload iodepth="$depth" $plan "$@" >"$work/out" 2>&1
		status=$?
		"$bifocal" show last --json 2>/dev/null | grep -q '^ *"status": "failed"' || break
	done
	run=$("$bifocal" show last --json 2>/dev/null | sed -n 's/^ *"run": \([0-9]*\),\{0,1\}$/\1/p' | head -n 1)
	return $status
}
judge() { # truth, store, options…
	db=$1
	shift
	"$stitched" "$db" "$run" "$@" >"$work/said" 2>&1
}
seen() {
	events=$((events + $(value events)))
	detected=$((detected + $(value detected)))
	grep '^#' "$work/said"
	is "$(value detected)" "$(value events)"
}
# One run, judged.
played() { # what, seconds, depth, plan, options…
	what=$1
	shift
	echo "# $what, depth $2: $3"
	check "$what, depth $2: complete" go "$@"
	judge "$BIFOCAL_DB"
	check '… every event is seen' seen
	check '… no request is stitched across one' is "$(value stitched)" 0
	check '… all could be judged' is "$(value unsure)" 0
	check '… and there are some' above "$(value requests)" 200
	echo "# $(tr '\n' ' ' <"$work/said")"
}

echo "# seed $seed (EVENTS_SEED)"
played 'stop and cont' 12 1 "$(plan 16 stop 450 "$seed")"
first=$run
played 'stop and cont' 12 8 "$(plan 16 stop 450 $((seed + 1)))"
played 'savevm and loadvm, stops among them' 16 1 "$(plan 10 'savevm loadvm loadvm stop' 600 $((seed + 2)))" --vm disk.format=qcow2
played 'savevm and loadvm, stops among them' 16 8 "$(plan 10 'savevm loadvm loadvm stop' 600 $((seed + 3)))" --vm disk.format=qcow2
played 'migrations, stops among them' 26 1 "$(plan 8 'migrate stop stop' 900 $((seed + 4)))"
played 'migrations, stops among them' 26 8 "$(plan 8 'migrate stop stop' 900 $((seed + 5)))"
echo "# $detected of $events events seen"
check 'a hundred events' above "$events" 99

# ---- the judge itself ----

run=$first
judge "$BIFOCAL_DB" "$BIFOCAL_DB" 30
check 'were the events 30 ms later, they would not have been seen' [ "$(value detected)" -lt "$(value events)" ]
check '… and requests would be stitched' above "$(value stitched)" 0
cp -r "$BIFOCAL_DB" "$work/spoilt"
"$stitched" --merge "$work/spoilt" "$run"
judge "$BIFOCAL_DB" "$work/spoilt"
check 'with one epoch over all and no marks, requests are stitched, and that is seen' above "$(value stitched)" 0

echo "1..$n"
exit $failed
