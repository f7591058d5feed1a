# SPDX-License-Identifier: MIT
# hp – see `make help`.
#
#   SAN=address	builds everything that runs outside the target with ASan and UBSan, in build/asan
#   SAN=fuzz	the same instrumented for libFuzzer (clang), in build/fuzz
#   CC=clang	gcc is the default
#   V=1		shows the commands

PREFIX	?= /usr/local
DESTDIR	?=
CC	?= cc
CXX	?= c++
CLANG	?= clang
BPFTOOL	?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)

O	:= build
ifeq ($(SAN),address)
O	:= build/asan
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(SAN),fuzz)
O	:= build/fuzz
CC	:= $(CLANG)
SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
else ifneq ($(SAN),)
$(error SAN=$(SAN): address or fuzz)
endif
ifeq ($(CC)$(filter fuzz,$(SAN)),clang)
O	:= $(O)/clang
endif

Q	:= $(if $(V),,@)
say	= $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-7s %s\n' $(1) $(2))

WARN	:= -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	   -Wno-unused-parameter -Wvla -Wformat=2
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iuserspace -Ibpf -I$(O) -Ibuild
CFLAGS	?= -O2 -g
HPCFLAGS := -std=gnu11 $(WARN) $(SANFLAGS) -fno-common -pthread
# What distributions build daemons with; FORTIFY also warns of results that are ignored.
ifeq ($(SAN),)
HPCFLAGS += -D_FORTIFY_SOURCE=2 -fstack-protector-strong
LDFLAGS	+= -Wl,-z,relro,-z,now
endif
LIBS	:= -lsystemd -lbpf -lelf -ldw -lseccomp -luring -ljansson -lZydis -lsodium -lhttp_parser -pthread
TERM_LIBS := -lncursesw -ltinfo

# A folder of userspace/ uses only those before it in this list (tools/check-layers).
LAYERS	:= base trust upgrade client elf arch target watch gate patch hotgo service restart ipc front access daemon cli
MAINS	:= userspace/daemon/main.c userspace/front/main.c userspace/cli/main.c
layer_src = $(filter-out $(MAINS),$(sort $(wildcard userspace/$(1)/*.c)))
layer_obj = $(patsubst %.c,$(O)/%.o,$(call layer_src,$(1)))
# upto_X: the archives of layer X and of those before it, last first, as the linker wants them.
archives :=
$(foreach l,$(LAYERS),$(eval archives := $(O)/lib/$(l).a $(archives))$(eval upto_$(l) := $(archives)))
upto	= $(upto_$(1))

all: $(O)/hpd $(O)/hpd-front $(O)/hpctl libs	## builds hpd, hpctl and the libraries, in build (the default)

-include $(sort $(wildcard tests/*/build.mk))

# --- BPF -------------------------------------------------------------------------------------------
build/vmlinux.h:
	$(call say,BTF,$@)
	$(Q)mkdir -p $(@D) && $(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp && mv $@.tmp $@

build/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) build/vmlinux.h
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D) && $(CLANG) -O2 -g -Wall -Werror -target bpf -D__TARGET_ARCH_x86 -Ibpf -Ibuild -c $< -o $@

# (What clang-tidy would find in it is bpftool's.)
build/bpf/%.skel.h: build/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)(echo '/* NOLINTBEGIN */' && $(BPFTOOL) gen skeleton $< name $* && echo '/* NOLINTEND */') > $@.tmp
	$(Q)mv $@.tmp $@

# --- user space --------------------------------------------------------------------------------------
# Not order-only: a change of the programs must reach the objects that carry them.
$(call layer_obj,watch): build/bpf/inflight.skel.h

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

# Of hpd's libraries it has none that reads anything but JSON and HTTP.
$(O)/hpd-front: $(O)/userspace/front/main.o $(call upto,front)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ -lseccomp -luring -ljansson -lhttp_parser -pthread

$(O)/hpctl: $(O)/userspace/cli/main.o $(O)/lib/cli.a $(O)/lib/client.a $(call upto,trust)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lhttp_parser -lsodium $(TERM_LIBS) -pthread

