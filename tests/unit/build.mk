# SPDX-License-Identifier: MIT
# Programs that unit tests read.  They are built by gcc whatever CC is: it is gcc's assumptions
# about callees that they show.

UNIT_FIXTURES := $(addprefix $(O)/tests/unit/fixtures/,ipa ipa-frame ipa-none)
UNIT_FIXTURE_CC ?= gcc
$(O)/tests/unit/fixtures/ipa-frame: fixture_flags := -fno-omit-frame-pointer
$(O)/tests/unit/fixtures/ipa-none: fixture_flags := -fno-ipa-ra -fno-ipa-stack-alignment
$(UNIT_FIXTURES): tests/unit/fixtures/ipa.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(UNIT_FIXTURE_CC) -O2 $(fixture_flags) -o $@ $<

UNIT_WIDE := $(addprefix $(O)/tests/unit/fixtures/,ipa-wide ipa-wide-none)
$(O)/tests/unit/fixtures/ipa-wide-none: fixture_flags := -fno-ipa-ra -fno-ipa-stack-alignment
$(UNIT_WIDE): tests/unit/fixtures/ipa_wide.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(UNIT_FIXTURE_CC) -O2 -march=skylake-avx512 $(fixture_flags) -o $@ $<

$(O)/tests/unit/arch_callsite: | $(UNIT_FIXTURES) $(UNIT_WIDE)

# What both compilers make of indirect jumps, in position-independent programs and in others.
JUMPS	:= $(foreach c,gcc clang,$(foreach k,pie nopie cet relr,$(O)/tests/unit/fixtures/jumps-$(c)-$(k)))
$(filter %-pie,$(JUMPS)): jumps_flags := -fPIE -pie
$(filter %-nopie,$(JUMPS)): jumps_flags := -fno-pie -no-pie
$(filter %-cet,$(JUMPS)): jumps_flags := -fPIE -pie -fcf-protection=full
$(filter %-relr,$(JUMPS)): jumps_flags := -fPIE -pie -Wl,-z,pack-relative-relocs
$(JUMPS): tests/unit/fixtures/jumps.cc
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D) && $(if $(findstring clang,$@),$(CLANG)++,g++) -O2 -w $(jumps_flags) -o $@ $<

$(O)/tests/unit/arch_jump: | $(JUMPS)

# One program in the ways that programs are linked.
TWINS := $(addprefix $(O)/tests/unit/fixtures/,twins twins-nopie twins-static twins-stripped)
$(O)/tests/unit/fixtures/twins-nopie: twins_flags := -no-pie
$(O)/tests/unit/fixtures/twins-static: twins_flags := -static
$(O)/tests/unit/fixtures/twins-stripped: twins_flags := -s -rdynamic
$(TWINS): tests/unit/fixtures/twins.c tests/unit/fixtures/twins_other.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(UNIT_FIXTURE_CC) -O2 $(twins_flags) -o $@ $^

$(O)/tests/unit/target_resolve $(O)/tests/unit/target_open: | $(TWINS)

# What several tests share.
rig	= $(addprefix $(O)/tests/unit/rig/,$(addsuffix .o,$(1)))
unit	= $(addprefix $(O)/tests/unit/,$(1))
$(call unit,daemon_family daemon_front daemon_guard daemon_http daemon_jobs daemon_records daemon_turns cli_hpd): \
	$(call rig,daemon_rig daemon_ops)
$(call unit,target_agent target_agent_killed target_borrow target_borrow_whom): $(call rig,target_victim)
$(call unit,target_look watch_look): $(call rig,target_truth target_look_still target_look_race)
$(call unit,access_facts access_identity restart_generation restart_pidfile restart_shield restart_substitute): $(call rig,sleeper)
$(call unit,service_procs restart_retire restart_substitute): $(call rig,reborn)
$(call unit,watch_count watch_session): $(call rig,watch_lab watch_victim)
