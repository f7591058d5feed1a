/* SPDX-License-Identifier: MIT */
/* elf/image_priv.h – the bytes of an image, for image_open.c alone. */
#ifndef HP_ELF_IMAGE_PRIV_H
#define HP_ELF_IMAGE_PRIV_H

#include "elf/image.h"

/* Maps im->fd: im->bytes, im->size. */
int hp_image_map(struct hp_image *im, struct hp_err *err);
void hp_image_unmap(struct hp_image *im);

#endif
