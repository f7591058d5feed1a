/* SPDX-License-Identifier: MIT */
/*
 * ipc/intake.h – the monitor's door: front's packets, checked, and put together to requests.
 *
 * A table says of each request in which state it may come, with which members, in which ranges; what
 * a table does not name must be 0.  It opens nothing and changes nothing but its own memory.
 */
#ifndef HP_IPC_INTAKE_H
#define HP_IPC_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/record.h"
#include "ipc/request.h"

struct hp_err;

#define HP_REQUEST_BYTES (1u << 20) /* all texts of a request */

struct hp_intake {
	bool greeted;
	uint32_t left; /* items */
	size_t bytes;
	struct hp_record rec;
	struct hp_job_request req; /* of HP_ASK_JOB */
};

/* Whether the connection of a client has to lie beside its packet. */
bool hp_ask_is_clients(enum hp_ask ask);

/* Takes a packet of @n bytes with @n_fds descriptors beside it.  1: in->rec is a request, and with
 * HP_ASK_JOB in->req, which is the caller's from then on; 0: its items are to follow.  -HP_E_DENIED:
 * no front that is whole says this, and there is no telling what comes next. */
int hp_intake_take(struct hp_intake *in, const void *packet, size_t n, size_t n_fds,
		   struct hp_err *err);

/* For front, before it asks for a client: whether all of that will be taken.  What is not, and was
 * not found before, is the client's mistake (-HP_E_BAD_REQUEST), and no reason to take front for one
 * that lies. */
int hp_intake_rehearse(const struct hp_record *rec, const struct hp_job_request *req,
		       struct hp_err *err);

void hp_intake_free(struct hp_intake *in);

#endif
