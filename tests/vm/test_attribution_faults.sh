#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A short form of the fault-injection bench (tests/attribution/bench.py): delays put into four stages are found in the right phase, and with
# two phases' names swapped they are not. Whether each delay came back to the microsecond is the bench's to say, not a test's.
set -u
: "${O:?}" "${SRC:?}"
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP not root: no real-time process, no tracepoints of the host"
	exit 0
fi
for need in python3 chrt cpio lz4; do
	if ! command -v $need >/dev/null; then
		echo "1..0 # SKIP no $need"
		exit 0
	fi
done
if [ "$(nproc)" -lt 2 ]; then
	echo "1..0 # SKIP one CPU: the thread that is starved and the rest of QEMU cannot be kept apart"
	exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-faults.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# --place: by phase alone, at 1 and 10 ms.
python3 "$SRC/tests/attribution/bench.py" --seconds 4 --place --stages iothread-kick,worker,guest-wakeup,stop-cont \
	--swap cross.kick=vmm.submit \
	>"$work/out" 2>"$work/err"
status=$?
cat "$work/out"
sed 's/^/# /' "$work/err" | tail -n 20
exit $status
