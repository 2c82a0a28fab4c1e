#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# bifocal(1) knows every verb, option, configuration key and exit code that the program knows.
: "${SRC:?}" "${BIFOCAL_BIN:?}"
page=$SRC/docs/man/bifocal.1
bifocal=$BIFOCAL_BIN/bifocal
n=0 failed=0
report() { # what, missing words
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1: no entry for $2"
		failed=1
	fi
}
# The words of stdin, one a line, of which the page has none like the pattern's. %s is the word.
missing() {
	while read -r word; do
		# shellcheck disable=SC2059
		grep -qE -- "$(printf "$1" "$(printf %s "$word" | sed 's/[.]/[.]/g')")" "$page" || printf '%s ' "$word"
	done
}

verbs=$("$bifocal" --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\( [a-z]*\)\{0,1\}\)  .*/\1/p')
[ "$(echo "$verbs" | wc -l)" -ge 9 ] || report "the verbs can be read from --help" "the list itself"
report "every verb" "$(echo "$verbs" | missing '^\.It Cm %s( |$)')"

echo "$verbs" | {
	while read -r verb; do
		[ "$verb" = mine ] && continue   # bifocal-mine(1) has them
		# shellcheck disable=SC2086
		options=$("$bifocal" $verb --help | sed -n 's/^ *\(-[a-z], \)\{0,1\}--\([a-z-]*\).*/\2/p')
		report "every option of $verb" "$(echo "$options" | grep -v '^help$' | missing '\.(It )?.*Fl Fl %s( |$)')"
	done
	keys=$("$bifocal" run --help | sed -n '/^Keys for/,$s/^  \([a-z][a-z_.]*\)  .*/\1/p')
	[ "$(echo "$keys" | wc -l)" -ge 30 ] || report "the keys can be read from --help" "the list itself"
	report "every key" "$(echo "$keys" | missing '^\.It Cm %s$')"
	report "every exit code" "$(sed -n 's/^	EXIT_[A-Z]* = \([0-9]*\),/\1/p' "$SRC/common/error.h" | missing '^\.It %s$')"
	json=$(sed -n '/^\.Sh JSON/,/^\.Sh A GUEST/p' "$page")
	for verb in doctor "run --dry-run" "plugin list"; do
		# shellcheck disable=SC2086
		words=$("$bifocal" $verb --json | grep -o '"[a-z_0-9]*":' | tr -d '":' | sort -u)
		[ -n "$words" ] || report "$verb --json says something" "its keys"
		report "every JSON key of $verb" "$(for w in $words; do printf '%s\n' "$json" | grep -qw -- "$w" || printf '%s ' "$w"; done)"
	done
	if command -v mandoc >/dev/null; then
		report "mandoc finds no fault" "$(mandoc -T lint -W warning "$page" | head -n 3)"
	fi
	echo "1..$n"
	exit $failed
}
