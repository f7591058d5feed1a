/* SPDX-License-Identifier: MIT */
/*
 * watch_victim.h – a process that calls a probed function in every way that can leave it.
 *
 * It is a fork of the test; it does what it is told and answers when it is done, or when it stands
 * inside and waits.  Probes lie on 1-byte nops and RETs of the test's file.
 */
#ifndef HP_TESTS_WATCH_VICTIM_H
#define HP_TESTS_WATCH_VICTIM_H

#define MIX_THREADS 8

/* Each is probed at its first byte, a nop, and at its ret. */
void first(void (*fn)(long), long arg);
void second(void (*fn)(long), long arg);
extern const char first_ret[], second_ret[];

/* Listens at @sock, and ends with the test or with the socket. */
_Noreturn void watch_victim(int sock);

#endif
