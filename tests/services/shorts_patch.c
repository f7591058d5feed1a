/* SPDX-License-Identifier: MIT */
/* Returns 77, whatever it replaces. */
int new_any(void);

int new_any(void)
{
	return 77;
}
