/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service manager passes the receiving ends of queues (fd_couple.c). Each is looked at first, without its descriptors; then
 * those of the chosen lists are copied. The queues keep theirs until the present run has stored its own (listeners.c). Sockets
 * that were stored one by one, as by builds before the queues, are taken over, too. Parcels stay in the store, under names of their
 * own, until they are taken: a start that fails before leaves them to the next.
 *
 * All of this is input. Sockets are sorted by address once, and found by bisection. A run that was killed while it took over leaves
 * the same socket in two lists; the second copy is closed.
 */
#include "daemon/inherited.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/vec.h"
#include "daemon/fd_couple.h"
#include "daemon/fd_message.h"
#include "daemon/fd_parcel.h"
#include "daemon/fd_store.h"
#include "daemon/inherited_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct inherited_parcel {
	struct fd_survey survey;
	int queue;  /* its receiving end */
	char *name; /* in the store */
};

struct inherited {
	struct {
		VEC_OF(struct inherited_socket);
	} sockets;
	struct {
		VEC_OF(int);
	} queues; /* receiving ends; -1: it became a parcel */
	struct {
		VEC_OF(struct fd_survey);
	} surveys; /* of the queues; empty at the end of the start */
	struct {
		VEC_OF(size_t);
	} named; /* by queue: its place in NAMES; empty at the end of the start */
	struct {
		VEC_OF(struct inherited_parcel);
	} parcels; /* not taken yet */
	struct {
		VEC_OF(int);
	} burdens;     /* receiving ends of queues whose parcel was taken */
	char **names;  /* in the store, without those of the parcels */
	uint64_t host; /* the namespace that its sockets must be of */
	size_t lost, strange;
	size_t passed; /* of the sockets: by daemon_inherited_take_any() */
};

/* ---- Receiving ---- */

/* Takes FD over: a socket, or it is closed. */
static void daemon_inherited_admit(struct inherited *inherited, int fd)
{
	struct inherited_socket found, *added;

	if (!daemon_inherited_socket_describe(fd, inherited->host, &found)) {
		inherited->strange++;
		close(fd);
		return;
	}
	added = vec_push(&inherited->sockets);
	if (added) {
		*added = found;
	} else {
		inherited->lost++;
		close(fd);
	}
}

static void daemon_inherited_admit_queue(struct inherited *inherited, int fd, size_t name)
{
	size_t *named = vec_push(&inherited->named);
	int *queue = named ? vec_push(&inherited->queues) : NULL;
	struct fd_survey *survey = queue ? vec_push(&inherited->surveys) : NULL;

	if (!survey) {
		log_error("a queue of descriptors cannot be read", F_STR("error", "no memory"));
		inherited->named.count = inherited->queues.count = inherited->surveys.count;
		daemon_fd_message_drain(fd);
		close(fd);
		return;
	}
	*named = name;
	*queue = fd;
	if (daemon_fd_couple_survey(fd, survey) < 0)
		log_error("a queue of descriptors cannot be read", F_STR("error", strerror(errno)));
}

static void daemon_inherited_copy(struct inherited *inherited, size_t index)
{
	const struct fd_survey *survey = &inherited->surveys.items[index];
	int *fds = calloc(survey->fds + 1, sizeof(*fds));
	size_t count = fds ? daemon_fd_couple_copy(inherited->queues.items[index], survey, fds) : 0;

	inherited->lost += survey->fds - count;
	for (size_t i = 0; i < count; i++)
		daemon_inherited_admit(inherited, fds[i]);
	free(fds);
}

/* Whether another queue of the couple has a complete list. */
static bool daemon_inherited_has_mate(const struct inherited *inherited, const struct fd_survey *survey)
{
	for (size_t i = 0; i < inherited->surveys.count; i++) {
		const struct fd_survey *other = &inherited->surveys.items[i];

		if (other->chosen && daemon_fd_queue_is_mate(&other->first, &survey->first))
			return true;
	}
	return false;
}

/* Whether the queue INDEX, with a whole parcel, is put aside. */
static bool daemon_inherited_put_aside(struct inherited *inherited, size_t index)
{
	struct inherited_parcel *parcel = inherited->names ? vec_push(&inherited->parcels) : NULL;

	if (!parcel)
		return false;
	*parcel = (struct inherited_parcel){
		.survey = inherited->surveys.items[index],
		.queue = steal_fd(&inherited->queues.items[index]),
	};
	parcel->name = steal_ptr(&inherited->names[inherited->named.items[index]]);
	return true;
}

/* Takes the places of the parcels' names out of NAMES, which has COUNT. */
static void daemon_inherited_close_ranks(struct inherited *inherited, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; inherited->names && i < count; i++)
		if (inherited->names[i])
			inherited->names[kept++] = inherited->names[i];
	if (inherited->names)
		inherited->names[kept] = NULL;
}

