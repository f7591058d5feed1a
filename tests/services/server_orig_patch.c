/* SPDX-License-Identifier: MIT */
/* Calls the old code by HP_ORIG, the target's TLS variable by TPOFF, and itself by the old name. */
#include <hp/patch.h>

extern __thread int own_number __attribute__((tls_model("initial-exec")));
int answer(int x);
int new_answer(int x);

HP_ORIG(int, answer, (int x));
HP_REF(int *, Counter, "counter");

HP_NEW int new_answer(int x)
{
	if (x < 0)
		return answer(-x);
	__atomic_add_fetch(Counter, 1, __ATOMIC_RELAXED);
	return answer_orig(x) + 999 + (own_number == 42 ? 0 : 5);
}

HP_REPLACE(new_answer, "answer");
HP_META("cve", "CVE-2026-0001");
HP_META("description", "adds 999 to every answer");
