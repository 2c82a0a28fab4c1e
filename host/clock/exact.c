/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tier `exact`: KVM tells each vCPU's TSC offset and scaling ratio in debugfs,
 *
 *     /sys/kernel/debug/kvm/PID-FD/vcpuN/{tsc-offset,tsc-scaling-ratio,tsc-scaling-ratio-frac-bits}
 *
 * as it hands them to the CPU, which computes guest = ((host × ratio) >> frac) + offset. Files of the ratio are absent where
 * the CPU cannot scale. All vCPUs must agree: one map serves the whole guest.
 */
#include "host/clock/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { PATH_ROOM = 512 };

struct exact {
	char dir[PATH_ROOM];
};

/* ---- one VM's directory ---- */

/* 1, 0 when there is no such file, -1 with err. */
static int read_word(const char *dir, unsigned vcpu, const char *name, char *dst, int cap, struct error *err)
{
	char path[PATH_ROOM + 64];

	snprintf(path, sizeof(path), "%s/vcpu%u/%s", dir, vcpu, name);
	autofclose FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : error_sys(err, errno, "%s", path);
	if (!fgets(dst, cap, f))
		return error_set(err, ERR_IO, "%s: empty, or not to be read", path);
	dst[strcspn(dst, "\n")] = '\0';
	return 1;
}

static int parse_word(const char *text, bool is_signed, uint64_t *out, const char *name, struct error *err)
{
	char *end;

	errno = 0;
	*out = is_signed ? (uint64_t)strtoll(text, &end, 0) : strtoull(text, &end, 0);
	if (end == text || *end || errno || (!is_signed && *text == '-'))
		return error_set(err, ERR_PROTOCOL, "KVM's %s is no number: \"%.40s\"", name, text);
	return 0;
}

/* 1, 0 when there is no such file, -1 with err. */
static int read_number(const char *dir, unsigned vcpu, const char *name, bool is_signed, uint64_t *out, struct error *err)
{
	char text[64];
	int r = read_word(dir, vcpu, name, text, sizeof(text), err);

	if (r <= 0)
		return r;
	return parse_word(text, is_signed, out, name, err) ? -1 : 1;
}

static int read_scale(const char *dir, unsigned vcpu, struct tsc_scale *out, struct error *err)
{
	uint64_t ratio, frac;

	*out = (struct tsc_scale){ 0 };
	int r = read_number(dir, vcpu, "tsc-scaling-ratio", false, &ratio, err);
	if (r <= 0)
		return r;
	r = read_number(dir, vcpu, "tsc-scaling-ratio-frac-bits", false, &frac, err);
	if (r <= 0)
		return r < 0 ? -1 : error_set(err, ERR_PROTOCOL, "KVM tells a TSC scaling ratio without its fractional bits");
	if (frac > 63 || !ratio)
		return error_set(err, ERR_PROTOCOL, "KVM tells a TSC scaling ratio of %llu with %llu fractional bits",
				 (unsigned long long)ratio, (unsigned long long)frac);
	*out = (struct tsc_scale){ .ratio = ratio, .frac = (uint8_t)frac };
	return tsc_scale_valid(*out, err) ? 0 : -1;
}

static int disagree(unsigned vcpu, const char *what, struct error *err)
{
	return error_set(err, ERR_FAILED, "vCPUs 0 and %u have TSCs of different %s: no one map holds for the guest "
			 "(a guest that wrote its TSC, or a vCPU plugged in late; boot it anew)", vcpu, what);
}

