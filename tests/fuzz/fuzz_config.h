/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FUZZ_CONFIG_H
#define WEFT_FUZZ_CONFIG_H

#include "base/log.h"
#include "config/config.h"
#include "fuzz.h"

/* Returns the default configuration. It is made at the first call, which also sets up the log, and never freed. */
static inline struct config *fuzz_config(void)
{
	static struct config *config;

	if (!config) {
		log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
		config = config_default();
		fuzz_check(config);
	}
	return config;
}

#endif
