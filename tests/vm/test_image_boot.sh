#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The image boots wherever it is put: bifocal.img by SeaBIOS and by OVMF from every bus, vmlinux and initrd by PVH.
# Each guest has to greet over its port, name the driver of the disk it came from, and end its VMM when told to power off.
# Two lanes, BIOS and UEFI, run side by side; each boot has a directory of its own.
set -u
: "${O:?}" "${SRC:?}"
image=$O/image
greet=$O/tests/vm/greet
accel=${BIFOCAL_TEST_ACCEL:-tcg}
seconds=150
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-boot.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'kill $(cat "$work"/*/pid) 2>/dev/null; exit 130' INT TERM

ovmf=
for f in /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd /usr/share/edk2/ovmf/OVMF_CODE.fd; do
	[ -z "$ovmf" ] && [ -f "$f" ] && ovmf=$f
done

# Waits for a process of ours to end by itself; kills it when it does not.
reap() { # pid, seconds
	tries=$(($2 * 10))
	while kill -0 "$1" 2>/dev/null && [ $tries -gt 0 ]; do
		sleep 0.1
		tries=$((tries - 1))
	done
	if [ $tries -eq 0 ]; then
		kill -9 "$1"
		wait "$1" 2>/dev/null
		return 124
	fi
	wait "$1"
}

# One guest from start to end. Its lines go to $work/NAME/{hello,serial,qemu}; `why` says what went wrong.
boot() { # name, QEMU arguments…
	dir=$work/$1
	shift
	mkdir "$dir"
	qemu-system-x86_64 -accel "$accel" -cpu max,-erms,-fsrm -m 256 -nodefaults -no-user-config -display none -no-reboot \
		-serial "file:$dir/serial" -device virtio-serial-pci,max_ports=4 \
		-chardev "socket,id=control,path=$dir/control,server=on,wait=off" \
		-device virtserialport,nr=1,chardev=control,name=org.bifocal.control.0 "$@" >"$dir/qemu" 2>&1 &
	pid=$!
	echo $pid >"$dir/pid"
	why=
	"$greet" "$dir/control" $seconds >"$dir/hello" 2>&1 || why="no greeting: $(tail -n 1 "$dir/hello")"
	[ -z "$why" ] || kill $pid 2>/dev/null
	reap $pid 30
	status=$?
	rm "$dir/pid"
	[ -n "$why" ] || [ $status -eq 0 ] || why="QEMU did not end well after POWEROFF: status $status"
}

# A TAP line without its number, and for a failure what was seen, into the lane's file.
report() { # lane, what
	if [ -z "$why" ]; then
		echo "ok - $2" >>"$work/$1.tap"
	else
		echo "not ok - $2" >>"$work/$1.tap"
		{
			echo "$why"
			cat "$dir/hello" "$dir/qemu"
			tail -n 20 "$dir/serial" | tr -cd '[:print:]\n'
		} | sed 's/^/# /' >>"$work/$1.tap"
	fi
}

# The boot disk on a bus, as QEMU arguments; `driver` is what the guest should call it.
on_bus() { # bus
	machine=q35
	case $1 in
	virtio-blk) device=virtio-blk-pci driver=virtio_blk ;;
	virtio-scsi) device=scsi-hd driver=virtio_scsi ;;
	ahci) device=ide-hd,bus=ide.0 driver=ahci ;;
	ide) device=ide-hd,bus=ide.0 driver=ata_piix machine=pc ;;
	nvme) device=nvme,serial=boot driver=nvme ;;
	esac
}

boot_disk() { # lane, firmware, bus, more QEMU arguments…
	lane=$1 name=$2-$3 firmware=$2 bus=$3
	shift 3
	on_bus "$bus"
	[ "$bus" != virtio-scsi ] || set -- "$@" -device virtio-scsi-pci
	boot "$name" -machine $machine "$@" \
		-drive "if=none,id=disk,format=raw,snapshot=on,file=$image/bifocal.img" -device "$device,drive=disk,bootindex=0"
	[ -n "$why" ] || grep -q "^disk=.* driver=$driver " "$dir/hello" || why="the guest names no disk of driver $driver"
	report "$lane" "$firmware boots the disk image from $bus"
}

boot_direct() { # name
	boot "$1" -machine q35 -kernel "$image/vmlinux" -initrd "$image/initrd" -append "$(cat "$image/cmdline")"
}

# A guest without a port has nobody to tell but the serial console: there the agent complains, if asked to.
boot_portless() {
	dir=$work/portless
	mkdir "$dir"
	qemu-system-x86_64 -accel "$accel" -cpu max,-erms,-fsrm -m 256 -nodefaults -no-user-config -display none -no-reboot -machine q35 \
		-serial "file:$dir/serial" -kernel "$image/vmlinux" -initrd "$image/initrd" \
		-append "$(cat "$image/cmdline") bifocal.console=1" >"$dir/qemu" 2>&1 &
	pid=$!
	echo $pid >"$dir/pid"
	: >"$dir/hello"
	tries=$seconds
	until grep -q 'bifocal-agent:.*org.bifocal.control.0' "$dir/serial" 2>/dev/null || [ $tries -eq 0 ]; do
		sleep 1
		tries=$((tries - 1))
	done
	why=
	[ $tries -gt 0 ] || why="no complaint about the missing port"
	kill $pid
	reap $pid 10
	rm "$dir/pid"
}

lane_bios() {
	boot_direct direct
	report bios "PVH boots vmlinux and initrd"
	! grep -q bifocal-agent "$dir/serial" || why="the agent logs there"
	report bios "nobody asked, and the agent leaves the serial console alone"
	boot_portless
	report bios "bifocal.console=1: the agent complains of a missing port on the serial console"
	for bus in virtio-blk virtio-scsi ahci ide nvme; do
		boot_disk bios SeaBIOS $bus
	done
}

lane_uefi() {
	for bus in virtio-blk ahci ide nvme; do
		if [ -z "$ovmf" ]; then
			echo "ok - OVMF boots the disk image from $bus # SKIP no OVMF; install the package ovmf" >>"$work/uefi.tap"
			continue
		fi
		boot_disk uefi OVMF $bus -drive "if=pflash,format=raw,readonly=on,file=$ovmf" \
			-drive "if=pflash,format=raw,snapshot=on,file=$(echo "$ovmf" | sed s/CODE/VARS/)"
	done
}

lane_bios &
bios=$!
lane_uefi
wait $bios
cat "$work/bios.tap" "$work/uefi.tap" | awk '
	/^(not )?ok - / { n++; sub(/ok - /, "ok " n " - ") }
	{ print }
	END { print "1.." n }'
! grep -q '^not ok' "$work"/*.tap
