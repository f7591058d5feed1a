/* SPDX-License-Identifier: MIT */
/*
 * forger LIE – serves as the plainest service does; on "forge" it rewrites what hp has written into it,
 * in its own memory, as LIE says: with right checksums, so that only what is said can be doubted.
 * "storm" does so over and over, with another lie each time.  "forger" alone prints the lies, but for those
 * that hold up whoever looks (62-held-up).
 *
 * It knows hp's ledger by hp's own headers.  Meanwhile it looks after what is none of hp's business:
 * memory between guard pages, and the code of its C library.
 */
#include "svc.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/block.h"
#include "patch/ledger.h"

#define GUARD_PAGES 4
#define CROWD	    300
#define FULL	    20 /* ledgers with as many functions as there can be in one */
#define GUARD_BYTE  0x5a

int counter;

static unsigned long calls, wrong;
static uint8_t *guard; /* GUARD_PAGES, nothing on either side */
static uint64_t libc_lo, libc_hi, libc_hash;
static struct hp_ledger true_one, false_one;
static uint8_t *area;
static size_t area_n;
static volatile bool storming;

__attribute__((noipa)) int answer(int x)
{
	return x + 1;
}

static void *caller(void *arg)
{
	for (int x = 0;; x = (x + 1) & 0xfff) {
		int r = answer(x);

		if (r != x + 1 && r != x + 1000)
			wrong++;
		calls++;
		if (x % 16 == 0)
			svc_nap_us(50000); /* there are many of us */
	}
	return NULL;
}

/* --- the lies ------------------------------------------------------------------------------------- */

#define EVERYWHERE ((uintptr_t)guard)
#define KERNEL	   0xffffffff81000000ull

