// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/boundary.h"

#include <stdio.h>

const char *boundary_name(unsigned boundary)
{
	switch (boundary) {
#define B(number, NAME, name, vantage, text) case number: return #name;
	BOUNDARY_TABLE(B)
#undef B
	default: return "unknown";
	}
}

const char *boundary_text(unsigned boundary)
{
	switch (boundary) {
#define B(number, NAME, name, vantage, text) case number: return text;
	BOUNDARY_TABLE(B)
#undef B
	default: return "unknown";
	}
}

const char *phase_name(unsigned phase)
{
	switch (phase) {
#define P(number, NAME, name, text) case number: return name;
	PHASE_TABLE(P)
#undef P
	default: return "unknown";
	}
}

const char *phase_text(unsigned phase)
{
	switch (phase) {
#define P(number, NAME, name, text) case number: return text;
	PHASE_TABLE(P)
#undef P
	default: return "unknown";
	}
}

char *phase_span_name(unsigned from, unsigned to, char dst[PHASE_SPAN_MAX])
{
	if (to == from + 1)
		snprintf(dst, PHASE_SPAN_MAX, "%s", phase_name(from));
	else
		snprintf(dst, PHASE_SPAN_MAX, "%s..%s", phase_name(from), phase_name(to - 1));
	return dst;
}

bool boundary_in_guest(unsigned boundary)
{
	return boundary <= AT_GUEST_KICK || boundary >= AT_GUEST_IRQ;
}

bool phase_crosses(unsigned from, unsigned to)
{
	return boundary_in_guest(from) != boundary_in_guest(to);
}
