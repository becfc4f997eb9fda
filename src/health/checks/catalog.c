/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftd serves on without its catalogue, and only edges on other hosts notice: so it is told here. The daemon alone knows how it fares.
 */
#include "config/config.h"
#include "health/doctor.h"

static void check_catalog_entries(const struct health_catalog *catalog, struct health_report *report)
{
	struct health_finding *finding;

	if (catalog->foreign) {
		finding = health_add(report, "catalog", HEALTH_WARN,
				     "%zu sandbox%s of this host belong%s to another writer in the catalogue at %s",
				     catalog->foreign, catalog->foreign == 1 ? "" : "es",
				     catalog->foreign == 1 ? "s" : "", catalog->redis);
		health_why(finding,
			   "edges send their clients where that writer says; it may be another host's weftd, on which "
			   "the same name was registered later, or E2B's API");
		health_fix(finding,
			   "register each name on one host alone, and let one writer alone use the prefix; the log has "
			   "the keys");
	}
	if (catalog->error[0]) {
		finding = health_add(report, "catalog", HEALTH_FAIL, "%s refuses entries: %s", catalog->redis,
				     catalog->error);
		health_why(finding, "edges do not find those sandboxes, or soon will not");
		health_fix(finding, "see what Redis says; weftd tries again every few seconds");
	}
}

void check_catalog(const struct health_facts *facts, struct health_report *report)
{
	const struct health_catalog *catalog = &facts->said.catalog;
	struct health_finding *finding;

	if (!facts->config->catalog.redis) {
		health_add(report, "catalog", HEALTH_OK, "none is set");
	} else if (!catalog->redis[0]) {
		health_add(report, "catalog", HEALTH_SKIPPED, "weftd does not say how it fares");
	} else if (!catalog->up) {
		finding = health_add(report, "catalog", HEALTH_FAIL, "%s is not reached: %s", catalog->redis,
				     catalog->error[0] ? catalog->error : "no reason is known");
		health_why(finding,
			   "edges lose the sandboxes of this host within [catalog] ttl (%u s); all else goes on",
			   facts->config->catalog.ttl_ms / 1000);
		health_fix(finding,
			   "see whether Redis runs and lets this host in; weftd tries again by itself, but a mended "
			   "password_file takes systemctl reload weftd");
	} else if (catalog->foreign || catalog->error[0]) {
		check_catalog_entries(catalog, report);
	} else {
		health_add(report, "catalog", HEALTH_OK, "%s has %zu sandbox%s of this host", catalog->redis,
			   catalog->published, catalog->published == 1 ? "" : "es");
	}
}
