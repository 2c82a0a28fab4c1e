# SPDX-License-Identifier: GPL-2.0-or-later
# The image: $(O)/image/{vmlinux,initrd} for direct boot by PVH, vmlinuz, bifocal.img for BIOS and UEFI.
# The whole root is the initrd: /init is the agent, /modules holds the drivers. Nothing here needs root,
# and the bytes depend on the sources, the compiler and the kernel package alone.

IMG := $(O)/image
IMAGE_INIT ?= $(O)/bin/bifocal-agent
IMAGE_FILES := $(addprefix $(IMG)/,vmlinux vmlinuz initrd cmdline bifocal.img VERSION MANIFEST)

## make image      the bootable image: $(O)/image/{vmlinux,initrd,bifocal.img}
.PHONY: image
image: $(IMAGE_FILES)
	$(Q)vmimage/show-sizes $(IMG)

# Which kernel package it is gets settled once for a build directory; `make clean` asks apt anew.
$(IMG)/kernel/package: vmimage/fetch-kernel
	$(call say,FETCH,$@)
	$(Q)mkdir -p $(@D)
	$(Q)vmimage/fetch-kernel $(@D)

$(IMG)/vmlinuz: $(IMG)/kernel/package
	$(Q)cp $(IMG)/kernel/tree/boot/vmlinuz-* $@ && chmod 644 $@ && touch $@

$(IMG)/vmlinux: vmimage/extract-vmlinux $(IMG)/vmlinuz
	$(call say,EXTRACT,$@)
	$(Q)vmimage/extract-vmlinux $(IMG)/vmlinuz >$@

$(IMG)/modules/modules.list: vmimage/pick-modules vmimage/modules.conf $(IMG)/kernel/package
	$(call say,MODULES,$(@D))
	$(Q)vmimage/pick-modules vmimage/modules.conf $(IMG)/kernel/tree $(@D)

$(IMG)/mkcpio: vmimage/mkcpio.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -O2 $(WARN) -o $@ $<

# A sanitized agent is dynamic, and the image has no loader for it.
$(IMG)/init: $(IMAGE_INIT)
	$(if $(SAN),$(error make image: not with SAN; the image in $(O) would not boot))
	$(Q)mkdir -p $(@D)
	$(Q)strip -o $@ $<

# lz4 unpacks too fast to be seen in the boot time even under emulation (medians of six boots with 5 MB of contents:
# 3.03 s, stored 3.10 s, gzip 3.23 s, zstd 3.41 s, xz 3.97 s); zstd and xz are smaller by a third.
$(IMG)/initrd: vmimage/image.mk vmimage/list-root $(IMG)/mkcpio $(IMG)/init $(IMG)/modules/modules.list
	$(call say,INITRD,$@)
	$(Q)vmimage/list-root $(IMG) >$(IMG)/root.list
	$(Q)$(IMG)/mkcpio <$(IMG)/root.list >$(IMG)/root.cpio
	$(Q)lz4 -q -l -9 -c $(IMG)/root.cpio >$@

# One line; the launcher adds to it what a configuration asks for.
$(IMG)/cmdline: vmimage/cmdline
	$(Q)mkdir -p $(@D)
	$(Q)sed '/^#/d' $< | paste -s -d ' ' >$@

$(IMG)/bifocal.img: vmimage/mkdisk $(addprefix $(IMG)/,vmlinuz initrd cmdline)
	$(call say,DISK,$@)
	$(Q)vmimage/mkdisk $(IMG) >$@

$(IMG)/VERSION: common/version.h $(IMG)/initrd
	$(Q)printf '%s %s\n' "$$(sed -n 's/^#define BIFOCAL_VERSION "\(.*\)"/\1/p' $<)" \
		"$$(sha256sum $(IMG)/initrd | cut -c 1-16)" >$@

$(IMG)/MANIFEST: $(filter-out $(IMG)/MANIFEST,$(IMAGE_FILES))
	$(Q)cat $(IMG)/kernel/package >$@
	$(Q)cd $(IMG) && sha256sum $(notdir $^) >>MANIFEST
