/* SPDX-License-Identifier: MIT */
#include "eventloop.h"

#include <hp/patch.h>

void new_serve_loop(int ep);

HP_NEW void new_serve_loop(int ep)
{
	generation++;
	while (serve_once(ep))
		;
}

HP_REPLACE(new_serve_loop, "serve_loop");
