/* SPDX-License-Identifier: MIT */
/*
 * shorts – calls the functions of shorts_fns.S; "ask" prints what they return.  "overwrite" changes
 * the entry of jcc_entry(), as another patcher would.
 */
#include "callsite.h"
#include "svc.h"

#include <string.h>

int ret_close(void);
int neighbour(void);
int ret_roomy(void);
int three_close(void);
int neighbour2(void);
int three_roomy(void);
int loop_entry(int n, int sum);
int loop_head(int n, int sum);
int jump_entry(void);
int rip_entry(void);
int call_entry(void);
int jcc_entry(void);
int jrcxz_entry(int a, int b, int c, int in_rcx);

int shorts_eight = 8;
char shorts_room[1 << 20]; /* what lies above the text: see neighbour2 */

static unsigned long calls, wrong;
static int pause_asked, paused;

static void expect(int r, int old)
{
	calls++;
	if (r != old && r != 77)
		wrong++;
}

static void *caller(void *arg)
{
	for (;;) {
		ret_close();
		ret_roomy();
		expect(neighbour(), 5);
		expect(three_close(), 0);
		expect(neighbour2(), 6);
		expect(three_roomy(), 0);
		expect(loop_entry(4, 0), 10);
		expect(loop_head(4, 0), 10);
		expect(jump_entry(), 7);
		expect(rip_entry(), 8);
		expect(call_entry(), 9);
		expect(jcc_entry(), 10);
		expect(jrcxz_entry(0, 0, 0, 1), 11);
		svc_nap_us(50);
		while (__atomic_load_n(&pause_asked, __ATOMIC_SEQ_CST)) {
			__atomic_store_n(&paused, 1, __ATOMIC_SEQ_CST);
			svc_nap_us(50);
		}
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"calls\":%lu,\"wrong\":%lu", calls, wrong);
	return !wrong;
}

__attribute__((noipa)) static int ten(void)
{
	return 10;
}

/* Nobody may be in the bytes that change. */
static void overwrite(void)
{
	__atomic_store_n(&pause_asked, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&paused, __ATOMIC_SEQ_CST))
		svc_nap_us(50);
	callsite_overwrite((void *)jcc_entry, (void *)ten);
	__atomic_store_n(&pause_asked, 0, __ATOMIC_SEQ_CST);
	printf("overwritten\n");
}

static bool command(const char *line)
{
	if (!strcmp(line, "overwrite")) {
		overwrite();
		return true;
	}
	if (strcmp(line, "ask"))
		return false;
	printf("neighbour=%d three_close=%d three_roomy=%d loop_entry=%d loop_head=%d "
	       "jump_entry=%d rip_entry=%d call_entry=%d jcc_entry=%d jrcxz_entry=%d\n",
	       neighbour(), three_close(), three_roomy(), loop_entry(4, 0), loop_head(4, 0),
	       jump_entry(), rip_entry(), call_entry(), jcc_entry(), jrcxz_entry(0, 0, 0, 1));
	return true;
}

int main(void)
{
	static const struct svc shorts = {"shorts", verdict, command};

	svc_thread(caller, NULL);
	svc_ready(&shorts);
	while (svc_step(-1))
		;
	return svc_end();
}
