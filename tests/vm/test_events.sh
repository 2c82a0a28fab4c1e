#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Life-cycle events inside a window, with real guests: every break of the guest's clock is seen, every epoch has a bound
# of its own, and nothing that the guest recorded is lost.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
work=$(mktemp -d "${TMPDIR:-/var/tmp}/bifocal-events.XXXXXX") || exit 1
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
		sed 's/^/# /' "$work/out" | tail -n 15
		failed=1
	fi
}
field() { # key: its first value in the JSON of the last run
	sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" "$work/json" | head -n 1
}
is() { # value, wanted
	[ "$1" = "$2" ] && return 0
	echo "# $1, not $2"
	return 1
}
refused() { # word, options…
	word=$1
	shift
	"$bifocal" run --workload runtime=3s "$@" >"$work/out" 2>&1
	is $? 2 && grep -qF -- "$word" "$work/out"
}
# A run of so many seconds with the events given, and what it left.
run() { # seconds, disk format, AT:DO…
	seconds=$1 format=$2
	shift 2
	for e in "$@"; do
		set -- "$@" --event "$e"
		shift
	done
	"$bifocal" run --vm vm.accel=tcg --vm disk.format="$format" --workload runtime="${seconds}s" "$@" >"$work/out" 2>&1
	status=$?
	"$bifocal" show last --json >"$work/json" 2>>"$work/out"
	return $status
}
# complete, so many epochs, all that was issued is there
whole() { # epochs
	is "$(field status)" complete && is "$(field epochs)" "$1" && is "$(field recorded)" "$(field issued)" && is "$(field seen)" "$(field recorded)"
}

# ---- refused before a guest is booted ----

check 'a savevm needs a disk that holds snapshots' refused 'disk.format=qcow2' --event 1s:savevm
check 'a loadvm needs a savevm' refused 'without a savevm' --vm disk.format=qcow2 --event 1s:loadvm
check 'a stop needs a cont' refused 'no cont' --event 1s:stop
check 'an event after the window' refused ' s long' --event 1s:stop --event 10s:cont
check 'an unknown event' refused 'none of stop cont savevm loadvm' --event 1s:explode

# ---- stop and cont ----

check 'stop and cont, twice' run 3 raw 700ms:stop 1s:cont 1700ms:stop 1800ms:cont
check '… three epochs, nothing lost' whole 3

# ---- savevm and loadvm ----

check 'two savevms, and loadvm of the second one, twice' run 5 qcow2 500ms:savevm 1500ms:savevm 2500ms:loadvm 3500ms:loadvm
check '… five epochs, nothing lost' whole 5

# ---- migration ----

check 'an NVMe disk does not migrate' refused 'NVMe' --vm disk.bus=nvme --event 1s:migrate
# Migrations that succeed, and events by the dozen: test_events_random.sh.

# Its second QEMU does not start.
printf '#!/bin/sh\ncase "$*" in *-incoming*) echo "no room here" >&2; exit 1 ;; esac\nexec qemu-system-x86_64 "$@"\n' >"$work/qemu"
chmod 755 "$work/qemu"
"$bifocal" run --vm vm.accel=tcg --vm vm.qemu="$work/qemu" --workload runtime=3s --event 1s:migrate >"$work/out" 2>&1
check 'a migration to a QEMU that does not start makes the run partial' is $? 3
"$bifocal" show last --json >"$work/json" 2>>"$work/out"
check '… it is said' grep -q 'event migrate: .*no room here' "$work/out"
check '… one event is lost, no I/O is' is "$(field event) $(field seen)" "1 $(field issued)"

# ---- a QEMU that refuses ----

# An NVMe disk cannot be saved, and so neither can a VM that has one somewhere.
printf '#!/bin/sh\ncase "$*" in *-blockdev*) exec qemu-system-x86_64 "$@" -device nvme,serial=x ;; esac\nexec qemu-system-x86_64 "$@"\n' >"$work/qemu"
chmod 755 "$work/qemu"
"$bifocal" run --vm vm.accel=tcg --vm vm.qemu="$work/qemu" --vm disk.format=qcow2 --workload runtime=3s --event 1s:savevm --event 2s:loadvm \
	>"$work/out" 2>&1
check 'a savevm that QEMU refuses makes the run partial' is $? 3
"$bifocal" show last --json >"$work/json" 2>>"$work/out"
check '… it is said, and so is the loadvm that it leaves nothing for' grep -q 'event savevm: .*nvme' "$work/out"
check '… two events are lost, no I/O is' is "$(field event) $(field seen)" "2 $(field issued)"

echo "1..$n"
exit $failed
