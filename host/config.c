/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/config.h"

#include <stdio.h>
#include <string.h>

#include "common/units.h"

#define WORKLOAD_PREFIX "workload."

enum { WORKLOAD_KEYS_MAX = 64, KEY_TEXT_MAX = 64 };

static const struct config_info infos[CONFIG_KEYS] = {
#define K(ID, key_, type_, def_, choices_, help_) [CFG_##ID] = { key_, #type_, def_, choices_, help_ },
	CONFIG_TABLE(K)
#undef K
};

const struct config_info *config_info(enum config_key k)
{
	return &infos[k];
}

void config_default(struct config *c)
{
	memset(c, 0, sizeof(*c));
	for (int k = 0; k < CONFIG_KEYS; k++)
		snprintf(c->value[k], sizeof(c->value[k]), "%s", infos[k].def);
	workload_default(&c->workload);
}

static bool type_is(const struct config_info *i, const char *type)
{
	return strcmp(i->type, type) == 0;
}

/* ---- values ---- */

/* Cuts "a b c" into a NULL-terminated list of words that point into `buf`. */
static void split_words(const char *text, char *buf, size_t cap, const char *words[], size_t max)
{
	size_t n = 0;
	char *save = NULL;

	snprintf(buf, cap, "%s", text);
	for (char *w = strtok_r(buf, " ", &save); w && n + 1 < max; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	words[n] = NULL;
}

static int set_enum(const struct config_info *i, const char *value, char *out, struct error *err)
{
	char buf[CONFIG_TEXT_MAX];
	const char *words[16];

	split_words(i->choices, buf, sizeof(buf), words, 16);
	for (size_t n = 0; words[n]; n++) {
		if (strcmp(words[n], value))
			continue;
		snprintf(out, CONFIG_TEXT_MAX, "%s", value);
		return 0;
	}
	const char *near = nearest_word(value, words);
	if (near)
		return error_set(err, ERR_USAGE, "%s: unknown value \"%s\"; did you mean \"%s\"? It takes one of: %s",
				 i->key, value, near, i->choices);
	return error_set(err, ERR_USAGE, "%s: unknown value \"%s\"; it takes one of: %s", i->key, value, i->choices);
}

static int parse_number(const struct config_info *i, const char *text, uint64_t *v, struct error *err)
{
	if (type_is(i, "size"))
		return parse_size(text, v, err);
	if (type_is(i, "duration"))
		return parse_duration(text, v, err);
	return parse_uint(text, 0, UINT64_MAX, v, err);
}

/* The table's "min..max" in the key's own unit. */
static void number_bounds(const struct config_info *i, uint64_t *min, uint64_t *max)
{
	char low[KEY_TEXT_MAX];
	const char *dots = strstr(i->choices, "..");

	*min = 0;
	*max = UINT64_MAX;
	if (!dots)
		return;
	snprintf(low, sizeof(low), "%.*s", (int)(dots - i->choices), i->choices);
	parse_number(i, low, min, NULL);
	parse_number(i, dots + 2, max, NULL);
}

static int set_number(const struct config_info *i, const char *value, char *out, struct error *err)
{
	uint64_t v, min, max;

	if (parse_number(i, value, &v, err))
		return error_prefix(err, "%s", i->key);
	number_bounds(i, &min, &max);
	if (v < min || v > max)
		return error_set(err, ERR_USAGE, "%s: %s is out of bounds; it takes %s", i->key, value, i->choices);
	if (type_is(i, "size"))
		format_size(v, out, CONFIG_TEXT_MAX);
	else if (type_is(i, "duration"))
		format_duration(v, out, CONFIG_TEXT_MAX);
	else
		snprintf(out, CONFIG_TEXT_MAX, "%llu", (unsigned long long)v);
	return 0;
}

static int set_bool(const struct config_info *i, const char *value, char *out, struct error *err)
{
	bool b;

	if (parse_bool(value, &b, err))
		return error_prefix(err, "%s", i->key);
	snprintf(out, CONFIG_TEXT_MAX, "%s", b ? "on" : "off");
	return 0;
}

static int set_text(const struct config_info *i, const char *value, char *out, struct error *err)
{
	size_t n = strlen(value);

	if (!n)
		return error_set(err, ERR_USAGE, "%s: empty; the default is \"%s\"", i->key, i->def);
	if (n >= CONFIG_TEXT_MAX)
		return error_set(err, ERR_USAGE, "%s: %zu bytes long; at most %d fit", i->key, n, CONFIG_TEXT_MAX - 1);
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return error_set(err, ERR_USAGE, "%s: holds a control character", i->key);
	memcpy(out, value, n + 1);
	return 0;
}

static int set_key(struct config *c, enum config_key k, const char *value, struct error *err)
{
	const struct config_info *i = &infos[k];

	if (type_is(i, "enum"))
		return set_enum(i, value, c->value[k], err);
	if (type_is(i, "bool"))
		return set_bool(i, value, c->value[k], err);
	if (type_is(i, "text"))
		return set_text(i, value, c->value[k], err);
	return set_number(i, value, c->value[k], err);
}

/* ---- names ---- */

static int find_vm_key(const char *full)
{
	for (int k = 0; k < CONFIG_KEYS; k++)
		if (strcmp(infos[k].key, full) == 0)
			return k;
	return -1;
}

static bool is_workload_key(const char *key)
{
	for (const struct workload_key *w = workload_keys(); w->key; w++)
		if (strcmp(w->key, key) == 0)
			return true;
	return false;
}

/* What follows the last dot: "cpus" of "vm.cpus". */
static const char *short_name(const char *full)
{
	const char *dot = strrchr(full, '.');

	return dot ? dot + 1 : full;
}

static int unknown_key(const char *typed, struct error *err)
{
	char full[WORKLOAD_KEYS_MAX][KEY_TEXT_MAX];
	const char *words[CONFIG_KEYS + WORKLOAD_KEYS_MAX + 1];
	bool dotted = strchr(typed, '.') != NULL;
	size_t n = 0, m = 0;

	for (int k = 0; k < CONFIG_KEYS; k++)
		words[n++] = dotted ? infos[k].key : short_name(infos[k].key);
	for (const struct workload_key *w = workload_keys(); w->key && m < WORKLOAD_KEYS_MAX; w++, m++) {
		snprintf(full[m], sizeof(full[m]), "%s%s", dotted ? WORKLOAD_PREFIX : "", w->key);
		words[n++] = full[m];
	}
	words[n] = NULL;
	const char *near = nearest_word(typed, words);
	if (near)
		return error_set(err, ERR_USAGE, "unknown key \"%s\"; did you mean \"%s\"?", typed, near);
	return error_set(err, ERR_USAGE, "unknown key \"%s\"; `bifocal run --help` lists them all", typed);
}

static int fit_name(const char *full, char *out, size_t cap, struct error *err)
{
	int n = snprintf(out, cap, "%s", full);

	if (n < 0 || (size_t)n >= cap)
		return error_set(err, ERR_LIMIT, "key \"%s\": name does not fit", full);
	return 0;
}

int config_resolve(const char *typed, char *full, size_t cap, struct error *err)
{
	char workload[KEY_TEXT_MAX];
	const char *found = NULL;

	if (find_vm_key(typed) >= 0)
		return fit_name(typed, full, cap, err);
	if (strncmp(typed, WORKLOAD_PREFIX, strlen(WORKLOAD_PREFIX)) == 0 &&
	    is_workload_key(typed + strlen(WORKLOAD_PREFIX)))
		return fit_name(typed, full, cap, err);
	if (is_workload_key(typed)) {
		snprintf(workload, sizeof(workload), WORKLOAD_PREFIX "%s", typed);
		found = workload;
	}
	for (int k = 0; k < CONFIG_KEYS; k++) {
		if (strcmp(short_name(infos[k].key), typed))
			continue;
		if (found)
			return error_set(err, ERR_USAGE, "key \"%s\" is ambiguous: %s or %s?", typed, found, infos[k].key);
		found = infos[k].key;
	}
	return found ? fit_name(found, full, cap, err) : unknown_key(typed, err);
}

int config_set(struct config *c, const char *key, const char *value, struct error *err)
{
	char full[KEY_TEXT_MAX];

	if (config_resolve(key, full, sizeof(full), err))
		return -1;
	int k = find_vm_key(full);
	if (k >= 0)
		return set_key(c, (enum config_key)k, value, err);
	return workload_set(&c->workload, full + strlen(WORKLOAD_PREFIX), value, err);
}

int config_assign(struct config *c, const char *assignment, struct error *err)
{
	char key[KEY_TEXT_MAX];
	const char *eq = strchr(assignment, '=');

	if (!eq || eq == assignment)
		return error_set(err, ERR_USAGE, "\"%s\": expected key=value", assignment);
	if ((size_t)(eq - assignment) >= sizeof(key))
		return error_set(err, ERR_USAGE, "\"%.40s…\": no key has so long a name", assignment);
	snprintf(key, sizeof(key), "%.*s", (int)(eq - assignment), assignment);
	return config_set(c, key, eq + 1, err);
}

/* ---- reading ---- */

const char *config_str(const struct config *c, enum config_key k)
{
	return c->value[k];
}

/* Values were normalised by set_key(), so these cannot fail. */
uint64_t config_uint(const struct config *c, enum config_key k)
{
	uint64_t v = 0;

	parse_number(&infos[k], c->value[k], &v, NULL);
	return v;
}

bool config_bool(const struct config *c, enum config_key k)
{
	return strcmp(c->value[k], "on") == 0;
}

const char *config_get(const struct config *c, const char *full, char *buf, size_t cap)
{
	int k = find_vm_key(full);

	if (k < 0) {
		if (strncmp(full, WORKLOAD_PREFIX, strlen(WORKLOAD_PREFIX)))
			return NULL;
		return workload_get(&c->workload, full + strlen(WORKLOAD_PREFIX), buf, cap);
	}
	snprintf(buf, cap, "%s", c->value[k]);
	return buf;
}

void config_each(const struct config *c, void (*fn)(void *ctx, const char *key, const char *text), void *ctx)
{
	char key[KEY_TEXT_MAX], text[CONFIG_TEXT_MAX];

	for (int k = 0; k < CONFIG_KEYS; k++)
		fn(ctx, infos[k].key, c->value[k]);
	for (const struct workload_key *w = workload_keys(); w->key; w++) {
		snprintf(key, sizeof(key), WORKLOAD_PREFIX "%s", w->key);
		if (workload_get(&c->workload, w->key, text, sizeof(text)))
			fn(ctx, key, text);
	}
}

/* ---- keys against each other ---- */

static bool is(const struct config *c, enum config_key k, const char *value)
{
	return strcmp(c->value[k], value) == 0;
}

static int clash(struct error *err, const struct config *c, enum config_key a, enum config_key b, const char *remedy)
{
	return error_set(err, ERR_USAGE, "%s=%s does not go with %s=%s: %s", infos[a].key, c->value[a], infos[b].key,
			 c->value[b], remedy);
}

static int check_bus(const struct config *c, struct error *err)
{
	bool virtio = is(c, CFG_DISK_BUS, "virtio-blk") || is(c, CFG_DISK_BUS, "virtio-scsi");

	if (config_bool(c, CFG_DISK_IOTHREAD) && !virtio)
		return clash(err, c, CFG_DISK_IOTHREAD, CFG_DISK_BUS, "only virtio-blk and virtio-scsi have I/O threads");
	if (config_uint(c, CFG_DISK_QUEUES) && (is(c, CFG_DISK_BUS, "ahci") || is(c, CFG_DISK_BUS, "ide")))
		return clash(err, c, CFG_DISK_QUEUES, CFG_DISK_BUS, "ahci and ide have one queue; set disk.queues=0");
	return 0;
}

static int check_backend(const struct config *c, struct error *err)
{
	bool null = is(c, CFG_DISK_BACKEND, "null-co");

	if (null && is(c, CFG_DISK_FORMAT, "qcow2"))
		return clash(err, c, CFG_DISK_FORMAT, CFG_DISK_BACKEND, "the null device keeps no data; use disk.format=raw");
	if (!null && config_uint(c, CFG_DISK_LATENCY))
		return clash(err, c, CFG_DISK_LATENCY, CFG_DISK_BACKEND, "only null-co has a latency to set");
	if (!null && is(c, CFG_DISK_AIO, "native") && !is(c, CFG_DISK_CACHE, "none") && !is(c, CFG_DISK_CACHE, "directsync"))
		return clash(err, c, CFG_DISK_AIO, CFG_DISK_CACHE, "native needs disk.cache=none or directsync");
	if (null && c->workload.verify == WL_VERIFY_crc32c)
		return error_set(err, ERR_USAGE, "workload.verify=crc32c does not go with disk.backend=null-co: "
				 "the null device keeps no data; use disk.backend=file");
	return 0;
}

static int check_sizes(const struct config *c, struct error *err)
{
	uint64_t disk = config_uint(c, CFG_DISK_SIZE);

	if (disk % 4096)
		return error_set(err, ERR_USAGE, "disk.size=%s: must be a multiple of 4k", c->value[CFG_DISK_SIZE]);
	if (config_uint(c, CFG_VM_MEMORY) % (1 << 20))
		return error_set(err, ERR_USAGE, "vm.memory=%s: must be a multiple of 1m", c->value[CFG_VM_MEMORY]);
	if (c->workload.size > disk)
		return error_set(err, ERR_USAGE, "workload.size is larger than disk.size=%s; give the disk more or the workload less",
				 c->value[CFG_DISK_SIZE]);
	return 0;
}

static int check_boot(const struct config *c, struct error *err)
{
	static const char remedy[] = "the disk image carries its own kernel arguments; use vm.boot=direct";

	if (is(c, CFG_VM_BOOT, "direct"))
		return 0;
	if (is(c, CFG_GUEST_IDLE, "poll"))
		return clash(err, c, CFG_GUEST_IDLE, CFG_VM_BOOT, remedy);
	if (config_bool(c, CFG_VM_CONSOLE))
		return clash(err, c, CFG_VM_CONSOLE, CFG_VM_BOOT, remedy);
	return 0;
}

int config_check(const struct config *c, struct error *err)
{
	if (config_bool(c, CFG_VM_ICOUNT) && is(c, CFG_VM_ACCEL, "kvm"))
		return clash(err, c, CFG_VM_ICOUNT, CFG_VM_ACCEL, "only emulation counts instructions; use vm.accel=tcg or auto");
	if (check_boot(c, err) || check_bus(c, err) || check_backend(c, err) || check_sizes(c, err))
		return -1;
	return workload_check(&c->workload, err);
}
