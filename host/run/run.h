/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run, from its number in the store to its status there.
 *
 * Attributes it leaves (all text; what the store's other tables hold is not repeated here):
 *
 *   config.KEY workload.KEY                every key of the configuration, as it was
 *   study.cell study.repeat study.place    what varied, which repeat, which place in the order of running
 *   prov.version prov.seed prov.command    of bifocal, of the run's random numbers, bifocal's own command line
 *   prov.host.{kernel,cpu,cpus,node}       where it ran
 *   prov.accel prov.accel_why              kvm or tcg, and the reason
 *   prov.qemu.{version,path,command}       of the VMM; absent where somebody else started it
 *   prov.guest.*                           HELLO: boot_id instance version kernel cpus memory tsc_hz …, disk.{name,driver,scheduler,…}
 *   prov.plugin.NAME.{version,sha256,path,options}
 *   probe.NAME.{guest,host}                loaded, skipped: why, quarantined: why
 *   host.tsc_hz host.tsc_hz_error          measured over the run against CLOCK_MONOTONIC_RAW, and the half-width
 *   guest.tsc_hz                           in use for this run: the host's where the exchanges or the guest's own measure agree with it
 *   window.start                           host TSC when RUN_START was sent
 *   window.{open,ramp_end,close}           guest TSC
 *   window.{issued,recorded,errors,verified,verify_bad,code,text}
 *   intake.{records,io_chunks,sample_chunks,drained}
 *   clock.{rounds,breaks,lost_pongs,refused_pongs}   port.{control,data}.*
 *   clock.jumps                            epochs that an empty intersection opened, without a word from QEMU
 *   clock.absent.TIER clock.missed.TIER    why a tier is not available; readings that came to nothing
 *   clock.ratio clock.frac                 the guest's TSC scaling, where KVM tells it
 *   clock.{guest,host}_unstable            1: that kernel does not trust its TSC (it is no clock source there)
 *   clock.vcpu.N                           thread that runs the guest's CPU N
 *   event.N.{at,do,began_ns,ended_ns,error}   --event: as asked; ns after the window's opening; why it failed
 *   lost.*                                 loss.h; and lost.collector from the store
 *   error.code error.text                  why it failed or ended early
 */
#ifndef BIFOCAL_HOST_RUN_RUN_H
#define BIFOCAL_HOST_RUN_RUN_H

#include "host/config.h"
#include "host/run/events.h"
#include "host/run/probes.h"
#include "host/run/progress.h"
#include "store/store.h"

/* What the runs of one study share. */
struct runner {
	struct store *store;
	const struct plugins *plugins;
	struct progress progress;
	uint64_t study;                /* 0 until the first run made it */
	bool kvm_failed;               /* a boot under KVM never greeted: vm.accel=auto takes tcg from then on */
	char accel_said[256];          /* the choice of accelerator last told the user */
	const char *command;           /* bifocal's own command line, for provenance */
};

struct run_request {
	const struct config *config;
	const char *cell;              /* "disk.bus=ahci workload.iodepth=8", "" if nothing varies */
	unsigned repeat, place;
	uint64_t seed;
	const char *disk;              /* serial or kernel name */
	const struct run_events *events;   /* NULL: none */
	bool destructive;
	const char *control, *data;    /* sockets of somebody else's guest; NULL: boot one */
	uint64_t greet_ns;             /* of somebody else's guest */
};

struct run_result {
	uint64_t run;                  /* 0: not even a number was to be had */
	enum run_status status;
	struct error error;            /* of a run that failed or ended early */
};

/* Fills `out`; 0 when the run is complete or partial, -1 when it failed or was interrupted. Nothing of the VM is left either way. */
int run_one(struct runner *runner, const struct run_request *req, struct run_result *out);

#endif
