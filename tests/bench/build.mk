# SPDX-License-Identifier: MIT
# The benchmark, its target and the patches for it.  As the services: never sanitized.

BENCH	:= build/tests/bench
BENCH_SRC := tests/bench
BENCH_C	:= $(addprefix $(BENCH_SRC)/,bench.c samples.c service.c loads.c calls.c rates.c socket.c)
BENCH_H	:= $(wildcard $(BENCH_SRC)/*.h)
BENCH_PATCHES := $(patsubst %,$(BENCH)/patch_%.so,1 10 100)

benchmark: $(BENCH)/bench $(BENCH)/target $(BENCH)/syscalls $(BENCH_PATCHES)
services: benchmark

$(BENCH)/.dir:
	$(Q)mkdir -p $(@D) && touch $@
$(BENCH)/bench: $(BENCH_C) tests/services/call.c tests/services/call.h $(BENCH_H) | $(BENCH)/.dir
	$(call say,CC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -o $@ $(filter %.c,$^) -ljansson -lhttp_parser
$(BENCH)/target: $(BENCH_SRC)/target.c $(BENCH)/functions.c $(BENCH_H) | $(BENCH)/.dir
	$(call say,CC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -I$(BENCH_SRC) -o $@ $(filter %.c,$^)
$(BENCH)/syscalls: $(BENCH_SRC)/syscalls.c | $(BENCH)/.dir
	$(call say,CC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -o $@ $<
$(BENCH)/functions.c: $(BENCH_SRC)/functions.sh | $(BENCH)/.dir
	$(Q)$< target 100 > $@
$(BENCH)/patch_%.c: $(BENCH_SRC)/functions.sh | $(BENCH)/.dir
	$(Q)$< patch $* > $@
$(BENCH_PATCHES): %.so: %.c $(BENCH_H)
	$(call say,PATCH,$@)
	$(Q)$(SVC_CC) $(SVC_PATCH) -I$(BENCH_SRC) -o $@ $<

.PHONY: benchmark