/* X(name, what is done to l and f) */
#define LIES(X)                                                                                    \
	X(honest, (void)f)                                                                         \
	X(version, f->version++)                                                                   \
	X(magic, f->magic++)                                                                       \
	X(no_functions, f->n_fns = 0)                                                              \
	X(more_functions, f->n_fns = HP_LEDGER_FNS)                                                \
	X(more_ranges, f->n_ranges = HP_LEDGER_RANGES)                                             \
	X(no_ranges, f->n_ranges = 0)                                                              \
	X(more_text, f->text_n = HP_LEDGER_TEXT)                                                   \
	X(text_without_end, (memset(f->text, 'm', 40), f->text_n = 40))                            \
	X(text_of_bytes, (memcpy(f->text, "m\033[2J\0\377\376\n", 10), f->text_n = 10))              \
	X(area_elsewhere, f->area_lo = EVERYWHERE)                                                 \
	X(area_of_all, f->area_hi = ~0ull)                                                         \
	X(gate_in_ledger, f->gate = f->gate_back = f->area_lo)                                     \
	X(table_in_code, f->table = f->code)                                                       \
	X(id_of_dots, memcpy(f->id, "../../../../etc/passwd", 22))                                 \
	X(id_of_bytes, memset(f->id, 0xff, 8))                                                     \
	X(id_of_another, memset(f->id, 'a', 8))                                                    \
	X(file_of_bytes, memset(f->file, 0xfe, sizeof(f->file) - 1))                               \
	X(name_of_bytes, memset(f->fn[0].old_name, 0xfd, HP_LEDGER_NAME - 1))                      \
	X(name_of_escapes, memcpy(f->fn[0].new_name, "\033]0;x\a\r\n", 9))                         \
	X(another_pid, f->pid = 1)                                                                 \
	X(another_start, f->start_time++)                                                          \
	X(mode, f->mode = 77)                                                                      \
	X(relaxed, f->mode = HP_MODE_RELAXED)                                                      \
	X(time, f->loaded_wall_ns = ~0ull)                                                         \
	X(function_in_libc, f->fn[0].addr = (uintptr_t)strlen)                                     \
	X(function_in_guard, f->fn[0].addr = EVERYWHERE)                                           \
	X(function_in_kernel, f->fn[0].addr = KERNEL)                                              \
	X(function_at_0, f->fn[0].addr = 0)                                                        \
	X(function_at_end, f->fn[0].addr = ~0ull)                                                  \
	X(function_of_all, f->fn[0].size = ~0ull)                                                  \
	X(function_of_libc, (f->fn[0].addr = libc_lo, f->fn[0].size = libc_hi - libc_lo))          \
	X(function_of_nothing, f->fn[0].size = 0)                                                  \
	X(new_in_libc, f->fn[0].new_addr = (uintptr_t)strlen)                                      \
	X(new_in_guard, f->fn[0].new_addr = EVERYWHERE)                                            \
	X(new_of_all, f->fn[0].new_size = ~0ull)                                                   \
	X(stub_in_libc, f->fn[0].stub = (uintptr_t)strlen)                                         \
	X(door_in_guard, f->fn[0].door = EVERYWHERE)                                               \
	X(door_in_kernel, f->fn[0].door = KERNEL)                                                  \
	X(door_at_end, f->fn[0].door = ~0ull - 3)                                                  \
	X(head_of_all, f->fn[0].head_len = 255)                                                    \
	X(other_method, f->fn[0].method = HP_ENTRY_INT3)                                           \
	X(other_slot, f->fn[0].slot = HP_BANK_FNS - 1)                                             \
	X(watchable, f->fn[0].watchable = f->fn[0].new_watchable = 255)                            \
	X(other_bytes, memset(f->fn[0].orig, 0x90, 5))                                             \
	X(bank_in_guard, f->bank[0] = EVERYWHERE)                                                  \
	X(bank_in_kernel, f->bank[0] = KERNEL)                                                     \
	X(bank_at_end, f->bank[0] = ~0ull - 0x1000)                                                \
	X(all_banks, f->n_banks = HP_LEDGER_BANKS)                                                 \
	X(patch_of_all, (f->patch_lo = 0, f->patch_hi = ~0ull))                                    \
	X(patch_of_libc, (f->patch_lo = libc_lo, f->patch_hi = libc_hi))                           \
	X(patch_of_guard, (f->patch_lo = EVERYWHERE, f->patch_hi = EVERYWHERE + HP_PAGE))          \
	X(range_of_all, (f->range[0].lo = 0, f->range[0].hi = ~0ull))                              \
	X(range_of_libc, (f->range[1].lo = libc_lo, f->range[1].hi = libc_hi))                     \
	X(range_of_guard, (f->range[1].lo = EVERYWHERE, f->range[1].hi = EVERYWHERE + HP_PAGE))    \
	X(range_backwards, (f->range[1].lo = EVERYWHERE, f->range[1].hi = 1))                      \
	X(hook_in_guard, f->hook[HP_HOOK_BEFORE_UNLOAD] = EVERYWHERE)                              \
	X(hook_in_kernel, f->hook[HP_HOOK_AFTER_UNLOAD] = KERNEL)                                  \
	X(fini_in_guard, (f->n_fini = 8, f->fini[0] = EVERYWHERE))                                 \
	X(frames, (f->n_frames = HP_LEDGER_FRAMES, f->deregister_frame = EVERYWHERE))              \
	X(text_of_hook, (f->hook_text = KERNEL, f->hook_text_bytes = ~0u))                         \
	X(last_sequence, l->state[0].sequence = l->state[1].sequence = ~0ull)                      \
	X(no_state, memset(l->state, 0, sizeof(l->state)))                                         \
	X(phase_mapped, set_phase(l, HP_PHASE_MAPPED))                                             \
	X(phase_entry, set_phase(l, HP_PHASE_ENTRY))                                               \
	X(phase_loading, set_phase(l, HP_PHASE_LOADING))                                           \
	X(phase_loaded, set_phase(l, HP_PHASE_LOADED))                                             \
	X(phase_unloading, set_phase(l, HP_PHASE_UNLOADING))                                       \
	X(phase_removing, set_phase(l, HP_PHASE_REMOVING))                                         \
	X(phase_retained, set_phase(l, HP_PHASE_RETAINED))                                         \
	X(phase_of_none, set_phase(l, (enum hp_phase)77))                                          \
	X(circle, lead_round(l))                                                                   \
	X(crowd, gather(l, CROWD, "1234567890abcdef"))                                             \
	X(crowd_of_names, gather(l, 3, "\n7f0000000000-7f0000001000 rwxp 00000000 00:00 0 /"))     \
	X(crowd_of_functions, (swell(l), gather(l, FULL, "1234567890abcdef")))                      \
	X(same_again, gather(l, 1, l->fixed.id))

