/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How two clocks were related, tightest first. Numbers are stored and permanent. */
#ifndef BIFOCAL_COMMON_CLOCK_TIER_H
#define BIFOCAL_COMMON_CLOCK_TIER_H

/* T(number, NAME, name, text) */
#define CLOCK_TIERS(T) \
	T(1, EXACT, exact, "read from KVM's own per-vCPU offset") \
	T(2, PAIRING, pairing, "KVM clock pairing through ptp_kvm") \
	T(3, SANDWICH, sandwich, "between kvm_entry and kvm_exit") \
	T(4, CAUSAL, causal, "causes precede effects, request by request") \
	T(5, EXCHANGE, exchange, "four-stamp exchange over the port")

enum clock_tier {
#define T(number, NAME, name, text) TIER_##NAME = number,
	CLOCK_TIERS(T)
#undef T
};

static inline const char *clock_tier_name(unsigned tier)
{
	switch (tier) {
#define T(number, NAME, name, text) case number: return #name;
	CLOCK_TIERS(T)
#undef T
	default: return "unknown";
	}
}

#endif
