/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sightings: everything that any vantage sees of a request, each kind once. Numbers are stored and permanent;
 * new ones go to the end of their vantage's range (guest 1–39, VMM 40–89, host 90–139, marks 200–).
 *
 * S(number, NAME, name, vantage, boundary, text)
 *   vantage    GUEST VMM HOST MARK
 *   boundary   the one it shows, or NONE: it helps to join, or is kept for the waterfall
 *   text       what is seen, and what `key` and the other fields hold
 */
#ifndef BIFOCAL_COMMON_SIGHT_TABLE_H
#define BIFOCAL_COMMON_SIGHT_TABLE_H

#define SIGHT_TABLE(S) \
	S(1, G_QUEUE, g_queue, GUEST, GUEST_QUEUE, "block:block_bio_queue; device, sector, length, op") \
	S(2, G_INSERT, g_insert, GUEST, NONE, "block:block_rq_insert: into the scheduler") \
	S(3, G_ISSUE, g_issue, GUEST, GUEST_ISSUE, "block:block_rq_issue; device, sector, length, op") \
	S(4, G_REQUEUE, g_requeue, GUEST, NONE, "block:block_rq_requeue: the driver gave it back") \
	S(5, G_COMPLETE, g_complete, GUEST, GUEST_COMPLETE, "block:block_rq_complete; result is in key (0 or errno)") \
	S(6, G_KICK, g_kick, GUEST, GUEST_KICK, "kprobe virtqueue_notify, or the driver's own hook; key = the queue") \
	S(7, G_IRQ, g_irq, GUEST, GUEST_IRQ, "kprobe vring_interrupt, or the driver's own hook; key = the queue") \
	S(8, G_MERGE, g_merge, GUEST, NONE, "block:block_bio_backmerge, block_bio_frontmerge: the bio joins a request") \
	S(9, G_SPLIT, g_split, GUEST, NONE, "block:block_split; sector, length of the first part, key = where the rest starts") \
	S(40, V_NOTIFY, v_notify, VMM, HOST_NOTIFY, "virtio_queue_notify; key = the VMM's queue") \
	S(41, V_START, v_start, VMM, DEVICE_START, "virtio_blk_handle_read, virtio_blk_handle_write; key = request") \
	S(42, V_SCSI_START, v_scsi_start, VMM, DEVICE_START, "virtio_scsi_cmd_req; key = tag; sector unknown") \
	S(43, V_NVME_START, v_nvme_start, VMM, DEVICE_START, "pci_nvme_read, pci_nvme_write; key = command id, device = the queue") \
	S(44, V_BLK, v_blk, VMM, DEVICE_START, "blk_co_preadv, blk_co_pwritev: any device model; key = the block back-end") \
	S(45, V_PAIO, v_paio, VMM, HOST_SUBMIT, "file_paio_submit: to a worker thread; sector is the file's; key = request") \
	S(46, V_LURING, v_luring, VMM, HOST_SUBMIT, "luring_co_submit: to io_uring; sector is the file's; key = request") \
	S(47, V_POOL_SUBMIT, v_pool_submit, VMM, HOST_SUBMIT, "thread_pool_submit: to a worker thread; key = the worker's request; the V_BLK before it in the thread says where") \
	S(48, V_POOL_COMPLETE, v_pool_complete, VMM, HOST_REAP, "thread_pool_complete, in the submitting thread; key = as submitted") \
	S(49, V_LURING_COMPLETE, v_luring_complete, VMM, HOST_REAP, "luring_process_completion; key = as submitted") \
	S(50, V_RW_COMPLETE, v_rw_complete, VMM, NONE, "virtio_blk_rw_complete: the block layer calls back; key = request") \
	S(51, V_DONE, v_done, VMM, DEVICE_DONE, "virtio_blk_req_complete; key = request") \
	S(52, V_SCSI_DONE, v_scsi_done, VMM, DEVICE_DONE, "virtio_scsi_cmd_resp; key = tag") \
	S(53, V_NVME_DONE, v_nvme_done, VMM, DEVICE_DONE, "pci_nvme_enqueue_req_completion; key = command id, device = the queue") \
	S(54, V_INJECT, v_inject, VMM, IRQ_INJECT, "virtio_notify_irqfd, virtio_notify; key = the VMM's queue") \
	S(55, V_MULTI, v_multi, VMM, NONE, "virtio_blk_submit_multireq: several requests as one; sector, length, key = how many") \
	S(56, V_RUNSTATE, v_runstate, VMM, NONE, "runstate_set; key = the new state's number") \
	S(57, V_AHCI_DONE, v_ahci_done, VMM, DEVICE_DONE, "ahci_cmd_done; key = port") \
	S(58, V_IDE_DMA, v_ide_dma, VMM, DEVICE_START, "ide_dma_cb; sector and length; key = the drive") \
	S(59, V_NVME_IRQ, v_nvme_irq, VMM, IRQ_INJECT, "pci_nvme_irq_msix, pci_nvme_irq_pin; key = vector") \
	S(60, V_AHCI_IRQ, v_ahci_irq, VMM, IRQ_INJECT, "ahci_irq_raise") \
	S(61, V_SCSI_LBA, v_scsi_lba, VMM, NONE, "scsi_req_parsed_lba; key = tag, sector") \
	S(62, V_SCSI_DMA, v_scsi_dma, VMM, NONE, "scsi_disk_dma_command_READ, _WRITE; sector and length") \
	S(63, V_DMA_START, v_dma_start, VMM, NONE, "dma_blk_io: a device model's transfer begins (scsi, ata, nvme); sector, key = the transfer") \
	S(64, V_DMA_DONE, v_dma_done, VMM, DEVICE_DONE, "dma_complete: that transfer is over; all that ahci and ide show before their interrupt; key = the transfer") \
	S(65, V_NCQ_START, v_ncq_start, VMM, DEVICE_START, "process_ncq_command; sector, length, key = tag, device = the controller") \
	S(66, V_NCQ_DONE, v_ncq_done, VMM, NONE, "ncq_finish: after its interrupt; key = tag, device = the controller") \
	S(67, V_AHCI_NOTIFY, v_ahci_notify, VMM, HOST_NOTIFY, "ahci_port_write of PxCI; key = the slots, a bit each, device = the controller") \
	S(68, V_NVME_NOTIFY, v_nvme_notify, VMM, HOST_NOTIFY, "pci_nvme_mmio_doorbell_sq; key = the new tail, device = the queue") \
	S(69, V_NVME_CMD, v_nvme_cmd, VMM, NONE, "pci_nvme_io_cmd: fetched from its queue; key = command id, device = the queue, op") \
	S(70, V_IDE_NOTIFY, v_ide_notify, VMM, HOST_NOTIFY, "bmdma_cmd_writeb: the guest starts a transfer") \
	S(71, V_LINE, v_line, VMM, IRQ_INJECT, "ioapic_set_irq, level 1 (ide; interrupt lines under emulation); key = line") \
	S(72, V_URING_ENTER, v_uring_enter, VMM, NONE, "luring_io_uring_submit: io_uring_enter has returned; length = how many it took; key = the ring") \
	S(90, H_ENTER, h_enter, HOST, HOST_SUBMIT, "entry of an I/O system call; key = its number, device = descriptor, sector and length where it says them") \
	S(91, H_EXIT, h_exit, HOST, HOST_REAP, "exit of an I/O system call; key = its number, length = its result where that is positive") \
	S(92, H_QUEUE, h_queue, HOST, NONE, "block:block_bio_queue on the host") \
	S(93, H_ISSUE, h_issue, HOST, HOST_ISSUE, "block:block_rq_issue on the host; thread = who issued it") \
	S(94, H_COMPLETE, h_complete, HOST, HOST_COMPLETE, "block:block_rq_complete on the host") \
	S(95, H_KVM_EXIT, h_kvm_exit, HOST, NONE, "kvm:kvm_exit; key = reason, thread = vCPU") \
	S(96, H_KVM_ENTRY, h_kvm_entry, HOST, NONE, "kvm:kvm_entry") \
	S(97, H_KVM_MMIO, h_kvm_mmio, HOST, HOST_NOTIFY, "kvm:kvm_fast_mmio, kvm_mmio, kvm_pio; key = guest-physical address or port") \
	S(98, H_KVM_INJECT, h_kvm_inject, HOST, IRQ_INJECT, "kvm:kvm_msi_set_irq, kvm_set_irq; key = message data or line") \
	S(99, H_TSC_WRITE, h_tsc_write, HOST, NONE, "kvm:kvm_write_tsc_offset; key = the new offset") \
	S(100, H_WAKING, h_waking, HOST, NONE, "sched:sched_waking of one of QEMU's threads; key = the thread woken") \
	S(101, H_SWITCH, h_switch, HOST, NONE, "sched:sched_switch to one of QEMU's threads; key = the thread that runs next") \
	S(200, ANCHOR, anchor, MARK, NONE, "time is the stream's clock (CLOCK_REALTIME or _MONOTONIC) in ns, read between host TSC key and host TSC sector") \
	S(201, LOST, lost, MARK, NONE, "key sightings are missing before this one, at least; 0: nobody counted") \
	S(202, STOPPED, stopped, MARK, NONE, "the VM was stopped, or its clock broken, at about this time; key = enum vm_mark")

/* The I/O system calls that show H_ENTER and H_EXIT: C(number in `key`, name). Numbers are stored and permanent, and ours:
 * the kernel's differ by architecture. */
#define SIGHT_SYSCALLS(C) \
	C(1, pread64) \
	C(2, preadv) \
	C(3, preadv2) \
	C(4, pwrite64) \
	C(5, pwritev) \
	C(6, pwritev2) \
	C(7, io_submit) \
	C(8, io_uring_enter) \
	C(9, fdatasync) \
	C(10, fsync) \
	C(11, fallocate) \
	C(12, io_getevents)

#endif
