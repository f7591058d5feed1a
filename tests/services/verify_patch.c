/* SPDX-License-Identifier: MIT */
#include "svc.h"
#include "verify.h"

#include <hp/patch.h>

long new_sum(long a, long b, long c, long d, long e, long f, long g, double x, double y);

HP_NEW long new_sum(long a, long b, long c, long d, long e, long f, long g, double x, double y)
{
	long r;

	verify_begin(&verify_truth.new_active, &verify_truth.old_active);
	if (a < 0)
		svc_nap_us((unsigned)-a * 1000);
	r = 1000000 + a + b + c + d + e + f + g + (long)(x + y);
	verify_end(&verify_truth.new_active);
	return r;
}
HP_REPLACE(new_sum, "verify_sum");
