/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC-32C (Castagnoli, polynomial 0x1EDC6F41), as in RFC 3720 appendix B.4.
 * SSE 4.2's instruction where the CPU has it, tables where it has not (QEMU's kvm64 and
 * qemu64 models hide it) or where it is emulated. crc32c(0, "123456789", 9) == 0xE3069283.
 */
#ifndef BIFOCAL_COMMON_CRC32C_H
#define BIFOCAL_COMMON_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `crc` is 0 at first, or the result over the bytes before these. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The CPU is emulated: crc32c() takes some four nanoseconds a byte, instructions and tables alike. */
bool crc32c_is_slow(void);
/* The same by tables alone, on any CPU: what crc32c() is tested against. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
