/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image's files and the firmware's: found, checked, named in struct vm_paths. */
#ifndef BIFOCAL_HOST_VM_IMAGE_H
#define BIFOCAL_HOST_VM_IMAGE_H

#include "host/vm/vm.h"

/* The directory that vm.image stands for. */
int image_dir(const struct config *c, char *dir, size_t cap, struct error *err);
/* What the image's VERSION file says, "" where there is none. */
char *image_version(const char *dir, char *dst, size_t cap);
/* Fills kernel, initrd, cmdline or disk_image, and ovmf_code. ERR_NOT_FOUND with the remedy `make image`; ERR_VERSION for another version's. */
int image_find(const struct config *c, struct vm_paths *p, struct error *err);
/* The part of it that is not ours: ovmf_code, and where ovmf_vars are copied from. */
int image_firmware(struct vm_paths *p, struct error *err);
/* Copies the firmware's variables into the run directory p->dir. */
int image_prepare(const struct config *c, struct vm_paths *p, struct error *err);

#endif
