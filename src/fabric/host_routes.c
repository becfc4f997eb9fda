/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets to addresses of our ranges that no slot has must not leave by the uplink: `unreachable` routes see to that. One that is
 * missing is put back. Where another program has a route of its own in that place, or a policy rule or a narrower route in front of it,
 * that is left alone and reported once, as is its end.
 *
 * The builder does it, for routes take RTNL.
 */
#include "fabric/host_routes.h"

#include "base/container_of.h"
#include "base/err.h"
#include "fabric/slot/host.h"
#include "fabric/state.h"
#include "fabric/trouble.h"

#include <errno.h>
#include <stdlib.h>

struct host_routes_look {
	struct job job;
	struct fabric *fabric;
	struct slot_host_routes routes; /* out */
};

static int fabric_host_routes_run(struct job *job)
{
	struct host_routes_look *look = container_of(job, struct host_routes_look, job);

	return slot_build_host_routes(fabric_job_host(job), look->fabric->config, &look->routes, &job->err);
}

static void fabric_host_routes_take(struct fabric *fabric, const struct slot_host_routes *routes)
{
	if (routes->added)
		fabric_report_repair(fabric, 0, "unreachable routes");
	fabric_trouble_end_host(fabric, TROUBLE_LINKS);
	if (routes->rivalled)
		fabric_trouble_begin_host_rival(fabric, &routes->rival);
	else
		fabric_trouble_end_host(fabric, TROUBLE_ROUTE);
}

static void fabric_host_routes_finish(struct job *job)
{
	struct host_routes_look *look = container_of(job, struct host_routes_look, job);

	if (!job->failed)
		fabric_host_routes_take(look->fabric, &look->routes);
	else if (job->err.code != ECANCELED)
		fabric_trouble_begin_host(look->fabric, TROUBLE_LINKS, &job->err);
	free(look);
}

void fabric_host_routes_look(struct fabric *fabric)
{
	struct host_routes_look *look = calloc(1, sizeof(*look));
	struct err err;

	if (!look) {
		err_set(&err, ENOMEM, "routes of the ranges");
		fabric_trouble_begin_host(fabric, TROUBLE_LINKS, &err);
		return;
	}
	look->job.run = fabric_host_routes_run;
	look->job.finish = fabric_host_routes_finish;
	look->fabric = fabric;
	fabric_job_thread_post(fabric->builder, &look->job, JOB_CLAIM);
}
