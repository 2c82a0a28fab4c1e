#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Attribution end to end: real guests, all vantages, every bus and way to the host's file. The requests are matched, their phases sum to
# what the application saw, nothing contradicts its bound; a copy of the database gives the same result. A vantage that is
# switched off is named, and its phases merge.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-attribution.XXXXXX") || exit 1
pids=
trap 'for p in $pids; do kill "$p" 2>/dev/null; done; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0
root=
[ "$(id -u)" = 0 ] && grep -q tracefs /proc/filesystems && root=yes
[ "$root" ] || echo "# not root, or no tracefs: without the host's kernel"

check() { # what, command…
	n=$((n + 1))
	what=$1
	shift
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		tail -n 15 "$work/$cell.out" 2>/dev/null | sed 's/^/# /'
		failed=1
	fi
}

# ---- cells: each has a database and an output of its own, two run at once ----

start() { # cell, options…
	(
		cell=$1
		shift
		BIFOCAL_DB=$work/$cell "$bifocal" run --vm vm.accel=tcg --vm disk.dir="$work" --workload ramp_time=100ms --workload runtime=1s "$@" \
			>"$work/$cell.out" 2>&1
		echo $? >"$work/$cell.status"
		BIFOCAL_DB=$work/$cell "$bifocal" show last --json >"$work/$cell.json" 2>>"$work/$cell.out"
	) &
	pids="$pids $!"
}

# A number or word of the shown JSON: the first line that has the key.
json() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$work/$cell.json" | head -n 1; }
note() {
	echo "# $cell: $(json counted) requests, $(json matched) matched, $(json causality_violations) violations, clock $(json tier) ± $(json bound_ns) ns"
}

# Permille of the counted requests that must be matched; status.
matched() {
	c=$(json counted) m=$(json matched)
	[ -n "$c" ] && [ "$c" -ge 20 ] && [ $((m * 1000)) -ge $((c * $1)) ] && return 0
	echo "# $m of $c are matched"
	sed -n '/"unmatched"/,/}/p' "$work/$cell.json" | sed 's/^/# /'
	return 1
}
sound() { # permille
	note
	[ "$(cat "$work/$cell.status")" = 0 ] || { echo "# it ended with $(cat "$work/$cell.status")"; return 1; }
	matched "$1" || return 1
	[ "$(json causality_violations)" = 0 ] || { echo "# $(json causality_example)"; sed -n 's/^ *"causality_example"/# &/p' "$work/$cell.json"; return 1; }
	r=$(sed -n '/"residual_ns": {/,/}/s/^ *"max": \([-0-9.e]*\).*/\1/p' "$work/$cell.json")
	case $r in 0 | 0.0) return 0 ;; *) echo "# residual $r"; return 1 ;; esac
}
seen() { sed -n 's/^ *"\(from\|to\)": "\(.*\)",*$/\2/p' "$work/$cell.json" | sort -u; }
shows() { # boundaries…
	for b; do
		case $b in host_issue | host_complete) [ "$root" ] || continue ;; esac
		seen | grep -qx "$b" || { echo "# no request shows $b"; return 1; }
	done
}
hides() { # boundaries…
	for b; do
		seen | grep -qx "$b" && { echo "# $b is shown"; return 1; }
	done
	return 0
}
guest_side="app_submit guest_queue guest_issue guest_kick guest_irq guest_complete app_reap"
vmm_side="host_notify device_start device_done irq_inject"
host_side="host_submit host_issue host_complete host_reap"
all="$guest_side $vmm_side $host_side"
there() { # vantage: true, false
	sed -n "/\"$1\": {/,/}/s/^ *\"there\": \([a-z]*\),*\$/\1/p" "$work/$cell.json" | head -n 1
}
same() {
	cp -r "$work/$cell" "$work/copy" || return 1
	BIFOCAL_DB=$work/copy "$bifocal" attribute last >>"$work/$cell.out" 2>&1 || return 1
	BIFOCAL_DB=$work/copy "$bifocal" show last --json >"$work/copy.json" 2>>"$work/$cell.out"
	rm -rf "$work/copy"
	diff "$work/$cell.json" "$work/copy.json" | head -n 5 | sed 's/^/# /'
	cmp -s "$work/$cell.json" "$work/copy.json"
}
waterfall() {
	for which in worst typical; do
		BIFOCAL_DB=$work/$cell "$bifocal" show last --request $which >"$work/$cell.out" 2>&1 || return 1
		for b in app_submit device_start app_reap; do
			grep -q "$b" "$work/$cell.out" || { echo "# $which: no $b"; return 1; }
		done
	done
}
both() { wait; pids=; }

start d1
start d32 --workload iodepth=32
both
cell=d1
check "virtio-blk, threads, depth 1: 99.9 % matched, no violation, no residual" sound 999
check "  all boundaries are shown" shows $all
check "  attributed again, a copy gives the same" same
check "  one request's waterfall" waterfall
cell=d32
check "virtio-blk, threads, depth 32: 99 % matched, no violation, no residual" sound 990
check "  all boundaries are shown" shows $all

start native --vm disk.aio=native --workload iodepth=32
start uring --vm disk.aio=io_uring --vm disk.iothread=on --workload iodepth=32
both
for cell in native uring; do
	check "virtio-blk, $cell, depth 32: matched, no violation, no residual" sound 990
	check "  all boundaries are shown" shows $all
done

start scsi --vm disk.bus=virtio-scsi --workload iodepth=4 --workload rw=randrw --workload fsync=4
start ahci --vm disk.bus=ahci --workload iodepth=32
both
cell=scsi
check "virtio-scsi, flushes: matched, no violation, no residual" sound 990
check "  all boundaries are shown" shows $all
cell=ahci
check "ahci, depth 32: matched, no violation, no residual" sound 990
check "  all boundaries are shown" shows $all

start nvme --vm disk.bus=nvme --workload iodepth=32
start ide --vm disk.bus=ide --workload rw=randrw --workload fsync=4
both
for cell in nvme ide; do
	check "$cell: matched, no violation, no residual" sound 990
	check "  all boundaries are shown" shows $all
done

start fsync --workload rw=randrw --workload iodepth=4 --workload fsync=4
start novmm --vm trace.vmm=off --workload iodepth=4
both
cell=fsync
check "virtio-blk, writes and flushes: matched, no violation, no residual" sound 990
cell=novmm
check "without the VMM: matched, no violation, no residual" sound 990
check "  it is named as absent" [ "$(there vmm)" = false ]
check "  its phases merge" hides device_start device_done

start big --workload bs=1m --workload iodepth=2 --vm disk.bus=ahci
start queues --vm vm.cpus=2 --vm disk.queues=2 --workload numjobs=4 --workload iodepth=4
both
cell=big
check "splits, ahci, 1 MiB: no violation, no residual" sound 900
cell=queues
check "two CPUs, two queues, four jobs: matched, no violation, no residual" sound 990

start qcow2 --vm disk.format=qcow2 --workload iodepth=4
start noguest --vm trace.guest=off --workload iodepth=4
both
cell=qcow2
note
check "qcow2: it is attributed" matched 500
cell=noguest
note
check "without the guest's kernel: it is named as absent, nothing fails" [ "$(cat "$work/$cell.status") $(there guest.kernel)" = "0 false" ]
echo "1..$n"
exit $failed
