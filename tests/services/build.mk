# SPDX-License-Identifier: MIT
# The fake services and their patches.  They are targets: never built with a sanitizer, always with
# gcc, whose assumptions about callees (-fipa-ra, -fipa-stack-alignment) some of them are there for.

SVC	:= build/tests/services
SVC_SRC	:= tests/services
SVC_CC	?= gcc
SVC_CXX	?= g++
SVC_FLAGS := -D_GNU_SOURCE -Iinclude -I$(SVC_SRC) -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter \
	     -fno-common -pthread
SVC_CFLAGS := -std=gnu11 $(SVC_FLAGS)
SVC_HEADERS := $(wildcard $(SVC_SRC)/*.h) include/hp/patch.h
SVC_PATCH := $(SVC_CFLAGS) -shared -fPIC

# Programs of one file beside svc.c.
SVC_PLAIN := ticker stress jumper eventloop prefork retained stack guarded service
SVC_SERVERS := server server-static server-static-pie server-nopie server-stripped server-endbr \
	       server-split
SVC_PROGRAMS := $(SVC_PLAIN) $(SVC_SERVERS) cxx backtrace libsvc shorts methods many ipa_ra stackalign \
	       hostile verify graceful graceful-2 forger

# Patches whose name is their source's.
SVC_PATCHES_PLAIN := guarded_patch ticker_patch stress_patch jumper_patch eventloop_patch prefork_patch \
	retained_patch backtrace_patch ipa_ra_patch stackalign_patch shorts_patch nginx_patch redis_patch \
	postgres_patch server_patch shapes_patch \
	verify_patch server_plain_patch server_orig_patch server_init_patch server_hook_patch
# The others: name = source + flags.
SVC_V := stress_patch2 server_patch2 stackalign_plain libsvc_foo_c libsvc_bar_c libsvc_own \
	stack_a stack_b stack_c \
	hook_before_load hook_after_load hook_before_unload hook_after_unload hook_crash \
	wire_hp wire_bl wire_al wire_au wire_pan wire_sig server_hook_nolibc \
	bad_tls bad_tls_gd bad_undefined bad_textrel bad_build_id bad_old_name bad_needed
# rude_HOW_WHERE: rude_patch.c that does HOW in hook WHERE
rude_do_crash := *nowhere = 1
rude_do_loop := while (forever)
rude_do_strlen := length = strlen(no_string)
rude_do_abort := abort()
rude_do_exit := exit(3)
rude_do__exit := _exit(3)
rude_do_pthread-exit := pthread_exit(NULL)
rude_do_lock := pthread_mutex_lock(&hostile_lock); pthread_mutex_unlock(&hostile_lock)
rude_do_execve := execve("/bin/true", (char *[]){0}, (char *[]){0})
rude_in_before-load := -DWHERE=HPBeforeLoad
rude_in_after-load := -DWHERE=HPAfterLoad
rude_in_before-unload := -DWHERE=HPBeforeUnload
rude_in_after-unload := -DWHERE=HPAfterUnload
rude_in_constructor := -DIN_CONSTRUCTOR
rude_in_new-code := -DIN_NEW_CODE
SVC_RUDE := $(foreach how,crash loop strlen abort exit _exit pthread-exit execve lock,rude_$(how)_before-load) \
	$(foreach where,after-load before-unload after-unload constructor new-code,rude_crash_$(where))
rude_how = $(word 2,$(subst _, ,$(subst __,_~,$(1))))
define rude_variant
src_$(1) := rude_patch
flags_$(1) := -DDO='$(rude_do_$(subst ~,_,$(call rude_how,$(1))))' $(rude_in_$(lastword $(subst _, ,$(1))))
endef
$(foreach r,$(SVC_RUDE),$(eval $(call rude_variant,$(r))))
SVC_V += $(SVC_RUDE)

src_stress_patch2 := stress_patch
flags_stress_patch2 := -DVERSION=2
src_server_patch2 := server_patch
flags_server_patch2 := -DPLUS=2000
src_stackalign_plain := stackalign_patch
flags_stackalign_plain := -DPLAIN
src_libsvc_foo_c := libsvc_patch
flags_libsvc_foo_c := -DPLUS=10
src_libsvc_bar_c := libsvc_patch
flags_libsvc_bar_c := -DPLUS=20
src_libsvc_own := libsvc_patch
flags_libsvc_own := -DPLUS=30
src_stack_a := stack_patch
flags_stack_a := -DLAYER=A -DON_F -DON_G
src_stack_b := stack_patch
flags_stack_b := -DLAYER=B -DON_G -DON_H
src_stack_c := stack_patch
flags_stack_c := -DLAYER=C -DON_F -DON_G -DON_H
src_hook_before_load := server_hook_patch
flags_hook_before_load := -DFAIL_BEFORE_LOAD
src_hook_after_load := server_hook_patch
flags_hook_after_load := -DFAIL_AFTER_LOAD
src_hook_before_unload := server_hook_patch
flags_hook_before_unload := -DFAIL_BEFORE_UNLOAD
src_hook_after_unload := server_hook_patch
flags_hook_after_unload := -DFAIL_AFTER_UNLOAD
src_hook_crash := server_hook_patch
flags_hook_crash := -DCRASH
src_server_hook_nolibc := server_hook_patch
flags_server_hook_nolibc := -nostdlib
src_wire_hp := wire_patch
src_wire_bl := wire_patch
flags_wire_bl := -DBL
src_wire_al := wire_patch
flags_wire_al := -DAL
src_wire_au := wire_patch
flags_wire_au := -DAU
src_wire_pan := wire_patch
flags_wire_pan := -DPAN
src_wire_sig := wire_patch
flags_wire_sig := -DSIG
src_bad_tls := bad_patch
flags_bad_tls := -DBAD_TLS
src_bad_tls_gd := bad_patch
flags_bad_tls_gd := -DBAD_TLS_GD
src_bad_undefined := bad_patch
flags_bad_undefined := -DBAD_UNDEFINED
src_bad_textrel := bad_patch
flags_bad_textrel := -DBAD_TEXTREL -fno-pic -mcmodel=large -Wl,-z,notext,-z,lazy
src_bad_build_id := bad_patch
flags_bad_build_id := -DBAD_BUILD_ID
src_bad_old_name := bad_patch
flags_bad_old_name := -DBAD_OLD_NAME
src_bad_needed := bad_patch
flags_bad_needed := -L$(SVC) -Wl,--no-as-needed -lunloaded

SVC_MANY := many_patch_1 many_patch_10 many_patch_100 many_patch_600 many_patch_1000
SVC_PATCHES := $(SVC_PATCHES_PLAIN) $(SVC_V) $(SVC_MANY) cxx_patch cxx_thrower cxx_middle cxx_rude
# One program in many shapes.
SHAPES := plain O0 Os cet pfe pfe5 mfentry lto noplt gold-icf lld-icf clang pgo pgo-stripped static
SVC_SHAPES := $(SHAPES:%=$(SVC)/shapes-%)
SVC_MUSL := $(SVC)/musl $(SVC)/musl-static
SVC_TOOLS := $(SVC)/probe $(SVC)/peek $(SVC)/mdwe $(SVC)/driver $(SVC)/killer $(SVC)/netsvc $(SVC)/netload

services: $(SVC_PROGRAMS:%=$(SVC)/%) $(SVC_SHAPES) $(SVC_MUSL) $(SVC_PATCHES:%=$(SVC)/%.so) $(SVC_TOOLS) $(SVC)/server_patch.o

$(SVC)/.dir:
	$(Q)mkdir -p $(@D) && touch $@

# They take a second: every header is everybody's.
$(SVC_PROGRAMS:%=$(SVC)/%) $(SVC_PATCHES:%=$(SVC)/%.so): $(SVC_HEADERS)

svc_link = $(Q)$(SVC_CC) $(SVC_CFLAGS) -o $@ $(filter %.c %.S,$^)

$(SVC_PLAIN:%=$(SVC)/%): $(SVC)/%: $(SVC_SRC)/%.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)

$(SVC)/ipa_ra $(SVC)/stackalign: $(SVC)/%: $(SVC_SRC)/%.c $(SVC_SRC)/callsite.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)

$(SVC)/shorts: $(SVC_SRC)/shorts.c $(SVC_SRC)/callsite.c $(SVC_SRC)/shorts_fns.S $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)

$(SVC)/verify: $(addprefix $(SVC_SRC)/,verify.c verify_calls.c verify_run.S svc.c) | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)

$(SVC)/methods: $(SVC_SRC)/methods.c $(SVC_SRC)/methods_fns.S $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)

$(SVC)/hostile: $(SVC_SRC)/hostile.c $(SVC_SRC)/hostile_states.c $(SVC_SRC)/hostile_tasks.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)

# It writes hp's ledger with hp's own hand.
$(SVC)/forger: $(SVC_SRC)/forger.c $(SVC_SRC)/svc.c $(call upto,patch) | $(SVC)/.dir
	$(call say,SVC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -Iuserspace -Ibpf $(SANFLAGS) -Wl,--as-needed -o $@ $(filter %.c %.a,$^) $(LIBS)

# As a user links them: with the library, and nothing else of hp's.
$(SVC)/graceful-2: svc_version := -DVERSION=2
$(SVC)/graceful $(SVC)/graceful-2: $(SVC_SRC)/graceful.c $(O)/libhp-upgrade.a include/hp/upgrade.h | $(SVC)/.dir
	$(call say,SVC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) $(SANFLAGS) $(svc_version) -o $@ $< $(O)/libhp-upgrade.a

$(SVC)/server: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)
$(SVC)/server-static: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) -static
$(SVC)/server-static-pie: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) -static-pie
$(SVC)/server-nopie: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) -no-pie -fno-pie
$(SVC)/server-stripped: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) -rdynamic -s
$(SVC)/server-endbr: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) -fcf-protection=full
# Stripped of everything; its symbols lie in server-split.debug, found by build-id.
$(SVC)/server-split: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) -Wl,--build-id
	$(Q)objcopy --only-keep-debug $@ $@.debug && strip -s $@

# One source in the ways of other distributions and other people.
shapes_O0 := -O0
shapes_Os := -Os
shapes_cet := -fcf-protection=full
shapes_pfe := -fpatchable-function-entry=16,14
shapes_pfe5 := -fpatchable-function-entry=5
shapes_lto := -flto=auto
shapes_noplt := -fno-plt
shapes_gold-icf := -ffunction-sections -fuse-ld=gold -Wl,--icf=all
shapes_lld-icf := -ffunction-sections -fuse-ld=lld -Wl,--icf=all
shapes_pgo-stripped := -rdynamic -s
shapes_static := -static
shapes_src := $(addprefix $(SVC_SRC)/,shapes.c shapes_fns.S svc.c)
$(SVC_SHAPES): $(SVC)/shapes-%: $(shapes_src) $(SVC_HEADERS) | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) $(shapes_$*)
$(SVC)/shapes-clang: svc_link = $(Q)$(CLANG) $(SVC_CFLAGS) -o $@ $(filter %.c %.S,$^)
# Another C library, and a patch that needs none.
$(SVC_MUSL): $(SVC)/%: $(SVC_SRC)/server.c $(SVC_SRC)/svc.c $(SVC_HEADERS) | $(SVC)/.dir
	$(call say,SVC,$@)
	$(Q)musl-gcc $(SVC_CFLAGS) -o $@ $(filter %.c,$^) $(filter -static,$(subst musl,,$*))

# Five bytes of nop, as for ftrace; -pg is not for the link, where it brings a profiler.
$(SVC)/shapes-mfentry: svc_link = \
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -fno-pie -pg -mfentry -mnop-mcount -r -o $@.o $(filter %.c %.S,$^) && \
	$(SVC_CC) -no-pie -pthread -o $@ $@.o
# Trained without the cold cases.
$(SVC)/shapes-pgo $(SVC)/shapes-pgo-stripped: svc_link = \
	$(Q)rm -f $@*.gcda && $(SVC_CC) $(SVC_CFLAGS) -fprofile-generate -o $@ $(filter %.c %.S,$^) && $@ 20000 && \
	$(SVC_CC) $(SVC_CFLAGS) -fprofile-use -o $@ $(filter %.c %.S,$^)

$(SVC)/cxx $(SVC)/backtrace: $(SVC)/%: $(SVC_SRC)/%.cc $(SVC)/svc.o | $(SVC)/.dir
	$(call say,SVC,$@)
	$(Q)$(SVC_CXX) -std=gnu++17 $(SVC_FLAGS) -rdynamic -o $@ $< $(SVC)/svc.o
$(SVC)/svc.o: $(SVC_SRC)/svc.c $(SVC_SRC)/svc.h | $(SVC)/.dir
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -c -o $@ $<

$(SVC)/libfoo.so.1: $(SVC_SRC)/foo.c $(SVC_SRC)/bar.c | $(SVC)/.dir
	$(call say,SVC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -shared -fPIC -Wl,-soname,libfoo.so.1 -o $@ $(filter %.c,$^)
$(SVC)/libsvc: $(SVC_SRC)/libsvc.c $(SVC_SRC)/svc.c $(SVC)/libfoo.so.1 | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) $(SVC)/libfoo.so.1 -Wl,-rpath,'$$ORIGIN'

$(SVC)/many_fns.c: $(SVC_SRC)/many_gen.sh $(SVC_SRC)/many.h | $(SVC)/.dir
	$(Q)$< target 1000 > $@
$(SVC_MANY:%=$(SVC)/%.c): $(SVC)/many_patch_%.c: $(SVC_SRC)/many_gen.sh | $(SVC)/.dir
	$(Q)$< patch $* > $@
$(SVC)/many: $(SVC_SRC)/many.c $(SVC)/many_fns.c $(SVC_SRC)/svc.c
	$(call say,SVC,$@)
	$(svc_link)
$(SVC_MANY:%=$(SVC)/%.so): $(SVC)/%.so: $(SVC)/%.c
	$(call say,PATCH,$@)
	$(Q)$(SVC_CC) $(SVC_PATCH) -o $@ $<

$(SVC_PATCHES_PLAIN:%=$(SVC)/%.so): $(SVC)/%.so: $(SVC_SRC)/%.c | $(SVC)/.dir
	$(call say,PATCH,$@)
	$(Q)$(SVC_CC) $(SVC_PATCH) -o $@ $<

define svc_variant
$(SVC)/$(1).so: $(SVC_SRC)/$(src_$(1)).c | $(SVC)/.dir
	$$(call say,PATCH,$$@)
	$$(Q)$$(SVC_CC) $$(SVC_PATCH) -o $$@ $$< $$(flags_$(1))
endef
$(foreach v,$(SVC_V),$(eval $(call svc_variant,$(v))))

$(SVC)/bad_needed.so: $(SVC)/libunloaded.so
$(SVC)/libunloaded.so: $(SVC_SRC)/foo.c | $(SVC)/.dir
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -shared -fPIC -Wl,-soname,libunloaded.so.3 -o $@ $<

$(SVC)/cxx_patch.so $(SVC)/cxx_thrower.so $(SVC)/cxx_middle.so $(SVC)/cxx_rude.so: $(SVC_SRC)/cxx_patch.cc | $(SVC)/.dir
	$(call say,PATCH,$@)
	$(Q)$(SVC_CXX) -std=gnu++17 $(SVC_FLAGS) -shared -fPIC $(cxx_only) -o $@ $<
$(SVC)/cxx_thrower.so: cxx_only := -DONLY_THROWER
$(SVC)/cxx_middle.so: cxx_only := -DONLY_MIDDLE
$(SVC)/cxx_rude.so: cxx_only := -DTHROWING_HOOK

$(SVC)/server_patch.o: $(SVC_SRC)/server_patch.c | $(SVC)/.dir
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -fPIC -c -o $@ $<

$(SVC)/peek $(SVC)/probe $(SVC)/mdwe: $(SVC)/%: $(SVC_SRC)/%.c | $(SVC)/.dir
	$(call say,CC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -o $@ $<
$(SVC)/driver $(SVC)/killer: $(SVC)/%: $(SVC_SRC)/%.c $(SVC_SRC)/call.c $(SVC_SRC)/served.c \
		$(SVC_SRC)/call.h $(SVC_SRC)/served.h | $(SVC)/.dir
	$(call say,CC,$@)
	$(Q)$(SVC_CC) $(SVC_CFLAGS) -o $@ $(filter %.c,$^) -ljansson

$(SVC)/netsvc: $(SVC_SRC)/netsvc.c $(SVC_SRC)/net.c $(SVC_SRC)/net.h | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link) -luring
$(SVC)/netload: $(SVC_SRC)/netload.c $(SVC_SRC)/net.c $(SVC_SRC)/svc.c $(SVC_HEADERS) | $(SVC)/.dir
	$(call say,SVC,$@)
	$(svc_link)

.PHONY: services
