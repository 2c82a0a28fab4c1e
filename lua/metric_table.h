/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a metric can be, and be measured in. Names are stored and permanent; new ones go to the end. */
#ifndef BIFOCAL_LUA_METRIC_TABLE_H
#define BIFOCAL_LUA_METRIC_TABLE_H

/* K(NAME, name, text) */
#define METRIC_KINDS(K) \
	K(COUNTER, counter, "a running total; only its differences mean something; never negative") \
	K(GAUGE, gauge, "a state that goes up and down") \
	K(HISTOGRAM, histogram, "one observation of many whose distribution matters") \
	K(EVENT, event, "something that happened at this instant")

/* U(name, text) */
#define METRIC_UNITS(U) \
	U(percent, "hundredths of the whole; of one CPU where CPUs are meant") \
	U(ratio, "one quantity by another of its kind") \
	U(count, "things counted") \
	U(bytes, "bytes") \
	U(pages, "memory pages of 4096 bytes") \
	U(sectors, "sectors of 512 bytes") \
	U(ns, "nanoseconds") \
	U(us, "microseconds") \
	U(ms, "milliseconds") \
	U(s, "seconds") \
	U(cycles, "TSC cycles") \
	U(instructions, "instructions retired") \
	U(per_second, "things counted a second") \
	U(iops, "I/O requests a second") \
	U(bytes_per_second, "bytes a second") \
	U(hertz, "cycles a second") \
	U(celsius, "degrees Celsius") \
	U(watts, "watts") \
	U(joules, "joules")

#endif
