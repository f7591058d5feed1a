/* SPDX-License-Identifier: MIT */
/* eventloop.h – what eventloop and its patch share. */
#ifndef EVENTLOOP_H
#define EVENTLOOP_H

#include <stdbool.h>

extern int generation;

void serve_loop(int ep);
bool serve_once(int ep);
int side(int x);

#endif
