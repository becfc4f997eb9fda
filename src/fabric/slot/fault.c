/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One hook for the whole process: without a test there is none, and no step fails here. Any thread. */
#include "fabric/slot/fault.h"

#include "base/err.h"

#include <errno.h>
#include <stddef.h>

static bool (*_Atomic fault_wanted)(const char *step);

void slot_fault_set(bool (*fails)(const char *step))
{
	fault_wanted = fails;
}

int slot_fault_check(const char *step, struct err *err)
{
	bool (*wanted)(const char *step) = fault_wanted;

	return wanted && wanted(step) ? err_set(err, EIO, "fault asked for") : 0;
}
