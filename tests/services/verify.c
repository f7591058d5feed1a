/* SPDX-License-Identifier: MIT */
/*
 * verify [CALLERS [KINDS]] – a service that judges itself: its registers (general, x87, SSE, AVX),
 * signal masks, timers and blocked system calls are to be what they were, whatever is done to it.
 *
 *	callers		call verify_sum() and check arguments and result
 *	a control	does the same with a function that nobody replaces: what the machine, not
 *			hp, keeps a thread waiting for
 *	a spinner	holds a value in every register
 *	the blocked	verify_calls.c; KINDS: "futex,epoll," …, or "all"
 *
 * "ask" prints what a call gives: old or new.  "since" begins to measure the longest call anew; the
 * verdict has the callers' (longest_us) and the control's (control_us), the wait for a processor not
 * counted.  "slow MS": one more caller is always in a call of so many milliseconds; 0 ends that.
 */
#include "verify.h"
#include "svc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPINS	     20000
#define CALLS_A_NAP  64
#define NAP_US	     100
#define LONG_NS	     20000000 /* shorter calls are nobody's concern */

struct verify_truth verify_truth;
unsigned long verify_regs_bad, verify_masks_bad;
static unsigned long calls, new_calls, wrong, spins;
static uint64_t longest_ns, control_ns;
static long slow_ms;

__attribute__((noipa)) long verify_sum(long a, long b, long c, long d, long e, long f, long g,
				       double x, double y)
{
	long r;

	verify_begin(&verify_truth.old_active, &verify_truth.new_active);
	if (a < 0)
		svc_nap_us((unsigned)-a * 1000);
	r = a + b + c + d + e + f + g + (long)(x + y);
	verify_end(&verify_truth.old_active);
	return r;
}

__attribute__((noipa)) static long control_sum(long a, long b, long c, long d, long e, long f,
					       long g, double x, double y)
{
	return a + b + c + d + e + f + g + (long)(x + y);
}

void verify_fill(struct verify_regs *r, uint64_t seed)
{
	uint8_t *p = (uint8_t *)r;

	for (size_t i = 0; i < sizeof(*r); i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(seed >> 33);
	}
	r->mxcsr = seed & 1 ? 0x1f80 : 0x9fc0; /* exceptions masked; flush to zero */
	r->fcw = seed & 2 ? 0x37f : 0x27f;
	for (int i = 0; i < 4; i++) {
		r->st[i][7] |= 0x80; /* a normal number: the integer bit, an exponent of 1 … */
		r->st[i][8] = 0xff;
		r->st[i][9] = 0x3f;
	}
	r->avx = __builtin_cpu_supports("avx") != 0;
}

unsigned verify_differ(const struct verify_regs *in, const struct verify_regs *out, bool call)
{
	const uint64_t *a = &in->rax, *b = &out->rax;
	unsigned bad = 0;

	for (unsigned i = 0; i < 15; i++)
		/* a system call changes rax, rcx and r11 */
		if (a[i] != b[i] && !(call && (i == 0 || i == 2 || i == 10)))
			bad |= 1u << i;
	/* the flags of MXCSR that an instruction may set */
	if ((in->mxcsr & ~0x3fu) != (out->mxcsr & ~0x3fu) || in->fcw != out->fcw)
		bad |= 1u << 15;
	for (int i = 0; i < 4; i++)
		if (memcmp(in->st[i], out->st[i], 10))
			bad |= 1u << 16;
	for (int i = 0; i < 16; i++)
		if (memcmp(in->vec[i], out->vec[i], in->avx ? 32 : 16))
			bad |= 1u << 17;
	return bad;
}