#define HOLD_UPS(X)                                                                                \
	X(endless, stretch(l, 256ul << 20))                                                        \
	X(cut_off, (stretch(l, 4ul << 20), svc_thread(cut, NULL)))                                 \
	X(silent, fall_silent())

static void set_phase(struct hp_ledger *l, enum hp_phase p)
{
	(void)hp_ledger_set_phase(l, NULL, p, NULL); /* without a target it cannot fail */
}

static void may_be_written(uint64_t at)
{
	if (mprotect((void *)HP_PAGE_DOWN(at), HP_PAGE, PROT_READ | PROT_WRITE))
		perror("mprotect");
}

/* The old code of the patch is the patch.  Whoever calls would never come back. */
static void lead_round(struct hp_ledger *l)
{
	hp_addr bank = l->fixed.bank[0];
	struct hp_slots *s = (struct hp_slots *)(bank + HP_BANK_SLOTS);

	may_be_written((uintptr_t)s);
	s->old[l->fixed.fn[0].slot] = hp_inner_stub(bank, l->fixed.fn[0].slot);
}

/* More mappings of such a name, each with a ledger that holds. */
static void gather(struct hp_ledger *l, unsigned n, const char *name)
{
	size_t room = l->fixed.area_hi - l->fixed.area_lo;
	char file[200];
	int fd;

	snprintf(file, sizeof(file), "hp-patch-%.16s", name);
	if (strlen(name) > 16)
		snprintf(file, sizeof(file), "hp-patch-%s", name);
	for (unsigned i = 0; i < n; i++) {
		static struct hp_ledger copy;
		struct hp_ledger_fixed *f = &copy.fixed;
		uint64_t *const part[] = {&f->area_lo, &f->area_hi, &f->table, &f->gate,
					  &f->gate_back, &f->data, &f->code};
		uint8_t *at;

		fd = memfd_create(file, MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)room))
			break;
		at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		close(fd);
		if (at == MAP_FAILED)
			break;
		copy = *l;
		for (size_t k = 0; k < sizeof(part) / sizeof(part[0]); k++)
			*part[k] += (uintptr_t)at - l->fixed.area_lo;
		f->loaded_wall_ns += i + 1;
		hp_ledger_seal(&copy);
		hp_ledger_pack(&copy, at);
		mprotect(at, HP_PAGE, PROT_READ); /* so that they are mappings of their own */
	}
}

/* As many functions as there can be, with names that take much room. */
static void swell(struct hp_ledger *l)
{
	struct hp_ledger_fixed *f = &l->fixed;

	f->n_fns = HP_LEDGER_FNS;
	for (unsigned i = 0; i < HP_LEDGER_FNS; i++) {
		f->fn[i] = f->fn[0];
		memset(f->fn[i].old_name, 1, HP_LEDGER_NAME - 1);
		memset(f->fn[i].new_name, 1, HP_LEDGER_NAME - 1);
	}
	f->area_hi = f->area_lo + area_n +
		     HP_PAGE_UP(hp_ledger_size(f->n_fns, f->n_ranges, f->text_n));
}

/* Code that is all zeros, which are instructions, and takes no room. */
static int code_fd = -1;
static uint64_t code_n;

static uint64_t map_code(void)
{
	const Elf64_Phdr text = {.p_type = PT_LOAD,
				 .p_flags = PF_R | PF_X,
				 .p_filesz = code_n,
				 .p_memsz = code_n,
				 .p_align = HP_PAGE};
	const Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					     ELFDATA2LSB, EV_CURRENT},
				 .e_type = ET_DYN,
				 .e_machine = EM_X86_64,
				 .e_version = EV_CURRENT,
				 .e_ehsize = sizeof(head),
				 .e_phoff = sizeof(head),
				 .e_phentsize = sizeof(text),
				 .e_phnum = 1};
	void *at;

	code_fd = memfd_create("code", MFD_CLOEXEC);
	if (code_fd < 0 || ftruncate(code_fd, (off_t)code_n) ||
	    pwrite(code_fd, &head, sizeof(head), 0) != sizeof(head) ||
	    pwrite(code_fd, &text, sizeof(text), sizeof(head)) != sizeof(text))
		return 0;
	at = mmap(NULL, code_n, PROT_READ | PROT_EXEC, MAP_PRIVATE, code_fd, 0);
	return at == MAP_FAILED ? 0 : (uintptr_t)at;
}

