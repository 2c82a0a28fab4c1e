#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What `bifocal run` meets on a real node: each fault says what, where and the remedy, ends with its exit code,
# and leaves neither a process nor a file behind.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
work=$(mktemp -d "${TMPDIR:-/var/tmp}/bifocal-faults.XXXXXX") || exit 1
# Run directories go here, so that what is left can be seen among those of others.
export TMPDIR="$work/tmp" BIFOCAL_DB="$work/db"
unset XDG_RUNTIME_DIR
mkdir "$TMPDIR"
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0

result() { # 0 or not, what
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		sed 's/^/# /' "$work/out" | tail -n 15
		failed=1
	fi
}
skip() { # why
	n=$((n + 1))
	echo "ok $n - # SKIP $1"
}
# Every one of `words` is in the output, and no run directory is left.
shown() { # word…
	for word in "$@"; do
		grep -qF -- "$word" "$work/out" || { echo "# does not say: $word"; return 1; }
	done
	[ -z "$(ls "$TMPDIR")" ] || { echo "# left behind: $(ls "$TMPDIR")"; return 1; }
}
# The command ends with the exit code and says every word.
fault() { # what, exit code, "word|word", command…
	what=$1 wanted=$2 words=$3
	shift 3
	"$@" >"$work/out" 2>&1
	got=$?
	[ $got -eq "$wanted" ] || echo "# exit $got, not $wanted"
	(
		IFS='|'
		# shellcheck disable=SC2086
		[ $got -eq "$wanted" ] && shown $words
	)
	result $? "$what"
}
run() { "$bifocal" run --workload runtime=1s "$@"; }
tcg() { run --vm vm.accel=tcg "$@"; }

# ---- before there is a guest ----

fault 'no QEMU' 1 'not found|install qemu-system-x86|vm.qemu=' env PATH=/nonexistent "$bifocal" run --workload runtime=1s
fault 'a QEMU that may not be run' 1 '/etc/passwd|vm.qemu=' run --vm vm.qemu=/etc/passwd
fault 'no image' 1 '/nonexistent|make image|vm.image=' run --vm vm.image=/nonexistent
fault 'a database that is a file' 2 '/etc/passwd|--db PATH' run --db /etc/passwd
fault 'a database below a file' 1 '/etc/passwd|--db PATH' run --db /etc/passwd/below
fault 'no place for the scratch disk' 1 'disk.dir=/nonexistent|make it' run --vm disk.dir=/nonexistent
fault 'a scratch disk larger than the disk' 1 'disk.size|disk.dir=' run --vm disk.size=16t
sixty=$(seq -s , 1 60)
fault 'combinations without end' 2 'combinations' run --vary iodepth="$sixty" --vary numjobs="$sixty" --vary vm.cpus="$sixty"
fault 'a very long value' 2 'vm.image|bytes long' run --vm vm.image="$(printf '%0100000d' 0)"
# Whether /dev/kvm is missing or QEMU dies on it, the way out is the same.
fault 'vm.accel=kvm where it brings no guest up' 1 'vm.accel=auto' run --vm vm.accel=kvm --vm vm.qemu="$SRC/tests/fixtures/qemu-dies"

# ---- images ----

mkdir "$work/image"
for f in vmlinux cmdline VERSION; do
	ln -s "$(readlink -f "$O/image/$f")" "$work/image/$f"
done
: >"$work/image/initrd"
fault 'a kernel that panics: its words from the console' 1 'the guest is gone|last lines|Kernel panic - not syncing' tcg --vm vm.image="$work/image"
# An agent of another version in an image that claims to be ours: same length, so that the archive stays whole.
version=$("$bifocal" --version | sed 's/.* //')
other=$(echo "$version" | tr 0123456789 9876543210)
LC_ALL=C sed "s/$(echo "$version" | sed 's/[.]/\\./g')/$other/g" "$O/image/root.cpio" >"$work/image/initrd"
fault 'an image of another version that says it is ours' 1 "its agent is $other|make image" tcg --vm vm.image="$work/image"
rm "$work/image/VERSION"
echo '9.9.9 0123456789abcdef' >"$work/image/VERSION"
fault 'an image of another version' 1 "$work/image|9.9.9|make image" tcg --vm vm.image="$work/image"

# ---- signals and deaths at boot ----

