#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/protocol.md says what common/message_table.h says. TAP.
cd "$(dirname "$0")/.." || exit 2
echo 1..1
if diff=$(scripts/gen-protocol-doc --check 2>&1); then
	echo "ok 1 - docs/protocol.md is up to date"
else
	echo "not ok 1 - docs/protocol.md is out of date; run scripts/gen-protocol-doc"
	printf '%s\n' "$diff" | sed 's/^/# /'
	exit 1
fi
