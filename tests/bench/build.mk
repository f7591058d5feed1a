# SPDX-License-Identifier: MIT
# The benchmark, its target and the patches for it.  As the services: never sanitized.

BENCH	:= build/tests/bench
BENCH_PATCHES := $(patsubst %,$(BENCH)/bench_patch_%.so,1 10 100)

benchmark: $(BENCH)/bench $(BENCH)/target $(BENCH_PATCHES)
services: benchmark

$(BENCH)/.dir:
	$(Q)mkdir -p $(@D) && touch $@
$(BENCH)/bench: tests/bench/bench.c tests/bench/shared.h tests/services/call.c tests/services/call.h | $(BENCH)/.dir
	$(call say,CC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -o $@ $(filter %.c,$^) -ljansson
$(BENCH)/target: tests/bench/target.c tests/bench/shared.h build/tests/services/many_fns.c tests/services/many.h | $(BENCH)/.dir
	$(call say,CC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -o $@ $(filter %.c,$^)
$(BENCH)/bench_patch_%.c: tests/services/many_gen.sh | $(BENCH)/.dir
	$(Q)$< plain $* > $@
$(BENCH_PATCHES): %.so: %.c
	$(call say,PATCH,$@)
	$(Q)$(SVC_CC) $(SVC_PATCH) -o $@ $<

.PHONY: benchmark
