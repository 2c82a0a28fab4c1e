# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by the benches that need a guest with bench_guest_init as PID 1. Sets $work, removed at the end; QEMU, if
# it still runs then, is ended.
: "${O:?}" "${SRC:?}"
image=$O/image
# As the launcher has it (host/vm/qemu_args.c).
cpu=max,-erms,-fsrm
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-bench.XXXXXX") || exit 1
qemu_pid=
trap '[ -z "$qemu_pid" ] || kill $qemu_pid 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# $work/initrd: the image's modules and those in $work/ko, bench_guest_init, and the programs named with their libraries.
make_initrd() {
	strip -o "$work/init" "$O/tests/bench/bench_guest_init"
	{
		sed "s|^exec init .*|exec init $work/init|" "$image/root.list"
		for ko in "$work"/ko/*.ko; do
			[ ! -e "$ko" ] || echo "file modules/${ko##*/} $ko"
		done
		if [ $# -gt 0 ]; then
			"$SRC/tests/tools/closure" "$work/root" "$@"
			(cd "$work/root" && find . -mindepth 1 -type d | sort | sed 's|^\./|dir |' &&
				find . -type f | sort | sed "s|^\./\(.*\)|exec \1 $work/root/\1|")
		fi
	} >"$work/root.list"
	"$image/mkcpio" <"$work/root.list" | lz4 -q -l -1 -c >"$work/initrd"
}

# start_guest BENCH QEMU-ARGUMENTS…: in the background, as $qemu_pid; the console goes to $work/serial.
start_guest() {
	bench=$1
	shift
	: >"$work/serial"
	qemu-system-x86_64 -machine q35 -nodefaults -no-user-config -display none -no-reboot -serial "file:$work/serial" \
		-kernel "$image/vmlinux" -initrd "$work/initrd" -append "$(cat "$image/cmdline") bench=$bench" "$@" &
	qemu_pid=$!
}

# Waits for the guest's end, at most SECONDS; fails with its console when it did not say "BENCH done".
finish_guest() {
	left=$(($1 * 10))
	while kill -0 "$qemu_pid" 2>/dev/null && [ $left -gt 0 ]; do
		sleep 0.1
		left=$((left - 1))
	done
	kill "$qemu_pid" 2>/dev/null || true
	wait "$qemu_pid" 2>/dev/null || true
	qemu_pid=
	grep -q '^BENCH done' "$work/serial" && return
	echo "the bench guest did not finish; its console ends:" >&2
	tail -n 20 "$work/serial" >&2
	exit 1
}
