#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The collector on real KVM, on any machine: an emulated AMD machine with SVM boots, loads kvm_amd, and inside it
# `bifocal run` measures two guests under KVM (DESIGN.md section 9).
set -u
: "${O:?}" "${SRC:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-nested.XXXXXX") || exit 1
pid=
trap '[ -z "$pid" ] || kill $pid 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0
ok() { # status, what
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; fi
}

"$SRC/tests/kvm/build-outer" "$O" "$work/initrd" || { echo "1..1"; echo "not ok 1 - the outer machine can be packed"; exit 1; }
truncate -s 512M "$work/disk" && mkfs.ext4 -q "$work/disk"
qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu EPYC-v3,+invtsc -smp 2 -m 3G -nodefaults -no-user-config \
	-display none -no-reboot -serial "file:$work/serial" -kernel "$O/image/vmlinux" -initrd "$work/initrd" \
	-append "quiet console=ttyS0 tsc=reliable panic=-1" \
	-drive "file=$work/disk,format=raw,if=none,id=disk,cache=unsafe" -device virtio-blk-pci,drive=disk 2>"$work/qemu" &
pid=$!
left=3000
while kill -0 $pid 2>/dev/null && [ $left -gt 0 ]; do
	sleep 0.1
	left=$((left - 1))
done
kill $pid 2>/dev/null
wait $pid 2>/dev/null
pid=

job() { tr -d '\r' <"$work/serial" | sed -n "s/^JOB $1 //p"; }
case "$(job doctor)" in *'"kvm"') true ;; *) false ;; esac
ok $? "doctor finds the node able to run, and chooses KVM"
[ "$(job run)" = 0 ]
ok $? "bifocal run on KVM ends with 0"
for run in 1 2; do
	job "show $run" >"$work/show.json"
	grep -q '"status": *"complete"' "$work/show.json"
	ok $? "run $run is complete"
	grep -q '"accel": *"kvm"' "$work/show.json"
	ok $? "run $run used KVM"
	grep -qE '"bound_ns": *[0-9.]*[1-9]' "$work/show.json"
	ok $? "run $run has a clock bound"
done
[ "$(job fallback | sed 's/ *$//')" = "1 accelerator: kvm accelerator: tcg" ]
ok $? "vm.accel=auto falls back to emulation when KVM never brings a guest up"
[ "$(job leftovers)" = 0 ]
ok $? "no run directory is left"
if [ $failed -ne 0 ]; then
	tr -d '\r' <"$work/serial" | tail -n 60 | sed 's/^/# /'
fi
echo "1..$n"
exit $failed