# --- libraries for other programs -----------------------------------------------------------------------
# lib<name>.so and lib<name>.a are the layers of lib_<name>; what they show is in its map, and
# nothing else: in the archive everything is one object, whose other symbols are local.
SOVERSION := 1
PUBLIC	:= hp hp-upgrade
lib_hp	:= client base
map_hp	:= userspace/client/hp.map
need_hp	:= -ljansson -lhttp_parser
lib_hp-upgrade := upgrade base
map_hp-upgrade := userspace/upgrade/hp-upgrade.map

$(O)/pic/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) $(HPCFLAGS) -fPIC -MMD -MP -c $< -o $@

# The first layer whole, of the others what it uses.
define public_rule
lib_obj_$(1) := $(patsubst %.c,$(O)/pic/%.o,$(call layer_src,$(firstword $(lib_$(1)))))
lib_use_$(1) := $(foreach l,$(wordlist 2,9,$(lib_$(1))),$(O)/pic/lib/$(l).a)
$(O)/lib$(1).so.$(SOVERSION): $$(lib_obj_$(1)) $$(lib_use_$(1)) $(map_$(1))
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(SANFLAGS) $$(LDFLAGS) -shared -Wl,-soname,$$(@F) -Wl,--version-script=$(map_$(1)) \
		$(if $(SAN),,-Wl$(comma)-z$(comma)defs) -o $$@ $$(lib_obj_$(1)) $$(lib_use_$(1)) $(need_$(1)) -pthread
	$$(Q)ln -sf $$(@F) $(O)/lib$(1).so
$(O)/lib$(1).a: $$(lib_obj_$(1)) $$(lib_use_$(1)) $(map_$(1))
	$$(call say,AR,$$@)
	$$(Q)$$(LD) -r -o $$(@:.a=.o) $$(lib_obj_$(1)) $$(lib_use_$(1))
	$$(Q)sed -n 's/^\t\(hp_[a-z_]*\);$$$$/\1/p' $(map_$(1)) > $$(@:.a=.syms)
	$$(Q)$(OBJCOPY) --keep-global-symbols=$$(@:.a=.syms) $$(@:.a=.o)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$(@:.a=.o)
libs: $(O)/lib$(1).so.$(SOVERSION) $(O)/lib$(1).a
endef
comma	:= ,
OBJCOPY	?= objcopy
$(foreach p,$(PUBLIC),$(eval $(call public_rule,$(p))))

define pic_rule
$(O)/pic/lib/$(1).a: $(patsubst %.c,$(O)/pic/%.o,$(call layer_src,$(1)))
	$$(call say,AR,$$@)
	$$(Q)mkdir -p $$(@D) && rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach l,$(sort $(foreach p,$(PUBLIC),$(wordlist 2,9,$(lib_$(p))))),$(eval $(call pic_rule,$(l))))

