/* SPDX-License-Identifier: MIT */
/* target/agent_priv.h – how an agent is known when nobody drives it any more. */
#ifndef HP_TARGET_AGENT_PRIV_H
#define HP_TARGET_AGENT_PRIV_H

#define HP_AGENT_NAME	  "hp-agent" /* of the process and of its memory */
#define HP_AGENT_UNDRIVEN 0x68	     /* its exit status when it was never driven */

#endif
