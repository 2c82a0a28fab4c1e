#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The VMM's vantage with real guests: QEMU's trace log for every bus and way to the host's file. Each request that the disk saw has
# each of its sightings once; nothing is lost; a QEMU without trace events leaves a run that is whole but for that.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
sights=$O/tests/vm/sights
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-trace-vmm.XXXXXX") || exit 1
export BIFOCAL_DB="$work/db"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0 run=0

check() { # what, command…
	n=$((n + 1))
	what=$1
	shift
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$work/out" "$work/seen" 2>/dev/null | tail -n 40
		failed=1
	fi
}
is() { # value, wanted
	[ "$1" = "$2" ] && return 0
	echo "# $1, not $2"
	return 1
}
above() { [ -n "$1" ] && [ "$1" -gt "$2" ]; }
# Runs once, and writes down what its streams hold.
go() {
	"$bifocal" run --vm vm.accel=tcg --vm trace.host=off --vm trace.guest=off --workload runtime=500ms "$@" >"$work/out" 2>&1
	status=$?
	run=$((run + 1))
	case "$*" in *iodepth*) deep=1 ;; *) deep=0 ;; esac
	"$sights" "$BIFOCAL_DB" $run >"$work/seen" 2>&1
}
kind() { # name: how many of it QEMU showed
	v=$(sed -n "s/^kind 0x4000 $1 //p" "$work/seen")
	echo "${v:-0}"
}
attr() { sed -n "s/^attr $1 //p" "$work/seen"; }
lost() { sed -n 's/^stream 0x4000 .* //p' "$work/seen"; }
unordered() { sed -n 's/^unordered 0x4000 \([0-9]*\) .*/\1/p' "$work/seen"; }
# The I/O records of the run, ramp included: what the guest's application submitted.
ios() { "$bifocal" export "$run" 2>/dev/null | tail -n +2 | wc -l; }
# All these kinds were seen as often as `ios` or a few more: the kernel reads the disk for itself too, outside of the window for the most part.
# In company, neighbours that random places happen to have are merged by the guest's scheduler: one in a thousand, more or less.
all_of() { # kinds…
	want=$(ios)
	merged=$((deep * want / 200))
	for k; do
		got=$(kind "$k")
		if [ "$got" -lt $((want - merged)) ] || [ "$got" -gt $((want + 8)) ]; then
			echo "# $k: $got, of $want requests"
			return 1
		fi
	done
	above "$want" 20
}
some_of() { # kinds…
	for k; do
		above "$(kind "$k")" 0 || { echo "# no $k"; return 1; }
	done
}
whole() { [ "$status" = 0 ] && [ "$(attr vantage.vmm)" = log ] && [ "$(lost)" = 0 ] && [ "$(unordered)" = 0 ] && above "$(kind anchor)" 3; }

go
check "virtio-blk, threads: the log is read whole, each thread's stamps ascend" whole
check "  each request once at every place" all_of v_start v_blk v_pool_submit v_pool_complete v_rw_complete v_done
check "  notifications and interrupts" all_of v_notify v_inject
go --vm disk.iothread=on --vm disk.aio=io_uring --workload iodepth=8 --workload rw=randrw
check "virtio-blk, I/O thread, io_uring, depth 8: whole" whole
check "  each request once at every place" all_of v_start v_luring v_luring_complete v_rw_complete v_done
check "  notifications are shared" some_of v_notify v_inject v_uring_enter
go --vm disk.aio=native --workload iodepth=32
check "virtio-blk, native, depth 32: whole" whole
check "  each request once at every place" all_of v_start v_blk v_rw_complete v_done
go --vm disk.backend=null-co --vm disk.iothread=on
check "null-co: whole, each request once" all_of v_start v_blk v_rw_complete v_done
go --vm disk.bus=virtio-scsi --workload iodepth=4
check "virtio-scsi: whole" whole
check "  each request once at every place" all_of v_scsi_dma v_dma_start v_dma_done v_blk v_pool_submit v_pool_complete
check "  and its tags" some_of v_scsi_start v_scsi_lba v_scsi_done v_notify v_inject
go --vm disk.bus=ahci
check "ahci: whole" whole
check "  each request once at every place" all_of v_ahci_notify v_ncq_start v_dma_start v_blk v_dma_done v_ncq_done
check "  and its interrupt" some_of v_ahci_irq
go --vm disk.bus=ide
check "ide: whole" whole
check "  each request once at every place" all_of v_ide_notify v_ide_dma v_dma_start v_dma_done
check "  and its interrupt" some_of v_line
go --vm disk.bus=nvme
check "nvme: whole" whole
check "  each request once at every place" all_of v_nvme_cmd v_nvme_start v_dma_start v_dma_done v_nvme_done
check "  doorbells and interrupts" some_of v_nvme_notify v_nvme_irq
go --vm trace.vmm=off
check "trace.vmm=off: the vantage is absent and named, the run is complete" is "$status $(attr vantage.vmm)" "0 absent: trace.vmm=off"
go --vm trace.vmm=simple
case $(attr vantage.vmm) in
simple) check "simple: whole, each request once" all_of v_start v_blk v_pool_submit v_rw_complete v_done ;;
*) check "simple: not in this QEMU, and it says so" is "$status $(attr vantage.vmm | grep -c 'built without the simple trace backend')" "0 1" ;;
esac
# A QEMU that takes no log: the options are dropped on the way.
cat >"$work/qemu" <<'W'
#!/bin/sh
for a; do
	shift
	case $a in
	*vmm-trace.log) set -- "$@" /dev/null ;;
	*) set -- "$@" "$a" ;;
	esac
done
exec qemu-system-x86_64 "$@"
W
chmod +x "$work/qemu"
go --vm "vm.qemu=$work/qemu" --vm trace.vmm=log
check "QEMU made no log: absent, named, and the run is complete" is "$status $(attr vantage.vmm | grep -c 'made no trace log')" "0 1"

echo "1..$n"
exit $failed
