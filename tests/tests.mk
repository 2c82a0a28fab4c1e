# SPDX-License-Identifier: GPL-2.0-or-later
# Tests. A unit or scenario test is one C program on cmocka, named after the room whose archives it
# links: test_ROOM_WHAT.c. A VM test is a shell script that speaks TAP. tests/run adds all of it up.

lua_LIBS := -llua5.4 -lm
common_LIBS := -lm

# Rooms below a room, itself first: what a test of that room links.
under_common := common
under_lua := lua common
under_store := store common
under_guest := guest lua common
under_host := host lua store common
under_mine := mine store common

room_of = $(word 2,$(subst _, ,$(notdir $(1))))
test_libs = $(foreach r,$(under_$(call room_of,$(1))),$(O)/obj/lib$(r).a)

UNIT := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
SCENARIO := $(patsubst %.c,$(O)/%,$(wildcard tests/scenario/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
TEST_CFLAGS := $(LUA_CFLAGS) $(XML_CFLAGS) $(CAIRO_CFLAGS) -DTEST_SRCDIR='"$(CURDIR)"'

.SECONDEXPANSION:
$(UNIT) $(SCENARIO): $(O)/%: $(O)/obj/%.o $$(call test_libs,%)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $($(call room_of,$@)_LIBS)
$(O)/obj/tests/%.o: EXTRA := $(TEST_CFLAGS)

# A fuzz target's seeds run as ordinary tests: fuzz_ROOM_WHAT.c with a main that feeds it each file of
# tests/fuzz/seeds/fuzz_ROOM_WHAT/. `make fuzz` builds the same targets with libFuzzer.
SEEDS := $(addprefix $(O)/tests/fuzz/seeds_,$(FUZZ))
$(SEEDS): $(O)/tests/fuzz/seeds_%: $(O)/obj/tests/fuzz/%.o $(O)/obj/tests/fuzz/seeds_main.o $$(call test_libs,%)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $($(call room_of,$*)_LIBS)

.PHONY: unit scenario seeds
unit: $(UNIT)
scenario: all $(SCENARIO)
seeds: $(SEEDS)