int exact_read(const char *dir, struct exact_reading *out, struct error *err)
{
	*out = (struct exact_reading){ 0 };
	for (unsigned n = 0; n < CLOCK_VCPUS_MAX; n++) {
		uint64_t offset;
		struct tsc_scale scale;
		int r = read_number(dir, n, "tsc-offset", true, &offset, err);
		if (r < 0)
			return -1;
		if (!r)
			break;
		if (read_scale(dir, n, &scale, err))
			return -1;
		if (n && offset != (uint64_t)out->offset)
			return disagree(n, "offset", err);
		if (n && (scale.ratio != out->scale.ratio || scale.frac != out->scale.frac))
			return disagree(n, "ratio", err);
		*out = (struct exact_reading){ scale, (int64_t)offset, n + 1 };
	}
	return out->vcpus ? 0 : error_set(err, ERR_NOT_FOUND, "%s has no vcpu0/tsc-offset: this kernel's KVM does not tell (Linux 4.16 and later do)", dir);
}

/* ---- finding it ---- */

static bool is_mounted(const char *debugfs)
{
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "%s/kvm", debugfs);
	return access(path, R_OK | X_OK) == 0;
}

/* As tracers do; left mounted, since others may have begun to use it. */
static void mount_debugfs(const char *debugfs)
{
	if (!is_mounted(debugfs) && geteuid() == 0)
		(void)!mount("nodev", debugfs, "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* "PID-FD"; of several, one with a vCPU: QEMU may have opened a VM only to ask what it can do. */
static bool find_dir(const char *debugfs, int pid, char *dst, size_t cap)
{
	char prefix[32], kvm[PATH_ROOM], vcpu[PATH_ROOM + 300];
	bool found = false;

	snprintf(prefix, sizeof(prefix), "%d-", pid);
	snprintf(kvm, sizeof(kvm), "%s/kvm", debugfs);
	DIR *d = opendir(kvm);
	for (const struct dirent *e; d && !found && (e = readdir(d));) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(vcpu, sizeof(vcpu), "%s/%s/vcpu0", kvm, e->d_name);
		found = access(vcpu, X_OK) == 0 && (size_t)snprintf(dst, cap, "%s/%s", kvm, e->d_name) < cap;
	}
	if (d)
		closedir(d);
	return found;
}

static void *exact_open(struct clock_target *t, char why[CLOCK_WHY_MAX])
{
	const char *debugfs = t->debugfs ? t->debugfs : "/sys/kernel/debug";
	struct exact_reading now;
	struct error err = { 0 };
	struct exact found;

	if (!t->kvm || !t->qemu) {
		snprintf(why, CLOCK_WHY_MAX, "%s", t->kvm ? "QEMU's process is not known: the guest is somebody else's" :
							    "no KVM under the guest: emulation has no offset to tell (vm.accel=kvm)");
		return NULL;
	}
	if (!t->debugfs)
		mount_debugfs(debugfs);
	if (!is_mounted(debugfs)) {
		snprintf(why, CLOCK_WHY_MAX, "%s/kvm cannot be read: %s", debugfs,
			 geteuid() ? "run bifocal as root" : "mount -t debugfs nodev /sys/kernel/debug; a locked-down kernel refuses");
		return NULL;
	}
	if (!find_dir(debugfs, t->qemu, found.dir, sizeof(found.dir))) {
		snprintf(why, CLOCK_WHY_MAX, "%s/kvm has no VM of QEMU's process %d", debugfs, t->qemu);
		return NULL;
	}
	if (exact_read(found.dir, &now, &err)) {
		snprintf(why, CLOCK_WHY_MAX, "%.*s", CLOCK_WHY_MAX - 1, err.text);
		return NULL;
	}
	struct exact *self = malloc(sizeof(*self));
	if (!self) {
		snprintf(why, CLOCK_WHY_MAX, "out of memory");
		return NULL;
	}
	*self = found;
	t->scale = now.scale;
	return self;
}

/* The offset held when it was read: the reading comes first, the stamp after it. */
static int exact_observe(void *self, struct clock_observation *out, struct error *err)
{
	const struct exact *s = self;
	struct exact_reading now;

	if (exact_read(s->dir, &now, err))
		return -1;
	out->at = host_tsc_now();
	out->offset = (struct clock_interval){ now.offset, now.offset };
	return 1;
}

const struct clock_method clock_exact = { "exact", TIER_EXACT, exact_open, exact_observe, free };
