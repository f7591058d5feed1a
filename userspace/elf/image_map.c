/* SPDX-License-Identifier: MIT */
/*
 * Whoever owns a file may make it shorter at any instant, and to read a page that is gone is a SIGBUS:
 * nobody is to end a job in this way.  Such a page and what lies behind it are zeros from then on, as if
 * he had written them, and the image says so.
 */
#include "elf/image_priv.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/addr.h"
#include "hp/err.h"

static TAILQ_HEAD(, hp_image) all = TAILQ_HEAD_INITIALIZER(all);

/* Of one thread, in the middle of reading an image: nobody changes the list meanwhile. */
static struct hp_image *image_at(const uint8_t *at)
{
	struct hp_image *im;

	TAILQ_FOREACH(im, &all, mapped)
		if (at >= im->bytes && at < im->bytes + im->size)
			return im;
	return NULL;
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	const uint8_t *at = info->si_addr;
	struct hp_image *im = image_at(at);
	int kept = errno;

	if (im) {
		uint8_t *page = (uint8_t *)HP_PAGE_DOWN((uintptr_t)at);
		size_t n = (size_t)(im->bytes + HP_PAGE_UP(im->size) - page);

		if (mmap(page, n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
			im->cut = true;
			errno = kept;
			return;
		}
	}
	(void)signal(SIGBUS, SIG_DFL); /* it happens again at once, and ends us */
}

int hp_image_map(struct hp_image *im, struct hp_err *err)
{
	const struct sigaction on = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
	struct stat st;
	uint8_t *room;

	if (fstat(im->fd, &st))
		return hp_err_sys(err, errno, "%s", im->name);
	if (S_ISDIR(st.st_mode))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: is a directory, not an ELF file",
				  im->name);
	if (!S_ISREG(st.st_mode))
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: not a regular file", im->name);
	if (st.st_size == 0)
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: is empty", im->name);
	if ((uint64_t)st.st_size > HP_IMAGE_MAX_BYTES)
		return hp_err_set(err, -HP_E_BAD_ELF, "%s: longer than %llu bytes", im->name,
				  HP_IMAGE_MAX_BYTES);
	if (sigaction(SIGBUS, &on, NULL) < 0)
		return hp_err_sys(err, errno, "%s: a handler of its errors", im->name);
	im->size = (size_t)st.st_size;
	/* The page behind the file ends a string whose NUL somebody overwrites after its check. */
	room = mmap(NULL, HP_PAGE_UP(im->size) + HP_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (room == MAP_FAILED)
		return hp_err_sys(err, errno, "%s: mapping it", im->name);
	im->bytes = room;
	TAILQ_INSERT_TAIL(&all, im, mapped);
	if (mmap(room, im->size, PROT_READ, MAP_PRIVATE | MAP_FIXED, im->fd, 0) == MAP_FAILED)
		return hp_err_sys(err, errno, "%s: mapping it", im->name);
	return 0;
}

void hp_image_unmap(struct hp_image *im)
{
	if (!im->bytes)
		return;
	TAILQ_REMOVE(&all, im, mapped);
	munmap((void *)im->bytes, HP_PAGE_UP(im->size) + HP_PAGE);
}