static void note(uint64_t *longest, uint64_t took)
{
	uint64_t now = __atomic_load_n(longest, __ATOMIC_RELAXED);

	while (took > now && !__atomic_compare_exchange_n(longest, &now, took, true,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* How long this thread has been ready to run and was not, since the last time (proc(5), schedstat): who
 * comes back from the kernel in the middle of a call may wait there for a processor, and is not parked. */
static uint64_t waited_ns(void)
{
	static __thread int fd = -1;
	static __thread uint64_t last;
	uint64_t before = last, ran;
	char text[96];
	ssize_t n;

	if (fd < 0)
		fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	if (sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &last) != 2)
		return 0;
	return last - before;
}

typedef long sum_fn(long, long, long, long, long, long, long, double, double);

static void call(sum_fn *sum, long n, uint64_t *longest)
{
	uint64_t begin = svc_now_ns();
	long r = sum(n, 2, 3, 4, 5, 6, 7, 0.5, 1.5), new = r - 1000000;
	uint64_t took = svc_now_ns() - begin, waited = took > LONG_NS ? waited_ns() : 0;

	note(longest, took > waited ? took - waited : 0);
	if (sum == control_sum)
		return;
	__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	if (new == n + 29)
		__atomic_add_fetch(&new_calls, 1, __ATOMIC_RELAXED);
	else if (r != n + 29)
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static void *caller(void *arg)
{
	sum_fn *sum = arg;
	uint64_t *longest = sum == control_sum ? &control_ns : &longest_ns;

	for (long n = 0;; n++) {
		call(sum, n, longest);
		if (n % CALLS_A_NAP == 0) {
			svc_nap_us(NAP_US);
			(void)waited_ns(); /* from now on */
		}
	}
	return NULL;
}

static void *spinner(void *arg)
{
	sigset_t mine, now;

	sigemptyset(&mine);
	sigaddset(&mine, SIGWINCH);
	sigaddset(&mine, SIGRTMIN + 7);
	sigprocmask(SIG_SETMASK, &mine, NULL);
	for (uint64_t seed = 1;; seed++) {
		struct verify_regs in, out;

		verify_fill(&in, seed);
		out.avx = in.avx;
		verify_run(&in, &out, SPINS);
		if (verify_differ(&in, &out, false))
			__atomic_add_fetch(&verify_regs_bad, 1, __ATOMIC_RELAXED);
		pthread_sigmask(SIG_SETMASK, NULL, &now);
		if (memcmp(&mine, &now, 8))
			__atomic_add_fetch(&verify_masks_bad, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&spins, 1, __ATOMIC_RELAXED);
		svc_nap_us(50);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out,
		",\"calls\":%lu,\"new_calls\":%lu,\"wrong\":%lu,\"overlap\":%lu,\"spins\":%lu"
		",\"blocked\":%lu,\"short\":%lu,\"early\":%lu,\"regs\":%lu,\"masks\":%lu"
		",\"longest_us\":%lu,\"control_us\":%lu",
		calls, new_calls, wrong, verify_truth.overlap, spins, verify_blocked, verify_short,
		verify_early, verify_regs_bad, verify_masks_bad, longest_ns / 1000,
		control_ns / 1000);
	return !wrong && !verify_truth.overlap && !verify_short && !verify_early &&
	       !verify_regs_bad && !verify_masks_bad;
}

/* Is always in a call that lasts. */
static void *slow_caller(void *arg)
{
	for (;;) {
		long ms = __atomic_load_n(&slow_ms, __ATOMIC_RELAXED);

		if (ms)
			(void)verify_sum(-ms, 0, 0, 0, 0, 0, 0, 0, 0); /* not measured */
		else
			svc_nap_us(10000);
	}
	return NULL;
}

static bool command(const char *line)
{
	static bool slow;

	if (!strncmp(line, "slow ", 5)) {
		slow_ms = atol(line + 5);
		if (slow_ms && !slow)
			svc_thread(slow_caller, NULL);
		slow |= slow_ms;
		return true;
	}
	if (!strcmp(line, "ask"))
		printf("%s\n", verify_sum(1, 2, 3, 4, 5, 6, 7, 0.5, 1.5) < 1000 ? "old" : "new");
	else if (!strcmp(line, "since"))
		longest_ns = control_ns = 0;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	static const struct svc verify = {"verify", verdict, command};

	if (!verify_calls_start(argc > 2 ? argv[2] : "all")) {
		fprintf(stderr, "verify: no such kind of call: %s\n", argv[2]);
		return 2;
	}
	for (int i = svc_number(argc, argv, 1, 3); i > 0; i--)
		svc_thread(caller, verify_sum);
	svc_thread(caller, control_sum);
	svc_thread(spinner, NULL);
	svc_ready(&verify);
	while (svc_step(-1))
		;
	return svc_end();
}
