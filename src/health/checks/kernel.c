/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the kernel has the parts of a slot.
 */
#include "health/doctor.h"

#include <string.h>

void check_kernel(const struct health_facts *facts, struct health_report *report)
{
	if (facts->features_error[0]) {
		struct health_finding *finding =
		    health_add(report, "kernel", HEALTH_SKIPPED, "not visible from here: %s", facts->features_error);
		health_fix(finding, "run weftctl doctor as root");
	} else if (facts->features_missing[0]) {
		struct health_finding *finding =
		    health_add(report, "kernel", HEALTH_FAIL, "the kernel refuses: %s", facts->features_missing);
		/* Without veth or TAP it starts all the same, and makes no slots. */
		if (strstr(facts->features_missing, "nftables"))
			health_ends_start(finding);
		health_why(finding, "a slot is a namespace with a veth, a TAP and an nftables table in it");
		health_fix(finding,
			   "modprobe -a veth tun nf_tables nft_ct nft_fib_inet nft_nat; or a kernel that has them");
	} else {
		health_add(report, "kernel", HEALTH_OK, "namespaces, veth, TAP, nftables with nat, fib and ct work");
	}
}
