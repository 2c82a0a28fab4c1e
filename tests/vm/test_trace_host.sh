#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The host kernel's vantage with a real guest: what a run stores, what another user is told, and that nothing stays in the kernel when the
# collector is killed in the window and starts again.
set -u
: "${O:?}" "${SRC:?}" "${BIFOCAL_BIN:?}"
bifocal=$BIFOCAL_BIN/bifocal
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP not root: the host's kernel cannot be traced"
	exit 0
fi
if ! grep -q tracefs /proc/filesystems; then
	echo "1..0 # SKIP this kernel has no tracefs"
	exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-trace.XXXXXX") || exit 1
export BIFOCAL_DB="$work/db"
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
tracing=/sys/kernel/tracing
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
is() { # value, wanted
	[ "$1" = "$2" ] && return 0
	echo "# $1, not $2"
	return 1
}
above() { [ -n "$1" ] && [ "$1" -gt "$2" ]; }
says() { grep -q -- "$1" "$work/out"; }
ours() { # pid: instances and probes of that collector
	{ ls "$tracing/instances"; cat "$tracing/uprobe_events"; } 2>/dev/null | grep -c "bifocal[-_]$1[-_]"
}
attributes() { "$bifocal" show "$1" --json >"$work/out" 2>&1; }

"$bifocal" run --vm vm.accel=tcg --vm disk.dir="$work" --workload runtime=1s >"$work/run" 2>&1 &
pid=$!
wait "$pid"
status=$?
cp "$work/run" "$work/out"
check "a run with the host's kernel traced ends well" is $status 0
check "tracefs is mounted now" [ -e "$tracing/trace_clock" ]
check "nothing of it is left in the kernel" is "$(ours "$pid")" 0
pid=
attributes last
check "show says that the host's kernel was seen" is "$(sed -n '/"host.kernel": {/,/}/s/^ *"there": \([a-z]*\),$/\1/p' "$work/out")" true

"$bifocal" run --vm vm.accel=tcg --vm trace.host=off --workload runtime=1s >"$work/out" 2>&1
check "without it a run ends well too" is $? 0
attributes last
check "show says that the host's kernel was not seen" is "$(sed -n '/"host.kernel": {/,/}/s/^ *"there": \([a-z]*\),$/\1/p' "$work/out")" false
check "it says why the vantage is absent" says 'trace.host=off'

# kill -9 in the window.
"$bifocal" run --vm vm.accel=tcg --workload runtime=20s >"$work/run" 2>&1 &
pid=$! killed=$!
tries=400
while [ $tries -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
	tries=$((tries - 1))
	[ "$(cat "$tracing"/instances/bifocal-"$pid"-*/tracing_on 2>/dev/null | head -n 1)" = 1 ] && break
	sleep 0.2
done
cp "$work/run" "$work/out"
check "the window is traced by instances of its own" above "$(ours "$pid")" 0
kill -9 "$pid"
wait "$pid" 2>/dev/null
pid=
check "kill -9 leaves them" above "$(ours "$killed")" 0
"$bifocal" run --vm vm.accel=tcg --vm vm.boot_timeout=1s --workload runtime=1s >"$work/out" 2>&1
check "the next start removes them" is "$(ours "$killed")" 0

# Somebody who is not root.
if command -v setpriv >/dev/null && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$bifocal" 2>/dev/null; then
	setpriv --reuid=65534 --regid=65534 --clear-groups "$bifocal" doctor --json --db /tmp/nobody >"$work/out" 2>&1
	check "another user's doctor says that the host's kernel is root's to trace" says 'run as root'
else
	echo "# skipped: no setpriv, or the program is out of another user's reach"
fi
echo "1..$n"
exit $failed