/* Its functions are @n bytes long, and threads in them are to be counted. */
static void stretch(struct hp_ledger *l, uint64_t n)
{
	struct hp_ledger_fixed *f = &l->fixed;
	uint64_t at;

	code_n = n;
	at = map_code();
	f->mode = HP_MODE_RELAXED;
	for (unsigned i = 0; i < f->n_fns; i++) {
		f->fn[i].addr = f->fn[i].new_addr = at + HP_PAGE;
		f->fn[i].size = f->fn[i].new_size = code_n - HP_PAGE;
	}
}

static void *cut(void *arg)
{
	for (;;) {
		if (ftruncate(code_fd, HP_PAGE) || ftruncate(code_fd, (off_t)code_n))
			break;
		svc_nap_us(1000);
	}
	return NULL;
}

/* One more mapping of such a name, of which nobody ever gives a page. */
static void fall_silent(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register all = {.range.len = HP_PAGE, .mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = memfd_create("hp-patch-1234567890abcdef", MFD_CLOEXEC);
	int silence = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	void *at = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, HP_PAGE))
		at = mmap(NULL, HP_PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	all.range.start = (uintptr_t)at;
	if (at == MAP_FAILED || silence < 0 || ioctl(silence, UFFDIO_API, &api) ||
	    ioctl(silence, UFFDIO_REGISTER, &all))
		perror("silence"); /* and the test finds that it holds nobody up */
}

#define DEFINE(name, what)                                                                         \
	static void lie_##name(struct hp_ledger *l)                                                \
	{                                                                                          \
		struct hp_ledger_fixed *f = &l->fixed;                                             \
												   \
		what;                                                                              \
		(void)f;                                                                           \
	}
LIES(DEFINE)
HOLD_UPS(DEFINE)

static const struct lie {
	const char *name;
	void (*tell)(struct hp_ledger *l);
} lies[] = {
#define ENTRY(name, what) {#name, lie_##name},
	LIES(ENTRY)
}, hold_ups[] = {
	HOLD_UPS(ENTRY)
};
#define N_LIES (sizeof(lies) / sizeof(lies[0]))
#define N_HOLD_UPS (sizeof(hold_ups) / sizeof(hold_ups[0]))

static const struct lie *mine;

/* --- telling them ----------------------------------------------------------------------------------- */

/* The first mapping of the file @name, whole. */
static bool find(const char *name, bool first, uint64_t *lo, uint64_t *hi)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4352];
	bool found = false;

	while (f && fgets(line, sizeof(line), f)) {
		uint64_t a, b;

		if (!strstr(line, name) || sscanf(line, "%" SCNx64 "-%" SCNx64, &a, &b) != 2)
			continue;
		if (!found)
			*lo = a;
		*hi = b;
		found = true;
		if (first)
			break;
	}
	if (f)
		fclose(f);
	return found;
}

static bool read_true_one(void)
{
	struct hp_ledger_fixed *f = &true_one.fixed;
	uint64_t lo, hi;

	if (!find("/memfd:hp-patch-", true, &lo, &hi))
		return false;
	area = (uint8_t *)lo;
	memcpy(&true_one, area, offsetof(struct hp_ledger, fixed.fn));
	memcpy(f->fn, area + hp_ledger_size(0, 0, 0), f->n_fns * sizeof(f->fn[0]));
	memcpy(f->range, area + hp_ledger_size(f->n_fns, 0, 0), f->n_ranges * sizeof(f->range[0]));
	memcpy(f->text, area + hp_ledger_size(f->n_fns, f->n_ranges, 0), f->text_n);
	area_n = f->area_hi - f->area_lo;
	return mprotect(area, HP_PAGE_UP(hp_ledger_size(f->n_fns, f->n_ranges, f->text_n)),
			PROT_READ | PROT_WRITE) == 0;
}

