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
under_attribute := attribute store common
under_host := host lua attribute store common
under_mine := mine attribute store common

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

# What the VM tests and benches run on the host besides bifocal itself.
VM_TOOLS := $(patsubst %.c,$(O)/%,$(wildcard tests/vm/*.c))
$(VM_TOOLS): $(O)/%: $(O)/obj/%.o $(O)/obj/libattribute.a $(O)/obj/libstore.a $(O)/obj/libcommon.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(store_LIBS) $(common_LIBS)

# The nested bench's own, which reads attributions too.
KVM_TOOLS := $(patsubst %.c,$(O)/%,$(wildcard tests/kvm/*.c))
$(KVM_TOOLS): $(O)/%: $(O)/obj/%.o $(O)/obj/libattribute.a $(O)/obj/libstore.a $(O)/obj/libcommon.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(store_LIBS) $(common_LIBS)

# Takes a thread's CPU at a tracepoint, on the host and as a guest's PID 1.
HOG := $(O)/tests/attribution/hog
$(HOG): tests/attribution/hog.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -O2 $(WARN) -static -o $@ $<

.PHONY: unit scenario seeds vm-tools
vm-tools: $(HOG)
vm-tools: $(VM_TOOLS) $(KVM_TOOLS)
unit: $(UNIT)
scenario: all $(SCENARIO)
seeds: $(SEEDS)

# ---- running them ----

# Sanitized builds live below $(O), so that one `make clean` removes all.
ASAN_O := $(O)/asan
TSAN_O := $(O)/tsan
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all
export ASAN_OPTIONS ?= abort_on_error=0:detect_leaks=1
export TSAN_OPTIONS ?= suppressions=$(CURDIR)/tests/tsan.supp
export UBSAN_OPTIONS ?= print_stacktrace=1

abs = $(abspath $(1))
fuzz_seed_runs = $(foreach f,$(FUZZ),'$(2)seeds/$(f)=$(call abs,$(1))/tests/fuzz/seeds_$(f) tests/fuzz/seeds/$(f)')
program_runs = $(foreach p,$(patsubst $(O)/tests/%,%,$(UNIT) $(SCENARIO)),'$(2)$(p)=O=$(call abs,$(1)) BIFOCAL_BIN=$(call abs,$(1))/bin $(call abs,$(1))/tests/$(p)')
script_runs = $(foreach s,$(wildcard tests/check_*.sh tests/scenario/*.sh),'$(basename $(patsubst tests/%,%,$(s)))=sh $(s)')
vm_runs = $(foreach s,$(wildcard tests/vm/test_*.sh tests/kvm/test_*.sh),'$(basename $(patsubst tests/%,%,$(s)))=sh $(s)')
run_tests = O=$(call abs,$(1)) SRC=$(CURDIR) tests/run

.PHONY: asan-build test unit-test asan tsan test-vm
# With the other compiler, so that every `make test` shows both to be free of warnings.
asan-build:
	$(Q)$(MAKE) --no-print-directory O=$(ASAN_O) CC=$(CLANG) SAN="$(ASAN)" OPT=-O1 all unit scenario seeds

test: all image vm-tools unit scenario seeds asan-build
	$(Q)$(call run_tests,$(O)) $(call program_runs,$(O)) $(call fuzz_seed_runs,$(O)) $(script_runs) \
		$(call program_runs,$(ASAN_O),asan/) $(call fuzz_seed_runs,$(ASAN_O),asan/) $(vm_runs)

## make unit-test  unit and scenario tests and fuzz seeds alone, without sanitizers and VMs
unit-test: all unit scenario seeds
	$(Q)$(call run_tests,$(O)) $(call program_runs,$(O)) $(call fuzz_seed_runs,$(O)) $(script_runs)

## make test-vm    the tests that boot virtual machines
test-vm: all image vm-tools
	$(Q)$(call run_tests,$(O)) $(vm_runs)

## make test-kvm   the collector on real KVM, inside an emulated machine
.PHONY: test-kvm
test-kvm: all image vm-tools
	$(Q)$(call run_tests,$(O)) 'kvm/test_nested=sh tests/kvm/test_nested.sh'

## make asan       unit and scenario tests and fuzz seeds under AddressSanitizer and UndefinedBehaviorSanitizer
asan: asan-build
	$(Q)$(call run_tests,$(ASAN_O)) $(call program_runs,$(ASAN_O),asan/) $(call fuzz_seed_runs,$(ASAN_O),asan/)

## make tsan       unit and scenario tests under ThreadSanitizer
tsan:
	$(Q)$(MAKE) --no-print-directory O=$(TSAN_O) SAN=-fsanitize=thread OPT=-O1 all unit scenario
	$(Q)$(call run_tests,$(TSAN_O)) $(call program_runs,$(TSAN_O),tsan/)

# ---- fuzzing ----

FUZZ_O := $(O)/fuzz
FUZZ_SECONDS ?= 60
## make fuzz       run every fuzz target with libFuzzer for FUZZ_SECONDS (60) each, from its seeds
.PHONY: fuzz fuzz-build
fuzz-build:
	$(Q)$(MAKE) --no-print-directory O=$(FUZZ_O) CC=$(CLANG) OPT=-O1 SAN="-fsanitize=fuzzer-no-link,address,undefined" fuzz-targets
fuzz: fuzz-build
	$(Q)for f in $(FUZZ); do echo "== $$f"; mkdir -p $(FUZZ_O)/corpus/$$f; \
		$(FUZZ_O)/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -artifact_prefix=$(FUZZ_O)/ \
			$(FUZZ_O)/corpus/$$f tests/fuzz/seeds/$$f 2>$(FUZZ_O)/$$f.log || { tail -n 30 $(FUZZ_O)/$$f.log; exit 1; }; \
		grep -E '^(Done|stat::)' $(FUZZ_O)/$$f.log || tail -n 1 $(FUZZ_O)/$$f.log; done

.PHONY: fuzz-targets
fuzz-targets: $(addprefix $(O)/tests/fuzz/,$(FUZZ))
$(addprefix $(O)/tests/fuzz/,$(FUZZ)): $(O)/tests/fuzz/%: $(O)/obj/tests/fuzz/%.o $$(call test_libs,%)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $($(call room_of,$@)_LIBS)

# ---- benches ----

# Programs: bench_ROOM_WHAT.c like tests; bench_guest_init is PID 1 of a guest. Scripts: whatever prints `bench …` lines.
BENCH_PROGRAMS := $(addprefix $(O)/tests/bench/,bench_common_port bench_store bench_guest_record bench_attribute_scale)
$(BENCH_PROGRAMS): $(O)/%: $(O)/obj/%.o $$(call test_libs,%)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $($(call room_of,$@)_LIBS) -lsqlite3

$(O)/tests/bench/bench_host_trace: $(O)/obj/tests/bench/bench_host_trace.o $(call test_libs,bench_host_trace)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(host_LIBS) -ltraceevent
$(O)/obj/tests/bench/bench_host_trace.o: EXTRA := $(call pkg,--cflags,libtraceevent)

$(O)/tests/bench/bench_guest_init: $(O)/obj/tests/bench/bench_guest_init.o $(O)/obj/tests/bench/bench_guest_trace.o $(call lib,guest) $(call lib,lua) $(call lib,common)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $(AGENT_STATIC) -o $@ $^ $(guest_LIBS)

BENCHES := bench_store bench_guest_record port_rate boot_greeting engine_icount engine_fio trace_decode trace_cost own_cost attribution_scale attribution

## make attribution  known delays put into known stages, and where attribution finds them
.PHONY: attribution
attribution: all image vm-tools
	$(Q)O=$(call abs,$(O)) SRC=$(CURDIR) tests/bench/attribution

.PHONY: bench
bench: all image vm-tools $(BENCH_PROGRAMS) $(O)/tests/bench/bench_host_trace $(O)/tests/bench/bench_guest_init
	$(Q)O=$(call abs,$(O)) SRC=$(CURDIR) tests/bench/all $(BENCHES)