static void daemon_inherited_complain(struct inherited *inherited, const struct fd_survey *survey)
{
	if (survey->strange)
		log_warning("a queue of descriptors has a message of an unknown kind");
	if (survey->chosen || !survey->messages || daemon_inherited_has_mate(inherited, survey))
		return;
	if (survey->first.kind == FD_PARCEL)
		log_error("connections handed over are not complete; they are reset");
	else
		log_error("a list of listening sockets is not complete; its ports are opened anew");
}

static void daemon_inherited_copy_chosen(struct inherited *inherited)
{
	daemon_fd_queue_choose(inherited->surveys.items, inherited->surveys.count);
	for (size_t i = 0; i < inherited->surveys.count; i++) {
		struct fd_survey *survey = &inherited->surveys.items[i];

		daemon_inherited_complain(inherited, survey);
		if (survey->chosen && survey->first.kind == FD_PARCEL)
			survey->chosen = daemon_inherited_put_aside(inherited, i);
		else if (survey->chosen)
			daemon_inherited_copy(inherited, i);
		/* What nobody can read, or is read from another queue, would only hold ports, the control socket among them. */
		if (!survey->chosen)
			daemon_fd_message_drain(inherited->queues.items[i]);
	}
	vec_free(&inherited->surveys);
	vec_free(&inherited->named);
}

static void daemon_inherited_sort(struct inherited *inherited)
{
	struct inherited_socket *sockets = inherited->sockets.items;
	size_t kept = 0;

	if (!inherited->sockets.count)
		return;
	qsort(sockets, inherited->sockets.count, sizeof(*sockets), daemon_inherited_socket_compare);
	for (size_t i = 0; i < inherited->sockets.count; i++) {
		if (kept && sockets[kept - 1].inode == sockets[i].inode)
			close(sockets[i].fd);
		else
			sockets[kept++] = sockets[i];
	}
	inherited->sockets.count = kept;
}

struct inherited *daemon_inherited_receive(void)
{
	char **names;
	int first;
	size_t count;

	daemon_fd_store_receive(&first, &count, &names);
	struct inherited *inherited = count ? calloc(1, sizeof(*inherited)) : NULL;
	if (!inherited) {
		daemon_fd_store_free_names(names);
		return NULL;
	}
	inherited->names = names;
	inherited->host = daemon_inherited_socket_host();
	for (int fd = first; fd < first + (int)count; fd++) {
		if (daemon_inherited_socket_is_queue(fd))
			daemon_inherited_admit_queue(inherited, fd, (size_t)(fd - first));
		else
			daemon_inherited_admit(inherited, fd);
	}
	daemon_inherited_copy_chosen(inherited);
	daemon_inherited_close_ranks(inherited, count);
	daemon_inherited_sort(inherited);
	if (inherited->lost)
		log_error("listening sockets lost; their ports are opened anew", F_UINT("count", inherited->lost),
			  F_STR("fix", "raise LimitNOFILE= of the unit"));
	if (inherited->strange)
		log_warning("descriptors of an unknown kind closed", F_UINT("count", inherited->strange));
	log_info("listening sockets taken over from the service manager", F_UINT("count", inherited->sockets.count));
	return inherited;
}

/* ---- Taking ---- */

