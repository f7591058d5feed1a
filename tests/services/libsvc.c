/* SPDX-License-Identifier: MIT */
/*
 * libsvc – the functions lie in a shared library, two of them static ones of the same name, a
 * third of that name in the program itself.  "ask" prints what each returns for 0.
 */
#include "foo.h"
#include "svc.h"

#include <string.h>

static unsigned long calls, wrong;

__attribute__((noipa)) static int helper(int x)
{
	return x + 30;
}

static bool one_of(int r, int a, int b)
{
	return r == a || r == b;
}

static void *caller(void *arg)
{
	for (;;) {
		bool ok = one_of(foo(5), 6, 1006) && one_of(foo_helper(5), 15, 1015) &&
			  one_of(bar_helper(5), 25, 1025) && one_of(helper(5), 35, 1035);

		if (!ok)
			wrong++;
		calls += 4;
		svc_nap_us(100);
	}
	return NULL;
}

static bool verdict(FILE *out)
{
	fprintf(out, ",\"calls\":%lu,\"wrong\":%lu", calls, wrong);
	return !wrong;
}

static bool command(const char *line)
{
	if (strcmp(line, "ask"))
		return false;
	printf("foo=%d foo.c=%d bar.c=%d own=%d\n", foo(0), foo_helper(0), bar_helper(0),
	       helper(0));
	return true;
}

int main(void)
{
	static const struct svc libsvc = {"libsvc", verdict, command};

	svc_thread(caller, NULL);
	svc_ready(&libsvc);
	while (svc_step(-1))
		;
	return svc_end();
}
