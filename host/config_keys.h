/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * K(ID, "dotted.key", type, default, choices or "min..max", help)
 * type: enum uint size duration bool text
 */
#ifndef BIFOCAL_HOST_CONFIG_KEYS_H
#define BIFOCAL_HOST_CONFIG_KEYS_H

#define CONFIG_TABLE(K) \
	K(VM_CPUS, "vm.cpus", uint, "1", "1..255", "vCPUs") \
	K(VM_MEMORY, "vm.memory", size, "512m", "128m..1t", "guest memory") \
	K(VM_MACHINE, "vm.machine", enum, "q35", "q35 pc", "QEMU machine type") \
	K(VM_ACCEL, "vm.accel", enum, "auto", "auto kvm tcg", "accelerator; auto takes KVM where it can run a kernel") \
	K(VM_CPU_MODEL, "vm.cpu_model", text, "auto", "", "QEMU -cpu; auto is host under KVM, max under emulation") \
	K(VM_BOOT, "vm.boot", enum, "direct", "direct bios uefi", "kernel by PVH, or the disk image by SeaBIOS or OVMF") \
	K(VM_BOOT_BUS, "vm.boot_bus", enum, "virtio-blk", "virtio-blk virtio-scsi ahci ide nvme", "bus of the boot disk (vm.boot=bios or uefi)") \
	K(VM_BOOT_TIMEOUT, "vm.boot_timeout", duration, "90s", "1s..1h", "longest wait for the agent's greeting") \
	K(VM_CONSOLE, "vm.console", bool, "off", "", "let the agent log to the serial console") \
	K(VM_ICOUNT, "vm.icount", bool, "off", "", "count guest instructions instead of time (emulation only)") \
	K(VM_QEMU, "vm.qemu", text, "qemu-system-x86_64", "", "QEMU binary, searched in PATH") \
	K(VM_IMAGE, "vm.image", text, "auto", "", "directory with vmlinux, initrd and bifocal.img; auto: the one built or installed with bifocal") \
	K(GUEST_IDLE, "guest.idle", enum, "halt", "halt poll", "what an idle vCPU does: HLT, or spin (kernel argument idle=poll)") \
	K(DISK_BUS, "disk.bus", enum, "virtio-blk", "virtio-blk virtio-scsi ahci ide nvme", "device model of the scratch disk") \
	K(DISK_CACHE, "disk.cache", enum, "none", "none writeback writethrough directsync unsafe", "QEMU cache mode") \
	K(DISK_AIO, "disk.aio", enum, "threads", "threads native io_uring", "QEMU's way to the host's file; native needs cache none or directsync") \
	K(DISK_IOTHREAD, "disk.iothread", bool, "off", "", "an I/O thread of its own (virtio-blk, virtio-scsi)") \
	K(DISK_QUEUES, "disk.queues", uint, "0", "0..256", "virtqueues or NVMe queues; 0: QEMU's default") \
	K(DISK_FORMAT, "disk.format", enum, "raw", "raw qcow2", "image format") \
	K(DISK_BACKEND, "disk.backend", enum, "file", "file null-co", "a real file, or QEMU's null device of known latency") \
	K(DISK_LATENCY, "disk.latency", duration, "0", "0s..10s", "latency of the null-co backend") \
	K(DISK_SIZE, "disk.size", size, "256m", "1m..16t", "size of the scratch disk") \
	K(TRACE_ENABLED, "trace.enabled", bool, "on", "", "off: none of the vantages below, whatever they say; --self-check varies it") \
	K(TRACE_GUEST, "trace.guest", enum, "on", "on tracefs off", "see requests in the guest's kernel: by BPF programs where it can, else tracefs; or tracefs alone") \
	K(TRACE_VMM, "trace.vmm", enum, "auto", "auto log simple usdt off", "see requests in QEMU: its trace log, its binary trace file, its USDT probes") \
	K(TRACE_HOST, "trace.host", bool, "on", "", "see requests in the host's kernel (root; tracefs)") \
	K(TRACE_MEMORY, "trace.memory", size, "0", "0..1t", "guest memory for trace buffers; 0: computed from workload and window") \
	K(DISK_DIR, "disk.dir", text, "auto", "", "host directory for the scratch file; auto: the run directory")

enum config_key {
#define K(ID, key, type, def, choices, help) CFG_##ID,
	CONFIG_TABLE(K)
#undef K
	CONFIG_KEYS
};

#endif