static void tell(const struct lie *lie)
{
	static uint8_t packed[sizeof(struct hp_ledger)];
	struct hp_ledger_fixed *f = &false_one.fixed;
	size_t n = hp_ledger_size(true_one.fixed.n_fns, true_one.fixed.n_ranges, true_one.fixed.text_n);

	false_one = true_one;
	lie->tell(&false_one);
	hp_ledger_seal(&false_one);
	hp_ledger_pack(&false_one, packed);
	/* What was there is there, however much it says that there is. */
	if (hp_ledger_size(f->n_fns, f->n_ranges, f->text_n) < n)
		n = hp_ledger_size(f->n_fns, f->n_ranges, f->text_n);
	memcpy(area, packed, n > HP_PAGE ? HP_PAGE : n);
}

static void *storm(void *arg)
{
	unsigned seed = (unsigned)getpid();

	while (storming) {
		const struct lie *lie = &lies[(unsigned)rand_r(&seed) % N_LIES];

		/* Those add to what is there. */
		if (strncmp(lie->name, "crowd", 5) && strcmp(lie->name, "same_again") &&
		    strcmp(lie->name, "circle"))
			tell(lie);
	}
	tell(&lies[0]);
	return NULL;
}

/* --- what is nobody's business ------------------------------------------------------------------------ */

static uint64_t hash(uint64_t lo, uint64_t hi)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, of words */

	for (const uint64_t *p = (const uint64_t *)lo; p < (const uint64_t *)hi; p++)
		h = (h ^ *p) * 0x100000001b3u;
	return h;
}

static bool find_libc_code(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4352];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " r-xp ") && strstr(line, "/libc.so.6") &&
			sscanf(line, "%" SCNx64 "-%" SCNx64, &libc_lo, &libc_hi) == 2;
	if (f)
		fclose(f);
	return found;
}

static bool set_up_guard(void)
{
	uint8_t *p = mmap(NULL, (GUARD_PAGES + 2) * HP_PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	guard = p + HP_PAGE;
	if (p == MAP_FAILED || mprotect(guard, GUARD_PAGES * HP_PAGE, PROT_READ | PROT_WRITE) ||
	    !find_libc_code())
		return false;
	memset(guard, GUARD_BYTE, GUARD_PAGES * HP_PAGE);
	libc_hash = hash(libc_lo, libc_hi);
	return true;
}

static bool intact(void)
{
	for (size_t i = 0; i < GUARD_PAGES * HP_PAGE; i++)
		if (guard[i] != GUARD_BYTE)
			return false;
	return hash(libc_lo, libc_hi) == libc_hash;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"lie\":\"%s\",\"calls\":%lu,\"wrong\":%lu,\"intact\":%s", mine->name, calls,
		wrong, intact() ? "true" : "false");
	return !wrong && intact();
}

static bool command(const char *line)
{
	if (!strcmp(line, "forge") || !strcmp(line, "storm")) {
		if (!area && !read_true_one()) {
			puts("nothing to forge");
			return true;
		}
		if (*line == 's') {
			storming = true;
			svc_thread(storm, NULL);
		} else {
			tell(mine);
		}
		printf("it says %s\n", mine->name);
		return true;
	}
	if (!strcmp(line, "calm")) {
		storming = false;
		puts("calm");
		return true;
	}
	if (strncmp(line, "ask ", 4))
		return false;
	printf("answer %d\n", answer(atoi(line + 4)));
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc forger = {"forger", verdict, command};

	for (size_t i = 0; i < N_LIES; i++) {
		if (argc == 1)
			puts(lies[i].name);
		else if (!strcmp(argv[1], lies[i].name))
			mine = &lies[i];
	}
	for (size_t i = 0; i < N_HOLD_UPS && argc > 1; i++)
		if (!strcmp(argv[1], hold_ups[i].name))
			mine = &hold_ups[i];
	if (argc == 1)
		return 0;
	if (!mine || !set_up_guard())
		return 2;
	svc_thread(caller, NULL);
	svc_ready(&forger);
	while (svc_step(-1))
		;
	return svc_end();
}
