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
