/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_LIMITS_H
#define WEFT_CONFIG_LIMITS_H

/* What one sandbox's connections are held to: the configuration's defaults, or what its manager asked for. */
struct limits {
	unsigned connections;         /* 0: no limit of its own */
	unsigned connect_deadline_ms; /* from accept to the guest's answer */
	unsigned idle_ms;             /* 0: none */
	unsigned half_closed_ms;      /* 0: none */
	unsigned keepalive_ms;        /* 0: off */
};

#endif
