/* SPDX-License-Identifier: MIT */
/*
 * What parses ELF files runs in a reader, which has two gigabytes (elf/reader_confine.c), and no more of
 * what a file's lies ask libdw to allocate.  The sanitizer's runtime takes the place of that limit.
 */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=512";
}
