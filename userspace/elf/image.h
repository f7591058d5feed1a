/* SPDX-License-Identifier: MIT */
/*
 * elf/image.h – one ELF file, read with bounds.
 *
 * The file is a stranger's: every offset, count and string in it may lie.
 * Nothing here trusts section headers for what a loader would take from the
 * program headers.  Only ELFCLASS64, little endian, EM_X86_64, ET_EXEC or
 * ET_DYN passes hp_image_open().
 *
 * "vaddr" below is an address as the file's program headers count (link time);
 * a module's bias (target/module.h) makes it an address of a process.
 */
#ifndef HP_ELF_IMAGE_H
#define HP_ELF_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <libelf.h>

struct hp_err;
struct hp_reader;

/* gABI limits hp imposes, so that a lying header costs nothing. */
#define HP_IMAGE_MAX_BYTES (1ull << 32)
#define HP_IMAGE_MAX_PHDRS 128
#define HP_BUILD_ID_MAX	   64

struct hp_image {
	char *name;	      /* for messages */
	int fd;		      /* owned */
	/* The whole file, mapped read-only and private, a zero page behind it.  Somebody may write the
	 * file meanwhile: what was checked is to be copied first, or safe whatever it says. */
	const uint8_t *bytes;
	size_t size;
	volatile bool cut; /* the file was made shorter: some of it is zeros now */
	TAILQ_ENTRY(hp_image) mapped; /* among all */
	Elf *elf; /* hp_image_elf() */
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[HP_IMAGE_MAX_PHDRS]; /* checked: file ranges inside the file, no wrap */
	size_t n_phdrs;
	uint8_t build_id[HP_BUILD_ID_MAX];
	size_t build_id_len; /* 0: none */
	const char *soname;  /* DT_SONAME, or NULL */
	/* PT_DYNAMIC and the string table it names; NULL and 0 without one.  The table ends in NUL. */
	const uint8_t *dynamic;
	size_t n_dynamic;
	const char *dynstr;
	size_t dynstr_size;
	struct hp_reader *reader; /* who parses the rest (elf/reader.h); NULL: we */
	unsigned joined_as;	  /* its number among the reader's images; 0: of none */
	unsigned more_users;	  /* hp_image_share() */
	const struct hp_image *twin; /* what the reader is asked about instead (hp_reader_twin()) */
};

/* Takes @fd over in every case.  @name is copied.
 * -HP_E_BAD_ELF names what is wrong ("truncated", "machine is AArch64", …). */
int hp_image_open(struct hp_image **ret, int fd, const char *name, struct hp_err *err);
/* The same for a separate debug file, which has the segments of another without their bytes, and no
 * build-id yet (elf/debug_file.h). */
int hp_image_open_bare(struct hp_image **ret, int fd, const char *name, struct hp_err *err);
void hp_image_free(struct hp_image *im);

/* One more user of it, who frees it as well. */
struct hp_image *hp_image_share(struct hp_image *im);

/* libelf's view of the same bytes, for libdw: not with a reader, which alone may parse them.  NULL:
 * it has none. */
Elf *hp_image_elf(const struct hp_image *im);

/* @n bytes of the file that a loader would put at @vaddr (so not .bss), or NULL. */
const uint8_t *hp_image_at(const struct hp_image *im, uint64_t vaddr, size_t n);

/* How many bytes from @vaddr on are in the same segment's file part; 0 if none. */
size_t hp_image_left(const struct hp_image *im, uint64_t vaddr);

/* The PT_LOAD that holds @vaddr, or NULL. */
const Elf64_Phdr *hp_image_segment(const struct hp_image *im, uint64_t vaddr);

/* Do these @n bytes lie wholly in one executable segment? */
bool hp_image_is_code(const struct hp_image *im, uint64_t vaddr, uint64_t n);

/* File offset of @vaddr (what a uprobe wants); false if it is not in the file. */
bool hp_image_offset(const struct hp_image *im, uint64_t vaddr, uint64_t *ret);

/* The @i-th entry of PT_DYNAMIC; false at its end. */
bool hp_image_dyn(const struct hp_image *im, size_t i, Elf64_Dyn *ret);

/* d_val of the first @tag in PT_DYNAMIC; false if there is none. */
bool hp_image_dynamic(const struct hp_image *im, int64_t tag, uint64_t *ret);

/* The string at @offset of the dynamic string table, or NULL. */
const char *hp_image_dynstr(const struct hp_image *im, uint64_t offset);

/* Every DT_NEEDED, in order: the @i-th, or NULL after the last. */
const char *hp_image_needed(const struct hp_image *im, size_t i);

/* The bytes of the first section called @name, or NULL (none, or without bytes in the file, or its
 * reader does not tell).  @vaddr and @n may be NULL. */
const uint8_t *hp_image_section(const struct hp_image *im, const char *name, uint64_t *vaddr,
				size_t *n);

/* Lower-case hex of the build-id into @buf (2 * HP_BUILD_ID_MAX + 1); "" without one. */
const char *hp_image_build_id_hex(const struct hp_image *im, char *buf);

#endif