# --- tests ---------------------------------------------------------------------------------------------
# tests/unit/<layer>_<what>.c sees the layers up to its own (and of tests/unit/rig what build.mk gives it).
UNIT_SRC := $(sort $(wildcard tests/unit/*.c))
UNIT	:= $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))
define unit_rule
$(O)/tests/unit/$(1): $(O)/tests/unit/$(1).o $(call upto,$(firstword $(subst _, ,$(1))))
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(SANFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) \
		-lcmocka $$(LIBS) $$(TERM_LIBS)
endef
$(foreach t,$(notdir $(UNIT)),$(eval $(call unit_rule,$(t))))
unit: $(UNIT) $(O)/hpd-front	## builds the unit tests

# tests/fuzz/<layer>_<what>.c is one LLVMFuzzerTestOneInput().  With SAN=fuzz it becomes a fuzzer,
# else a plain program that runs the files it is given: the corpus as a regression test.
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*_*.c))
FUZZ	:= $(patsubst tests/fuzz/%.c,$(O)/tests/fuzz/%,$(FUZZ_SRC))
FUZZ_MAIN := $(if $(filter fuzz,$(SAN)),,$(O)/tests/fuzz/replay.o)
FUZZ_SECONDS ?= 60
define fuzz_rule
$(O)/tests/fuzz/$(1): $(O)/tests/fuzz/$(1).o $(FUZZ_MAIN) $(call upto,$(firstword $(subst _, ,$(1))))
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(subst fuzzer-no-link,fuzzer,$$(SANFLAGS)) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach t,$(notdir $(FUZZ)),$(eval $(call fuzz_rule,$(t))))
$(O)/tests/fuzz/arch_move: $(O)/tests/fuzz/box.o
$(filter $(O)/tests/fuzz/elf_%,$(FUZZ)): $(O)/tests/fuzz/reader.o
fuzzers: $(FUZZ)

tests: unit fuzzers services

# --- what people call ------------------------------------------------------------------------------------
# As many at once as there are processors, unless the caller has said how many (a job server).
MAKE_QUIET = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

setup:	## installs the Debian packages that are missing
	$(Q)tools/setup

demo:	## shows a patch going live and away again in a small service
	$(Q)tools/setup
	$(Q)$(MAKE_QUIET) all services
	$(Q)tools/demo

check:	## builds and runs all tests and the lint; T=name runs one test
	$(Q)tools/setup
	$(Q)$(MAKE_QUIET) all tests
	$(Q)$(MAKE_QUIET) SAN=address all unit fuzzers
	$(Q)tests/run $(T)

soak:	## the stress test at its full length
	$(Q)tools/setup
	$(Q)$(MAKE_QUIET) all tests
	$(Q)tests/run --soak $(T)

bench:	## measures what a load costs; JSON and a table
	$(Q)tools/setup
	$(Q)$(MAKE_QUIET) all tests
	$(Q)tests/bench/run

fuzz:	## runs every fuzzer for FUZZ_SECONDS (60) from its corpus
	$(Q)tools/setup
	$(Q)$(MAKE_QUIET) SAN=fuzz fuzzers
	$(Q)for f in $(notdir $(FUZZ)); do \
		mkdir -p build/fuzz/corpus/$$f; \
		build/fuzz/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix=build/fuzz/$$f- build/fuzz/corpus/$$f tests/fuzz/corpus/$$f || exit 1; \
	done

lint:	## clang-tidy, cppcheck, shellcheck, layer rules, style rules, gcc and clang builds
	$(Q)tools/setup
	$(Q)tools/lint

format:	## clang-format on every C file (advisory: look at the diff)
	$(Q)clang-format -i $(sort $(wildcard userspace/*/*.[ch] include/hp/*.h bpf/*.[ch] tests/*/*.[ch] tests/unit/rig/*.[ch]))

deb:	## builds Debian packages, into build/deb
	$(Q)tools/setup
	$(Q)tools/deb

clean:	## removes build/
	rm -rf build

help:	## this list
	@printf 'make [TARGET]…\n\n'
	@sed -n 's/^\([a-z]*\):[^#]*## */\1\t/p' Makefile | sort | awk -F '\t' '{ printf "  %-11s%s\n", $$1, $$2 }'
	@sed -n 's/^#   \([A-Z]*=[a-z0-9]*\)\t*/\1\t/p' Makefile | awk -F '\t' '{ printf "  %-13s%s\n", $$1, $$2 }'

# --- lint's parts that know the build (tools/lint calls them) ---------------------------------------------
# A file is looked at again when its object was rebuilt, so when any header of it changed.
TIDYFLAGS := -include tools/analyzer.h
$(O)/lint/userspace/base/err.tidy $(O)/lint/userspace/base/array.tidy: TIDYFLAGS :=
TIDY	:= $(patsubst %.c,$(O)/lint/%.tidy,$(sort $(wildcard userspace/*/*.c)))
$(O)/lint/%.tidy: %.c .clang-tidy tools/analyzer.h $(O)/%.o
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(CPPFLAGS) -std=gnu11 $(TIDYFLAGS) > $@.log 2>&1 || { cat $@.log; exit 1; }
	$(Q)touch $@
lint-tidy: $(TIDY)

HEADERS	:= $(sort $(wildcard userspace/*/*.h include/hp/*.h))
lint-headers: $(addprefix $(O)/lint/,$(addsuffix .ok,$(HEADERS)))
$(O)/lint/%.h.ok: %.h
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(HPCFLAGS) -fsyntax-only -x c $< && touch $@

lint-layers: $(call upto,$(lastword $(LAYERS)))
	$(Q)tools/check-layers $(O)/lib $(LAYERS)

# --- install -----------------------------------------------------------------------------------------------
BINDIR	:= $(PREFIX)/bin
LIBEXECDIR := $(PREFIX)/libexec/hp
UNITDIR	:= $(PREFIX)/lib/systemd/system
MANDIR	:= $(PREFIX)/share/man
MAN	:= $(sort $(wildcard docs/man/*.[1-8]))
man_to	= $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(1)))
LIBDIR	:= $(PREFIX)/lib
$(foreach p,$(PUBLIC),$(eval files_$(p) := lib$(p).a lib$(p).so lib$(p).so.$(SOVERSION) pkgconfig/$(p).pc))
define install_library
	install -m 644 $(O)/lib$(1).a $(O)/lib$(1).so.$(SOVERSION) $(DESTDIR)$(LIBDIR)
	ln -sf lib$(1).so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/lib$(1).so
	sed 's|@PREFIX@|$(PREFIX)|g; s|@VERSION@|$(VERSION)|g' $(map_$(1):.map=.pc.in) > $(DESTDIR)$(LIBDIR)/pkgconfig/$(1).pc
endef
HPINCLUDE := $(PREFIX)/include/hp
API	:= err.h hp.h patch.h upgrade.h
VERSION	:= $(shell sed -n 's/^.define HP_VERSION[^"]*"\(.*\)"/\1/p' userspace/base/defaults.h)
# hpctl finds hpd beside itself, and hpd its front in ../libexec/hp.
install: all	## into $(DESTDIR)$(PREFIX) (/usr/local)
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(HPINCLUDE) $(UNITDIR) $(LIBDIR)/pkgconfig)
	install -m 755 $(O)/hpctl $(O)/hpd $(DESTDIR)$(BINDIR)
	install -D -m 755 $(O)/hpd-front $(DESTDIR)$(LIBEXECDIR)/hpd-front
	install -m 644 $(addprefix include/hp/,$(API)) $(DESTDIR)$(HPINCLUDE)
	install -D -m 644 tools/completion/hpctl.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/hpctl
	sed 's|/usr/share|$(PREFIX)/share|' tools/completion/_hpctl | \
		install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_hpctl
	install -D -m 644 tools/gdb/hp-gdb.py $(DESTDIR)$(PREFIX)/share/hp/hp-gdb.py
	$(foreach p,$(PUBLIC),$(call install_library,$(p))$(newline))
	sed 's|@BINDIR@|$(BINDIR)|g' tools/systemd/hpd.service.in > $(DESTDIR)$(UNITDIR)/hpd.service
	install -m 644 tools/systemd/hpd.socket $(DESTDIR)$(UNITDIR)
	$(foreach m,$(MAN),install -D -m 644 $(m) $(call man_to,$(m))/$(notdir $(m))$(newline))

uninstall:	## removes what install put there
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,hpctl hpd) $(DESTDIR)$(LIBEXECDIR)/hpd-front $(addprefix $(DESTDIR)$(UNITDIR)/,hpd.service hpd.socket)
	rm -f $(foreach m,$(MAN),$(call man_to,$(m))/$(notdir $(m)))
	rm -f $(addprefix $(DESTDIR)$(HPINCLUDE)/,$(API))
	rm -f $(foreach p,$(PUBLIC),$(addprefix $(DESTDIR)$(LIBDIR)/,$(files_$(p))))
	rm -f $(DESTDIR)$(PREFIX)/share/hp/hp-gdb.py
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hpctl
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_hpctl
	-rmdir $(DESTDIR)$(HPINCLUDE) $(DESTDIR)$(PREFIX)/share/hp $(DESTDIR)$(LIBEXECDIR)

define newline


endef

# The header dependencies of this build (the other builds lie in folders of their own).
-include $(shell find $(O)/userspace $(O)/pic $(O)/tests -name '*.d' 2>/dev/null)

.PHONY: all deb libs unit fuzzers tests services setup demo check soak bench fuzz lint format clean help install uninstall \
	lint-tidy lint-headers lint-layers
.SECONDARY: $(UNIT:=.o) $(FUZZ:=.o)
.PRECIOUS: build/bpf/%.bpf.o
.DELETE_ON_ERROR:
