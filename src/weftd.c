/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

int main(void)
{
	log_info("weftd");
	return 0;
}
