/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_SOURCE_H
#define WEFT_CONFIG_SOURCE_H

/*
 * The bytes of a configuration, from a regular file or from a pipe that ends, such as a shell's `--config <(command)`.
 */

#include "base/vec.h"

struct err;

struct config_source {
	VEC_OF(char);
};

/*
 * Reads PATH whole. A pipe has PATIENCE_MS to end. 0 and *SOURCE, whose block is the caller's to vec_free(); or -1 with ERR, whose
 * text does not name PATH and whose code is the errno: EISDIR, EINVAL and the like for what is neither file nor pipe, ETIMEDOUT and
 * ENODATA for a pipe that does not end or has nothing in it, EFBIG beyond 1 MiB.
 */
int config_source_read(const char *path, unsigned patience_ms, struct config_source *source, struct err *err);

#endif
