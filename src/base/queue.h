/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_QUEUE_H
#define WEFT_BASE_QUEUE_H

/*
 * The lists of queue(7) (LIST, TAILQ, STAILQ, SLIST), and the walks that glibc's copy of them lacks, during which the current
 * element may be removed.
 */
#include <sys/queue.h>

#ifndef LIST_FOREACH_SAFE
#define LIST_FOREACH_SAFE(var, head, field, next)                                                                      \
	for ((var) = LIST_FIRST((head)); (var) && ((next) = LIST_NEXT((var), field), 1); (var) = (next))
#endif

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                                                     \
	for ((var) = TAILQ_FIRST((head)); (var) && ((next) = TAILQ_NEXT((var), field), 1); (var) = (next))
#endif

#endif
