# SPDX-License-Identifier: GPL-2.0-or-later
# The build proper; included by the Makefile once the packages are there.

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CPPFLAGS += -D_GNU_SOURCE -I. -I$(O)/gen
CFLAGS += -std=c17 $(OPT) -g $(WARN) $(SAN) -fno-omit-frame-pointer -pthread -ffile-prefix-map=$(CURDIR)=.
LDFLAGS += $(SAN) -pthread

pkg = $(shell pkg-config $(1) $(2) 2>/dev/null)
LUA_CFLAGS := $(call pkg,--cflags,lua5.4)
XML_CFLAGS := $(call pkg,--cflags,libxml-2.0)
CAIRO_CFLAGS := $(call pkg,--cflags,pangocairo cairo libpng)

ROOMS := common lua guest store attribute host mine
common_SRC := $(wildcard common/*.c)
lua_SRC := $(wildcard lua/*.c)
guest_SRC := $(wildcard guest/*.c)
store_SRC := $(wildcard store/*.c)
attribute_SRC := $(wildcard attribute/*.c)
host_SRC := $(wildcard host/*.c host/*/*.c)
mine_SRC := $(wildcard mine/*.c mine/*/*.c)

lua_CFLAGS := $(LUA_CFLAGS)
mine_CFLAGS := $(XML_CFLAGS) $(CAIRO_CFLAGS)

# What each program links beyond its own room: the arrows, enforced by the linker.
guest_LIBS := -l:liblua5.4.a -luring -laio -lm
store_LIBS := -llmdb -lzstd
attribute_LIBS := $(store_LIBS) -lm
host_LIBS := $(store_LIBS) -llua5.4 -ljansson -lmd -lm
mine_LIBS := $(store_LIBS) $(call pkg,--libs,libxml-2.0 pangocairo cairo libpng) -lm

objs = $(patsubst %.c,$(O)/obj/%.o,$(1))
define room_rules
$(1)_OBJ := $$(call objs,$$(filter-out $(1)/main.c,$$($(1)_SRC)))
$(O)/obj/lib$(1).a: $$($(1)_OBJ)
	$$(call say,AR,$$@)
	$(Q)rm -f $$@ && ar rcsD $$@ $$^
$$($(1)_OBJ) $(O)/obj/$(1)/main.o: EXTRA := $$($(1)_CFLAGS)
endef
$(foreach room,$(ROOMS),$(eval $(call room_rules,$(room))))

$(O)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<

## make all        build programs and share tree under $(O) (default: build/)
.PHONY: all
all: $(O)/bin/bifocal $(O)/bin/bifocal-mine $(O)/bin/bifocal-agent share

lib = $(O)/obj/lib$(1).a
$(O)/bin/bifocal: $(O)/obj/host/main.o $(call lib,host) $(call lib,lua) $(call lib,attribute) $(call lib,store) $(call lib,common)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(host_LIBS)

$(O)/bin/bifocal-mine: $(O)/obj/mine/main.o $(call lib,mine) $(call lib,attribute) $(call lib,store) $(call lib,common)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(mine_LIBS)

# Static: it is /init of an initramfs that holds no library. The sanitizers need the
# dynamic loader, so a sanitized agent (tests only) is dynamic.
AGENT_STATIC := $(if $(SAN),,-static)
$(O)/bin/bifocal-agent: $(O)/obj/guest/main.o $(call lib,guest) $(call lib,lua) $(call lib,common)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(AGENT_STATIC) -o $@ $^ $(guest_LIBS)

# The same layout as under PREFIX, so that a program run from the build tree finds its data the
# way an installed one does: ../share/bifocal from its own place.
.PHONY: share
share:
	$(Q)mkdir -p $(O)/share/bifocal
	$(Q)ln -sfn $(CURDIR)/plugins $(O)/share/bifocal/plugins
	$(Q)ln -sfn $(CURDIR)/templates $(O)/share/bifocal/templates
	$(Q)ln -sfn ../../image $(O)/share/bifocal/image

include vmimage/image.mk
include tests/tests.mk

# ---- installing ----

bindir := $(DESTDIR)$(PREFIX)/bin
datadir := $(DESTDIR)$(PREFIX)/share/bifocal
mandir := $(DESTDIR)$(PREFIX)/share/man
PROGRAMS := bifocal bifocal-mine
MAN1 := $(wildcard docs/man/*.1)
MAN8 := $(wildcard docs/man/*.8)
INSTALLED_IMAGE := vmlinux initrd bifocal.img cmdline VERSION

## make install    programs, image, plugins, templates and manual pages to $(DESTDIR)$(PREFIX) (default /usr/local)
.PHONY: install uninstall
install: all image
	install -d $(bindir) $(datadir)/plugins $(datadir)/templates $(datadir)/image $(mandir)/man1 $(mandir)/man8
	install -m 755 $(addprefix $(O)/bin/,$(PROGRAMS)) $(bindir)
	install -m 644 plugins/*.lua $(datadir)/plugins
	install -m 644 templates/*.xml templates/*.xsd $(datadir)/templates
	install -m 644 $(addprefix $(O)/image/,$(INSTALLED_IMAGE)) $(datadir)/image
	install -m 644 $(MAN1) $(mandir)/man1
	install -m 644 $(MAN8) $(mandir)/man8

## make uninstall  remove what `make install` put there
uninstall:
	rm -f $(addprefix $(bindir)/,$(PROGRAMS)) $(addprefix $(mandir)/man1/,$(notdir $(MAN1))) $(addprefix $(mandir)/man8/,$(notdir $(MAN8)))
	rm -rf $(datadir)

# ---- first light ----

.PHONY: run
run: all image
	$(Q)scripts/first-light $(O)

## make clean      remove $(O)
.PHONY: clean
clean:
	rm -rf $(O)

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
