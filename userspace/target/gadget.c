/* SPDX-License-Identifier: MIT */
#include "target/gadget.h"

#include <string.h>

#include "elf/image.h"
#include "hp/err.h"
#include "target/module.h"

struct pattern {
	uint8_t bytes[9];
	size_t n;
};

static const struct pattern syscall_ret = {{0x0f, 0x05, 0xc3}, 3};

/* mov $15,%rax; syscall (glibc, musl), and mov $15,%eax; syscall */
static const struct pattern restorer[] = {
	{{0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05}, 9},
	{{0xb8, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05}, 7},
};
#define N_RESTORER (sizeof(restorer) / sizeof(restorer[0]))

struct search {
	struct hp_target *t;
	const struct pattern *p;
	hp_addr *out;
	size_t n, max;
};

/* The file says where it is, the memory whether it is still there. */
static bool verified(const struct hp_target *t, hp_addr at, const struct pattern *p)
{
	uint8_t now[sizeof(p->bytes)];

	return hp_mem_read(t, at, now, p->n, NULL) == 0 && memcmp(now, p->bytes, p->n) == 0;
}

static int search_text(void *arg, hp_addr at, const uint8_t *bytes, size_t n)
{
	struct search *s = arg;
	const uint8_t *p = bytes;

	while (s->n < s->max) {
		p = memmem(p, n - (size_t)(p - bytes), s->p->bytes, s->p->n);
		if (!p)
			return 0;
		if (verified(s->t, at + (hp_addr)(p - bytes), s->p))
			s->out[s->n++] = at + (hp_addr)(p - bytes);
		p++;
	}
	return 1;
}

static size_t search(struct hp_target *t, const struct pattern *p, hp_addr *out, size_t max)
{
	struct search s = {.t = t, .p = p, .out = out, .max = max};

	/* libc has both, and need not be searched as long as a large program. */
	for (int libc = 1; libc >= 0; libc--)
		for (size_t i = 0; i < t->n_modules; i++)
			if (hp_module_is_libc(&t->module[i]) == libc &&
			    hp_module_each_text(&t->module[i], search_text, &s))
				return s.n;
	return s.n;
}

static bool find(struct hp_target *t, hp_addr *at, const struct pattern *p)
{
	if (*at && verified(t, *at, p))
		return true;
	*at = 0;
	return search(t, p, at, 1) == 1;
}

int hp_gadgets_find(struct hp_target *t, struct hp_err *err)
{
	if (!find(t, &t->gadget, &syscall_ret))
		return hp_err_set(err, -HP_E_TARGET,
				  "process %d (%s) has no `syscall; ret` in its code to borrow",
				  (int)t->pid, t->comm);
	for (size_t i = 0; i < N_RESTORER; i++)
		if (find(t, &t->restorer, &restorer[i]))
			return 0;
	return hp_err_set(err, -HP_E_TARGET,
			  "process %d (%s) has no signal return trampoline in its code to borrow",
			  (int)t->pid, t->comm);
}

size_t hp_restorers_all(struct hp_target *t, hp_addr out[HP_RESTORERS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < N_RESTORER && n < HP_RESTORERS_MAX; i++)
		n += search(t, &restorer[i], out + n, HP_RESTORERS_MAX - n);
	return n;
}
