/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_FRAME_H
#define WEFT_INSPECT_FRAME_H

/*
 * Ethernet frames with a TCP segment or a UDP datagram that carries nothing, for trials. Pure; any thread.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INSPECT_FRAME_SIZE = 128 };

/* Addresses, ports and numbers in host order. */
struct inspect_frame {
	uint32_t source, destination;
	uint16_t source_port, port;
	uint8_t protocol; /* IPPROTO_*; 0: TCP */
	uint8_t flags;    /* TH_* */
	uint32_t sequence, acknowledged;
};

/* Writes it from FROM to TO. Returns its size. */
size_t inspect_frame_write(const struct inspect_frame *frame, const struct mac *from, const struct mac *to,
			   uint8_t bytes[static INSPECT_FRAME_SIZE]);

/*
 * Whether the SIZE bytes are a frame like FRAME, by addresses, protocol, flags and those of the ports that are not 0. If so, the
 * ports and numbers are written to it.
 */
bool inspect_frame_read(const uint8_t *bytes, size_t size, struct inspect_frame *frame);

#endif
