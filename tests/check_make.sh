#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What README promises of make, and of a machine that lacks packages and gives no root.
cd "${SRC:?}" || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/bifocal-make.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
n=0 failed=0
report() { # what, what is wrong with it
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1: $2"
		failed=1
	fi
}

make --no-print-directory help >"$work/help" 2>&1
targets=$(sed -n 's/^`make help` lists them all: `\([a-z -]*\)`.*/\1/p' README.md)
report "README names targets" "$([ -n "$targets" ] || echo none)"
report "make help lists those" "$(for t in run test $targets; do grep -q "^make $t " "$work/help" || printf '%s ' "$t"; done)"

# A machine without a single package, whose user is not root and may not sudo. apt-get must not be called.
fake() { # name, body
	printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1" && chmod 755 "$work/bin/$1"
}
mkdir "$work/bin"
fake dpkg-query 'exit 1'
fake id 'echo 1000'
fake sudo 'exit 1'
fake apt-get ": >$work/called"
PATH="$work/bin:$PATH" scripts/install-deps run >"$work/out" 2>"$work/err" </dev/null
report "no packages, no root: exit 1" "$([ $? -eq 1 ] || echo another)"
report "it prints the one line to type" "$([ "$(grep -c '^    apt-get install .* gcc .* qemu-system-x86' "$work/err")" -eq 1 ] || cat "$work/err")"
report "it installs nothing" "$([ ! -e "$work/called" ] || echo "apt-get was called")"
fake dpkg-query 'echo installed'
PATH="$work/bin:$PATH" scripts/install-deps run >"$work/out" 2>&1 </dev/null
report "all packages there: exit 0, not a word" "$([ $? -eq 0 ] || echo another; cat "$work/out")"
echo "1..$n"
exit $failed