# Starts a run and waits for its QEMU: sets pid (bifocal) and qemu.
at_boot() {
	"$bifocal" run --vm vm.accel=tcg --workload runtime=20s >"$work/run" 2>&1 &
	pid=$! qemu=
	while [ -z "$qemu" ] && kill -0 "$pid" 2>/dev/null; do
		# Not the short-lived one that is asked for its version.
		# shellcheck disable=SC2013
		for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
			tr '\0' ' ' <"/proc/$child/cmdline" | grep -q 'org\.bifocal\.control' && qemu=$child
		done 2>/dev/null
		sleep 0.05
	done
}
end() {
	wait "$pid"
	status=$?
	cat "$work/run"
	return $status
}
# Where nobody reaps orphans, as in many containers, a zombie stays.
qemu_gone() {
	[ -n "$qemu" ] && ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$qemu/status" 2>/dev/null
	result $? "$1: QEMU is gone"
	pid=
}

at_boot
kill -KILL "$qemu"
fault 'QEMU killed at boot' 1 'signal 9 (KILL)' end
qemu_gone 'QEMU killed at boot'
export CHILD="$work/child"
fault 'a wrapped QEMU that is given up on' 1 'opened no socket in time' tcg --vm vm.boot_timeout=1s --vm vm.qemu="$SRC/tests/fixtures/qemu-wrapped"
qemu=$(cat "$CHILD")
qemu_gone 'a wrapped QEMU that is given up on'
for signal in INT TERM; do
	at_boot
	kill -$signal "$pid"
	fault "SIG$signal at boot" 1 "ended by SIG$signal" end
	qemu_gone "SIG$signal at boot"
done

# ---- the database ----

"$bifocal" list >"$work/out" 2>&1
grep -q failed "$work/out" && ! grep -qE 'running|complete' "$work/out"
result $? 'all of these runs are on record as failed'
"$bifocal" list 2>"$work/out" | head -n 1 >"$work/head"
grep -q STATUS "$work/head" && [ ! -s "$work/out" ]
result $? 'a reader that has seen enough is no fault'
fault 'output to a full disk' 1 'standard output|No space left' sh -c '"$1" list >/dev/full' sh "$bifocal"
fault 'output that is closed' 1 'standard output' sh -c '"$1" list >&-' sh "$bifocal"
"$bifocal" run --vm vm.image=/nonexistent <&- >&- 2>&-
fault 'all three descriptors closed: nothing is printed into the database' 0 'all whole' "$bifocal" db check

tcg >"$work/out1" 2>&1 &
pid=$!
tcg >"$work/out" 2>&1
one=$?
wait $pid
two=$?
pid=
[ "$one $two" = '0 0' ] && "$bifocal" db check >>"$work/out" 2>&1 && [ "$("$bifocal" list | grep -c complete)" = 2 ] && shown 'all whole'
result $? 'two collectors at once share a database'

# As the superuser one may write anywhere; where one may mount, the file system itself says no.
cat >"$work/readonly" <<'END'
mount -t tmpfs -o size=4m none "$2" && cp "$3"/* "$2" && mount -o remount,ro "$2" || exit 77
"$1" list --db "$2" && "$1" db check --db "$2" && "$1" run --db "$2"
END
mkdir "$work/ro"
readonly_kept() {
	unshare -m true 2>/dev/null || return 77
	unshare -m sh "$work/readonly" "$bifocal" "$work/ro" "$work/db" >"$work/out" 2>&1
}
what='a read-only database is read, and not written'
readonly_kept
case $? in
77) skip "$what: no mount namespace here" ;;
1) result "$(shown complete 'all whole' 'Read-only file system' '--db PATH' >&2; echo $?)" "$what" ;;
*) result 1 "$what" ;;
esac

cp -r "$work/db" "$work/damaged"
dd if=/dev/zero of="$work/damaged/data.mdb" bs=4096 count=2 conv=notrunc 2>/dev/null
fault 'a damaged database is not written to' 1 "$work/damaged|damaged" run --db "$work/damaged"
fault 'nor read from' 1 "$work/damaged|damaged" "$bifocal" list --db "$work/damaged"
truncate -s 20000 "$work/db/data.mdb"
fault 'a truncated one' 1 "$work/db|truncated" "$bifocal" list

echo "1..$n"
exit $failed
