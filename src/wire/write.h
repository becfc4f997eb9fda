/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_WRITE_H
#define WEFT_WIRE_WRITE_H

/*
 * Parts of documents that are written in more than one place. For wire/ and store/. All return a new reference, NULL only for
 * lack of memory.
 */

#include "registry/registry.h"

#include <jansson.h>

/* TEXT, made UTF-8 where it is not (cut in the middle of a character): what is wrong becomes "?". */
json_t *write_text(const char *text);

json_t *write_addresses(const struct addr *addrs, size_t count);
json_t *write_egress(const struct egress *egress);
json_t *write_bandwidth(const struct bandwidth *bandwidth);
json_t *write_limits(const struct limits *limits);
json_t *write_labels(const struct spec *spec);
/* {"uid", "gid"}; NULL also if SPEC has none. */
json_t *write_tap_owner(const struct spec *spec);
const char *via_name(enum via via);

#endif
