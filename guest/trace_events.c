// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which kernel event shows which sighting.
 *
 * The block layer's are tracepoints. The kick and the interrupt are the driver's own affair, so they are kprobes on its
 * functions, by one table. Functions were looked up in the image's kernel (6.1): those named exist there as symbols of their own, are not
 * inlined, and are called where the table says. A driver that is not in the table has neither, and its phases merge.
 *
 * Probes are put on a function's first instruction, where the compiler left room for ftrace. Under -icount on 6.1 an event there
 * costs 890 guest instructions with its argument and 780 without; on the instruction after it, which becomes a jump, 1040; a return
 * probe 1030; one of the block layer's tracepoints 620.
 *
 * nvme's doorbell is written by inlined code between two locks. The last call that is its own, right before, is
 * nvme_prep_rq(): its return is the kick. Several requests that are queued at once share one doorbell, so their kicks are earlier than that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "guest/trace.h"

#define GROUP "bifocal"

static const struct { uint8_t sight; const char *name; } block_events[] = {
	{ SIGHT_G_QUEUE, "block_bio_queue" },
	{ SIGHT_G_ISSUE, "block_rq_issue" },
	{ SIGHT_G_REQUEUE, "block_rq_requeue" },
	{ SIGHT_G_COMPLETE, "block_rq_complete" },
	{ SIGHT_G_MERGE, "block_bio_backmerge" },
	{ SIGHT_G_MERGE, "block_bio_frontmerge" },
	{ SIGHT_G_SPLIT, "block_split" },
};

/* Drivers, sightings, then the functions in the order they are tried: names of the same one in kernels built differently. */
static const struct hook {
	const char *driver;
	uint8_t sight;
	char type;                    /* p at its entry, r at its return */
	const char *function[3];
	const char *args;             /* the only argument is called `key`, whatever it is */
} hooks[] = {
	{ "virtio_blk", SIGHT_G_KICK, 'p', { "virtqueue_notify" }, " key=%di" },
	{ "virtio_blk", SIGHT_G_IRQ, 'p', { "vring_interrupt" }, " key=%si" },
	{ "virtio_scsi", SIGHT_G_KICK, 'p', { "virtqueue_notify" }, " key=%di" },
	{ "virtio_scsi", SIGHT_G_IRQ, 'p', { "vring_interrupt" }, " key=%si" },
	/* struct ata_queued_cmd begins with its port; the interrupt's number stands for the controller. */
	{ "ahci", SIGHT_G_KICK, 'p', { "ahci_qc_issue" }, " key=+0(%di):x64" },
	{ "ahci", SIGHT_G_IRQ, 'p', { "ahci_single_level_irq_intr", "ahci_multi_irqs_intr_hard" }, " key=%di:u32" },
	{ "ata_piix", SIGHT_G_KICK, 'p', { "ata_bmdma_start" }, " key=+0(%di):x64" },
	{ "ata_piix", SIGHT_G_IRQ, 'p', { "ata_bmdma_interrupt" }, " key=%di:u32" },
	{ "nvme", SIGHT_G_KICK, 'r', { "nvme_prep_rq", "nvme_prep_rq.part.0", "nvme_prep_rq.isra.0" }, "" },
	{ "nvme", SIGHT_G_IRQ, 'p', { "nvme_irq" }, " key=%si" },
	/* No machine's disk: the kernel's own, in memory. What tracing costs a request is measured on it (tests/bench/trace_cost). */
	{ "null_blk", SIGHT_G_KICK, 'p', { "null_queue_rq" }, " key=%di" },
	{ "null_blk", SIGHT_G_IRQ, 'p', { "null_complete_rq" }, " key=%si" },
};

void trace_say_absent(struct trace *t, uint8_t sight, const char *fmt, ...)
{
	va_list ap;

	if (t->n_absent == TRACE_EVENTS_MAX)
		return;
	struct trace_absent *a = &t->absent[t->n_absent++];
	a->sight = sight;
	va_start(ap, fmt);
	vsnprintf(a->why, sizeof(a->why), fmt, ap);
	va_end(ap);
	log_debug("trace: %s: %s", sight ? sight_name(sight) : "the guest's kernel", a->why);
}

