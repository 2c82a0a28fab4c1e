// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KVM in the host's kernel: the exit that a kick takes, the message that becomes an interrupt. Both come before what the VMM says of
 * the same (a notice), or after it (an injection), and carry the TSC instead of a log's microseconds.
 *
 * A kick is a write of the vCPU that traps at once: its notice is the vCPU's first write after it, at an address that is a device's
 * doorbell (more often behind a kick than not). An injection follows the VMM's word for it in the same thread.
 */
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

enum { MASK = POOL_CALLS - 1 };

int kvm_init(struct kvm_side *k)
{
	k->event = pool_new(POOL_CALLS, sizeof(*k->event));
	return k->event ? 0 : -1;
}

void kvm_fini(struct kvm_side *k)
{
	pool_free(k->event, POOL_CALLS, sizeof(*k->event));
}

/* Which addresses are doorbells, and who runs which vCPU, stays. */
void kvm_reset(struct kvm_side *k)
{
	k->n = 0;
	memset(k->kicked, 0, sizeof(k->kicked));
}

static int vcpu_of(const struct kvm_side *k, uint32_t thread)
{
	for (uint32_t i = 0; thread && i < k->vcpus; i++)
		if (k->vcpu[i] == thread)
			return (int)i;
	return -1;
}

void kvm_kicked(struct kvm_side *k, uint32_t cpu)
{
	if (cpu < k->vcpus)
		k->kicked[cpu] = true;
}

void kvm_see(struct engine *e, const struct event *v)
{
	struct kvm_side *k = &e->kvm;
	int vcpu = v->s->kind == SIGHT_H_KVM_MMIO ? vcpu_of(k, v->s->thread) : -1;
	/* Stamps of one clock come in its order; what does not is made up, and would break the search. */
	if (k->n && v->t < k->event[(k->n - 1) & MASK].t)
		return;
	k->event[k->n++ & MASK] = (struct kvm_event){ .t = v->t, .key = v->s->key, .thread = v->s->thread, .kind = v->s->kind };
	if (vcpu < 0)
		return;
	queue_count(k->doorbell, v->s->key, 1, k->kicked[vcpu]);
	k->kicked[vcpu] = false;
}

/* The first that is remembered, at t or after. */
static uint64_t first_from(const struct kvm_side *k, int64_t t)
{
	uint64_t lo = k->n > POOL_CALLS ? k->n - POOL_CALLS : 0, hi = k->n;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (k->event[mid & MASK].t < t)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* In [from, to], of that kind and thread (0: any), at a doorbell; *n gets how many there are, the first is returned. */
static const struct kvm_event *find(const struct kvm_side *k, unsigned kind, uint32_t thread, int64_t from, int64_t to, unsigned *n)
{
	const struct kvm_event *found = NULL;
	uint64_t i = first_from(k, from);
	*n = 0;
	for (int walked = 0; i < k->n && walked < WALK_MAX; i++, walked++) {
		const struct kvm_event *v = &k->event[i & MASK];
		if (v->t > to)
			break;
		if (v->kind != kind || (thread && v->thread != thread) || (kind == SIGHT_H_KVM_MMIO && !queue_useful(k->doorbell, v->key)))
			continue;
		found = found ? found : v;
		*n += 1;
	}
	return found;
}

static struct stamp stamp_of(const struct kvm_event *v)
{
	return v ? (struct stamp){ .t = v->t, .thread = v->thread, .kind = v->kind } : (struct stamp){ 0 };
}

struct stamp kvm_notice(const struct engine *e, const struct guest_request *g, int64_t half, int64_t begin)
{
	const struct kvm_side *k = &e->kvm;
	unsigned n;
	if (!stamp_seen(&g->kick) || g->kick_cpu >= k->vcpus || !k->vcpu[g->kick_cpu])
		return (struct stamp){ 0 };
	int64_t from = t_sub(g->kick.t, half), sure = t_add(g->kick.t, half);
	const struct kvm_event *v = find(k, SIGHT_H_KVM_MMIO, k->vcpu[g->kick_cpu], from, begin, &n);
	/* Two within what the map leaves open: either may be it. */
	if (v && half) {
		find(k, SIGHT_H_KVM_MMIO, k->vcpu[g->kick_cpu], from, sure, &n);
		v = n > 1 ? NULL : v;
	}
	return stamp_of(v);
}

struct stamp kvm_injection(const struct engine *e, const struct stamp *said, int64_t latest)
{
	unsigned n;
	return stamp_of(find(&e->kvm, SIGHT_H_KVM_INJECT, said->thread, t_sub(said->t, (int64_t)said->own), latest, &n));
}
