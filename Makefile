# hp – see `make help`.
#
#   SAN=address	builds everything that runs outside the target with ASan and UBSan, in build/asan
#   CC=clang	gcc is the default
#   V=1		shows the commands

PREFIX	?= /usr/local
DESTDIR	?=
CC	?= cc
CXX	?= c++
CLANG	?= clang
BPFTOOL	?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
PKGS	:= libbpf libelf libdw libseccomp liburing jansson zydis libsodium

ifeq ($(SAN),address)
O	:= build/asan
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else
O	:= build
endif
ifeq ($(CC),clang)
O	:= $(O)/clang
endif

Q	:= $(if $(V),,@)
say	= $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

WARN	:= -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	   -Wno-unused-parameter -Wvla -Wformat=2
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iuserspace -Ibpf -I$(O) -Ibuild
CFLAGS	?= -O2 -g
HPCFLAGS := -std=gnu11 $(WARN) $(SANFLAGS) -fno-common -pthread
LIBS	:= -lbpf -lelf -ldw -lseccomp -luring -ljansson -lZydis -lsodium -lhttp_parser -pthread

# A folder of userspace/ uses only those before it in this list (tools/check-layers).
LAYERS	:= base elf arch target watch gate patch daemon cli
MAINS	:= userspace/daemon/main.c userspace/cli/main.c
layer_src = $(filter-out $(MAINS),$(sort $(wildcard userspace/$(1)/*.c)))
layer_obj = $(patsubst %.c,$(O)/%.o,$(call layer_src,$(1)))
ARCHIVES := $(foreach l,$(LAYERS),$(O)/lib/$(l).a)
# The archives up to layer $(1), last first, as the linker wants them.
reverse	= $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
upto	= $(call reverse,$(foreach l,$(LAYERS),$(if $(done_$(1)_$(l)),,$(O)/lib/$(l).a)))
$(eval $(foreach l,$(LAYERS),$(eval seen :=)$(foreach m,$(LAYERS),\
	$(if $(seen),$(eval done_$(l)_$(m) := 1))$(if $(filter $(l),$(m)),$(eval seen := 1)))))

all: $(O)/hpd $(O)/hpctl

-include $(sort $(wildcard tests/*/build.mk))

# --- BPF -------------------------------------------------------------------------------------------
build/vmlinux.h:
	$(call say,BTF,$@)
	$(Q)mkdir -p $(@D) && $(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp && mv $@.tmp $@

build/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) build/vmlinux.h
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D) && $(CLANG) -O2 -g -Wall -Werror -target bpf -D__TARGET_ARCH_x86 -Ibpf -Ibuild -c $< -o $@

build/bpf/%.skel.h: build/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@.tmp && mv $@.tmp $@

# --- user space --------------------------------------------------------------------------------------
$(O)/userspace/watch/%.o: | build/bpf/inflight.skel.h

$(O)/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) $(HPCFLAGS) -MMD -MP -c $< -o $@

define layer_rule
$(O)/lib/$(1).a: $(call layer_obj,$(1))
	$$(call say,AR,$$@)
	$$(Q)mkdir -p $$(@D) && rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer_rule,$(l))))

$(O)/hpd: $(O)/userspace/daemon/main.o $(call upto,daemon)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/hpctl: $(O)/userspace/cli/main.o $(O)/lib/cli.a $(O)/lib/base.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lhttp_parser -pthread

# --- tests ---------------------------------------------------------------------------------------------
# tests/unit/<layer>_<what>.c sees the layers up to its own.
UNIT_SRC := $(sort $(wildcard tests/unit/*.c))
UNIT	:= $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))
define unit_rule
$(O)/tests/unit/$(1): $(O)/tests/unit/$(1).o $(call upto,$(firstword $(subst _, ,$(1))))
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(SANFLAGS) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(LIBS)
endef
$(foreach t,$(notdir $(UNIT)),$(eval $(call unit_rule,$(t))))
.SECONDARY:
unit: $(UNIT)

clean:
	rm -rf build

-include $(shell find $(O) -name '*.d' 2>/dev/null)

.PHONY: all unit clean
.DELETE_ON_ERROR:
