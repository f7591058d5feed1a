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

$(O)/tests/unit/arch_callsite: | $(UNIT_FIXTURES)

# One program in the ways that programs are linked.
TWINS := $(addprefix $(O)/tests/unit/fixtures/,twins twins-nopie twins-static twins-stripped)
$(O)/tests/unit/fixtures/twins-nopie: twins_flags := -no-pie
$(O)/tests/unit/fixtures/twins-static: twins_flags := -static
$(O)/tests/unit/fixtures/twins-stripped: twins_flags := -s -rdynamic
$(TWINS): tests/unit/fixtures/twins.c tests/unit/fixtures/twins_other.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(UNIT_FIXTURE_CC) -O2 $(twins_flags) -o $@ $^

$(O)/tests/unit/target_resolve $(O)/tests/unit/target_open: | $(TWINS)
