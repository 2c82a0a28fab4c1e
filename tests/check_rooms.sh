#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The house's arrows (docs/ARCHITECTURE.md): a library's header stays in its room, and no room includes one above it.
cd "${SRC:?}" || exit 1
n=0 failed=0
report() { # what, offending lines
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
		failed=1
	fi
}
rooms="common lua guest store attribute host mine"
library() { # header pattern, rooms that may have it
	others=$(for r in $rooms; do case " $2 " in *" $r "*) ;; *) echo "$r" ;; esac; done)
	# shellcheck disable=SC2086
	report "<$1> only in $2" "$(grep -rnE "#[[:space:]]*include[[:space:]]*[<\"]($1)" --include='*.[ch]' $others)"
}
library 'lmdb\.h|zstd\.h' store
library 'libxml/.*' mine
library '(cairo/)?cairo.*\.h|pango/.*|png\.h|microhttpd\.h' mine
library '(lua5\.4/)?(lua|lauxlib|lualib)\.h' lua
library 'jansson\.h|sha2\.h' 'host mine'
library 'xxhash\.h' common
library 'liburing\.h|libaio\.h' guest

may_include() { # room, rooms it may include
	allowed=$(echo "$1 $2" | sed 's/ *$//; s/ /|/g')
	report "$1/ includes only $1 $2" "$(grep -rnE '#[[:space:]]*include[[:space:]]*"' --include='*.[ch]' "$1" |
		grep -vE "include[[:space:]]*\"(($allowed)/|[^/\"]+\.(h|inc)\")")"
}
may_include common ""
may_include lua "common"
may_include store "common"
may_include guest "common lua"
may_include attribute "common store"
may_include host "common lua store attribute"
may_include mine "common store attribute"
echo "1..$n"
exit $failed