static bool add_event(struct trace *t, uint8_t sight, const char *system, const char *name)
{
	struct trace_event *e = &t->event[t->n_events];
	char *text = malloc(TRACE_FORMAT_MAX);
	const char *id;

	if (!text || t->n_events == TRACE_EVENTS_MAX ||
	    sys_read(text, TRACE_FORMAT_MAX, t->root, "%s/events/%s/%s/format", t->dir, system, name) <= 0 || !(id = strstr(text, "\nID: "))) {
		free(text);
		return false;
	}
	*e = (struct trace_event){ .sight = sight, .id = (uint32_t)strtoul(id + 5, NULL, 10), .format = text };
	snprintf(e->name, sizeof(e->name), "%s:%s", system, name);
	t->n_events++;
	return true;
}

/* True when the event is enabled and its format known. */
static bool enable(struct trace *t, uint8_t sight, const char *system, const char *name)
{
	if (sys_write(t->root, "1", "%s/instances/" TRACE_INSTANCE "/events/%s/%s/enable", t->dir, system, name)) {
		trace_say_absent(t, sight, "%s:%s: %s", system, name, errno == ENOENT ? "this kernel has no such event" : strerror(errno));
		return false;
	}
	if (add_event(t, sight, system, name))
		return true;
	sys_write(t->root, "0", "%s/instances/" TRACE_INSTANCE "/events/%s/%s/enable", t->dir, system, name);
	trace_say_absent(t, sight, "%s:%s: its format cannot be read", system, name);
	return false;
}

static void why_no_probe(const struct trace *t, const char *function, int e, char why[TRACE_WHY_MAX])
{
	char locked[128];

	sys_read(locked, sizeof(locked), t->root, "/sys/kernel/security/lockdown");
	if (e == EPERM && strstr(locked, "[confidentiality]"))
		snprintf(why, TRACE_WHY_MAX, "kernel lockdown forbids kprobes; boot without lockdown=confidentiality");
	else if (e == ENOENT)
		snprintf(why, TRACE_WHY_MAX, "%s: this kernel has no such function that could be probed", function);
	else
		snprintf(why, TRACE_WHY_MAX, "kprobe on %s: %s", function, strerror(e));
}

static bool make_probe(const struct trace *t, const struct hook *h, const char *name, char why[TRACE_WHY_MAX])
{
	char line[256], kprobes[SYS_PATH_MAX];

	if (sys_path(kprobes, t->root, "%s/kprobe_events", t->dir) || access(kprobes, F_OK) < 0) {
		snprintf(why, TRACE_WHY_MAX, "the kernel has no kprobes (CONFIG_KPROBE_EVENTS)");
		return false;
	}
	for (size_t i = 0; i < sizeof(h->function) / sizeof(h->function[0]) && h->function[i]; i++) {
		snprintf(line, sizeof(line), "%c:" GROUP "/%s %s%s\n", h->type, name, h->function[i], h->args);
		if (sys_write(t->root, line, "%s/kprobe_events", t->dir) == 0)
			return true;
		why_no_probe(t, h->function[0], errno, why);
	}
	return false;
}

static void enable_hook(struct trace *t, const char *driver, uint8_t sight, const char *name)
{
	char why[TRACE_WHY_MAX];

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		if (strcmp(hooks[i].driver, driver) != 0 || hooks[i].sight != sight)
			continue;
		if (make_probe(t, &hooks[i], name, why))
			enable(t, sight, GROUP, name);
		else
			trace_say_absent(t, sight, "%s", why);
		return;
	}
	trace_say_absent(t, sight, "no function of the disk driver \"%s\" is known that shows it", driver);
}

void trace_enable_all(struct trace *t, const char *driver)
{
	for (size_t i = 0; i < sizeof(block_events) / sizeof(block_events[0]); i++)
		enable(t, block_events[i].sight, "block", block_events[i].name);
	enable_hook(t, driver, SIGHT_G_KICK, "kick");
	enable_hook(t, driver, SIGHT_G_IRQ, "irq");
	/* It shows no boundary, and would cost every request an event. */
	trace_say_absent(t, SIGHT_G_INSERT, "not traced: it shows no boundary and costs every request an event");
}

/* "p:bifocal/kick virtqueue_notify key=%di": ours are the lines of our group. */
void trace_remove_probes(const struct trace *t)
{
	static const char *const names[] = { "kick", "irq" };
	char text[4096], line[64];

	sys_read(text, sizeof(text), t->root, "%s/kprobe_events", t->dir);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(line, sizeof(line), ":" GROUP "/%s ", names[i]);
		if (!strstr(text, line))
			continue;
		snprintf(line, sizeof(line), "-:" GROUP "/%s\n", names[i]);
		if (sys_write(t->root, line, "%s/kprobe_events", t->dir))
			log_warn("trace: probe %s/%s stays in the kernel: %s", GROUP, names[i], strerror(errno));
	}
}