static int daemon_inherited_find(struct inherited *inherited, const struct inherited_socket *wanted)
{
	size_t low = 0, high = inherited ? inherited->sockets.count : 0;

	/* The first of those that are equal. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (daemon_inherited_socket_compare_key(&inherited->sockets.items[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; inherited && low < inherited->sockets.count; low++) {
		struct inherited_socket *found = &inherited->sockets.items[low];

		if (daemon_inherited_socket_compare_key(found, wanted) != 0)
			break;
		if (found->taken)
			continue;
		found->taken = true;
		return found->fd;
	}
	return -1;
}

int daemon_inherited_take(struct inherited *inherited, const struct addr *listen, enum proto proto)
{
	struct inherited_socket wanted = { .address.addr = *listen, .proto = proto };

	return daemon_inherited_find(inherited, &wanted);
}

int daemon_inherited_take_unix(struct inherited *inherited, const char *path)
{
	struct inherited_socket wanted = { .address.path.sun_family = AF_UNIX, .proto = PROTO_TCP };

	if (strlen(path) >= sizeof(wanted.address.path.sun_path))
		return -1;
	strcpy(wanted.address.path.sun_path, path);
	return daemon_inherited_find(inherited, &wanted);
}

bool daemon_inherited_has(const struct inherited *inherited, int fd)
{
	for (size_t i = 0; inherited && i < inherited->sockets.count; i++)
		if (inherited->sockets.items[i].fd == fd)
			return true;
	return false;
}

void daemon_inherited_drop(struct inherited *inherited, int fd)
{
	for (size_t i = 0; inherited && i < inherited->sockets.count; i++)
		if (inherited->sockets.items[i].fd == fd)
			inherited->sockets.items[i].fd = -1;
}

int daemon_inherited_at(const struct inherited *inherited, size_t index)
{
	return inherited && index < inherited->sockets.count ? inherited->sockets.items[index].fd : -1;
}

size_t daemon_inherited_count(const struct inherited *inherited)
{
	return inherited ? inherited->sockets.count : 0;
}

size_t daemon_inherited_left(const struct inherited *inherited)
{
	size_t left = 0;

	for (size_t i = 0; i < daemon_inherited_count(inherited); i++)
		left += !inherited->sockets.items[i].taken;
	return left;
}

int daemon_inherited_take_any(struct inherited *inherited, enum proto *proto)
{
	while (inherited && inherited->passed < inherited->sockets.count) {
		struct inherited_socket *found = &inherited->sockets.items[inherited->passed++];

		if (found->taken)
			continue;
		found->taken = true;
		*proto = found->proto;
		return steal_fd(&found->fd);
	}
	if (inherited)
		vec_free(&inherited->sockets);
	return -1;
}

/* ---- The end ---- */

static bool daemon_inherited_has_name(const struct inherited *inherited, const char *name)
{
	for (char **used = inherited ? inherited->names : NULL; used && *used; used++)
		if (!strcmp(*used, name))
			return true;
	return false;
}

static bool daemon_inherited_has_parcel(const struct inherited *inherited, const char *name)
{
	for (size_t i = 0; inherited && i < inherited->parcels.count; i++)
		if (!strcmp(inherited->parcels.items[i].name, name))
			return true;
	return false;
}

int daemon_inherited_take_parcel(struct inherited *inherited, struct fd_parcel *parcel, struct err *err)
{
	if (!inherited || !inherited->parcels.count)
		return 0;
	struct inherited_parcel taken = inherited->parcels.items[--inherited->parcels.count];
	int result = daemon_fd_parcel_unpack(taken.queue, &taken.survey, parcel, err);
	int *burden = taken.survey.burdened ? vec_push(&inherited->burdens) : NULL;

	if (burden)
		*burden = taken.queue;
	else
		close(taken.queue);
	if (!daemon_inherited_has_parcel(inherited, taken.name) && !daemon_inherited_has_name(inherited, taken.name))
		daemon_fd_store_remove(taken.name);
	free(taken.name);
	return result < 0 ? -1 : 1;
}

void daemon_inherited_drop_burdens(struct inherited *inherited)
{
	/* The service manager may not have let go of the queue yet, or never does. */
	for (size_t i = 0; inherited && i < inherited->burdens.count; i++) {
		daemon_fd_message_drain(inherited->burdens.items[i]);
		close(inherited->burdens.items[i]);
	}
	if (inherited)
		vec_free(&inherited->burdens);
}

void daemon_inherited_choose_name(const struct inherited *inherited, char *name, size_t size)
{
	unsigned number = 0;

	do
		snprintf(name, size, "weft-%u", ++number);
	while (daemon_inherited_has_name(inherited, name) || daemon_inherited_has_parcel(inherited, name));
}

void daemon_inherited_forget_former(struct inherited *inherited)
{
	if (!inherited)
		return;
	for (size_t i = 0; i < inherited->queues.count; i++) {
		if (inherited->queues.items[i] < 0)
			continue;
		daemon_fd_message_drain(inherited->queues.items[i]);
		close(inherited->queues.items[i]);
	}
	vec_free(&inherited->queues);
	for (char **name = inherited->names; name && *name; name++)
		if ((name == inherited->names || strcmp(name[0], name[-1]) != 0) &&
		    !daemon_inherited_has_parcel(inherited, *name))
			daemon_fd_store_remove(*name);
	daemon_fd_store_free_names(inherited->names);
	inherited->names = NULL;
}

void daemon_inherited_free(struct inherited *inherited)
{
	if (!inherited)
		return;
	for (size_t i = 0; i < inherited->sockets.count; i++)
		if (!inherited->sockets.items[i].taken)
			close(inherited->sockets.items[i].fd);
	for (size_t i = 0; i < inherited->queues.count; i++)
		cleanup_fd(&inherited->queues.items[i]);
	for (size_t i = 0; i < inherited->parcels.count; i++) {
		close(inherited->parcels.items[i].queue);
		free(inherited->parcels.items[i].name);
	}
	vec_free(&inherited->sockets);
	vec_free(&inherited->queues);
	vec_free(&inherited->parcels);
	daemon_inherited_drop_burdens(inherited);
	daemon_fd_store_free_names(inherited->names);
	free(inherited);
}
