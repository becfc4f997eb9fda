/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon contains the object file of bpf/loopback.bpf.c. The kernel verifies its programs when they are loaded. A link attaches each
 * program to the cgroup, and the link is pinned. Where a killed daemon has left links, the new programs are put into them, so that
 * there is always one attached; its maps are used on if their layout is the same.
 *
 * A failure half way leaves nothing attached: neither programs of two versions, nor those of a former run, whose lease nobody renews.
 *
 * libbpf prints its complaints, and returns a number. The first complaint becomes part of the error's text.
 */
#include "kernel/bpf.h"

#ifdef HAVE_LIBBPF
#include "base/cleanup.h"
#include "base/err.h"
#include "base/netns.h"
#include "kernel/bpf_pins.h"
#include "kernel/bpf_state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static const char object_bytes[] __attribute__((aligned(8))) = {
#include "bpf/loopback.inc"
};

static const struct {
	const char *name, *pin;
} maps[MAPS] = {
	[MAP_ENTRIES] = { "weft_entries", "entries" },
	[MAP_STATE] = { "weft_state", "state" },
	[MAP_ORIGIN] = { "weft_origin", "origin" },
	[MAP_SENT] = { "weft_sent", "sent" },
};

/*
 * In the order in which they are attached: the programs that lead a client come last, when those are attached that hide it from the client.
 * The programs with `datagrams' would slow down every datagram of the host, so they wait for the first entry of UDP.
 */
static const struct {
	const char *name, *pin;
	enum bpf_attach_type type;
	bool datagrams;
} programs[PROGRAMS] = {
	{ "loopback_recvmsg4", "recvmsg4", BPF_CGROUP_UDP4_RECVMSG, true },
	{ "loopback_recvmsg6", "recvmsg6", BPF_CGROUP_UDP6_RECVMSG, true },
	{ "loopback_getpeername4", "getpeername4", BPF_CGROUP_INET4_GETPEERNAME, false },
	{ "loopback_getpeername6", "getpeername6", BPF_CGROUP_INET6_GETPEERNAME, false },
	{ "loopback_getsockname4", "getsockname4", BPF_CGROUP_INET4_GETSOCKNAME, false },
	{ "loopback_getsockname6", "getsockname6", BPF_CGROUP_INET6_GETSOCKNAME, false },
	{ "loopback_sendmsg4", "sendmsg4", BPF_CGROUP_UDP4_SENDMSG, true },
	{ "loopback_connect4", "connect4", BPF_CGROUP_INET4_CONNECT, false },
	{ "loopback_connect6", "connect6", BPF_CGROUP_INET6_CONNECT, false },
};

enum { CONNECT6 = PROGRAMS - 1 };

_Static_assert(sizeof(programs) / sizeof(programs[0]) == PROGRAMS, "each program has a link");

bool kern_loopback_is_built(void)
{
	return true;
}

/* ---- libbpf's complaints ---- */

static char complaint[200]; /* the first since it was emptied */
static int without_btf;     /* the shortage for which libbpf went on without BTF since then; 0: none */

/* Without BTF it fails then at maps that need it, with another error than the one that matters. */
static void kern_loopback_hear_shortage(const char *format, const char *text)
{
	static const int codes[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS };
	char number[16];

	if (!strstr(format, "without BTF") && !strstr(format, ".BTF into kernel"))
		return;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		snprintf(number, sizeof(number), "-%d", codes[i]);
		if (strstr(text, number))
			without_btf = codes[i];
	}
}

static int kern_loopback_hear(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[sizeof(complaint)];

	/* It raises that limit for old kernels, also where it cannot find out how old this one is; a failure means nothing. */
	if (strstr(format, "RLIMIT_MEMLOCK"))
		return 0;
	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	kern_loopback_hear_shortage(format, text);
	if (!complaint[0])
		snprintf(complaint, sizeof(complaint), "%s", text + (strncmp(text, "libbpf: ", 8) == 0 ? 8 : 0));
	return 0;
}

/* ---- The cgroup, the namespace ---- */

static int kern_loopback_open_cgroup(const char *path, struct err *err)
{
	struct statfs status;
	AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstatfs(fd, &status) < 0)
		return err_set(err, errno, "cgroup %s", path);
	if (status.f_type != CGROUP2_SUPER_MAGIC)
		return err_set(err, ENOTSUP, "%s is no folder of a cgroup2 mount", path);
	return steal_fd(&fd);
}

static int kern_loopback_read_cookie(__u64 *cookie, struct err *err)
{
	socklen_t size = sizeof(*cookie);
	AUTO_FD int fd = base_netns_socket(-1, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, err);

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) < 0)
		return err_set(err, errno, "SO_NETNS_COOKIE");
	return 0;
}

/* The id of the cgroup FD, as a link's info has it; 0: unknown. */
static uint64_t kern_loopback_cgroup_id(int fd)
{
	union {
		struct file_handle head;
		char room[sizeof(struct file_handle) + sizeof(uint64_t)];
	} handle = { .head.handle_bytes = sizeof(uint64_t) };
	uint64_t id = 0;
	int mount;

	if (name_to_handle_at(fd, "", &handle.head, &mount, AT_EMPTY_PATH) == 0 &&
	    handle.head.handle_bytes == sizeof(id))
		memcpy(&id, handle.room + sizeof(struct file_handle), sizeof(id));
	return id;
}

/* ---- Pins ---- */

/* The path of a pin, the caller's. NULL with ERR. */
static char *kern_loopback_pin_path(const struct kern_loopback *loopback, const char *name, struct err *err)
{
	char *path;

	if (asprintf(&path, "%s/%s", loopback->pins, name) >= 0)
		return path;
	err_set(err, ENOMEM, "%s/%s", loopback->pins, name);
	return NULL;
}

/* What a former run pinned as NAME: -1 with ERR's code ENOENT if nothing is there. */
static int kern_loopback_get_pin(const struct kern_loopback *loopback, const char *name, struct err *err)
{
	AUTO_FREE char *path = kern_loopback_pin_path(loopback, name, err);

	if (!path)
		return -1;
	int fd = bpf_obj_get(path);
	return fd >= 0 ? fd : err_set(err, errno, "%s", path);
}

/* Pins FD as NAME, in place of a former pin. */
static int kern_loopback_pin(const struct kern_loopback *loopback, const char *name, int fd, struct err *err)
{
	AUTO_FREE char *path = kern_loopback_pin_path(loopback, name, err);

	if (!path)
		return -1;
	if ((unlink(path) < 0 && errno != ENOENT) || bpf_obj_pin(fd, path) < 0)
		return err_set(err, errno, "%s", path);
	return 0;
}

/* ---- Maps ---- */

/* Whether the map FD could be MAP of the object. */
static bool kern_loopback_map_fits(int fd, const struct bpf_map *map)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map) && info.map_flags == bpf_map__map_flags(map);
}

/* The maps of a former run. 0 if all are there, of this layout, and for this network namespace; else -1. */
static int kern_loopback_get_maps(struct kern_loopback *loopback, int fds[static MAPS])
{
	struct loopback_state state = { 0 };
	uint32_t zero = 0;
	struct err ignored;

	for (unsigned i = 0; i < MAPS; i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(loopback->object, maps[i].name);

		fds[i] = kern_loopback_get_pin(loopback, maps[i].pin, &ignored);
		if (fds[i] < 0 || !map || !kern_loopback_map_fits(fds[i], map))
			return -1;
	}
	if (bpf_map_lookup_elem(fds[MAP_STATE], &zero, &state) < 0 || state.layout != LOOPBACK_LAYOUT ||
	    state.netns_cookie != loopback->state.netns_cookie)
		return -1;
	loopback->state.until_ns = state.until_ns;
	return 0;
}

/* Makes the object use the maps of a former run: all of them, or none. */
static int kern_loopback_reuse_maps(struct kern_loopback *loopback, struct err *err)
{
	int fds[MAPS] = { -1, -1, -1, -1 };
	bool fit = kern_loopback_get_maps(loopback, fds) == 0;
	int result = 0;

	for (unsigned i = 0; i < MAPS; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(loopback->object, maps[i].name);

		if (result == 0 && fit && bpf_map__reuse_fd(map, fds[i]) < 0)
			result = err_set(err, errno, "map %s of a former run", maps[i].pin);
		cleanup_fd(&fds[i]);
	}
	return result;
}

/* ---- Loading ---- */

static int kern_loopback_refuse(struct err *err, int code, const char *what)
{
	const char *hint = code == EPERM ? " (CAP_SYS_ADMIN is needed, and bpf among the allowed system calls)" : "";

	return err_set(err, code, "%s%s%s%s", what, hint, complaint[0] ? ": " : "", complaint);
}

static int kern_loopback_load_with(struct kern_loopback *loopback, bool ipv6, struct err *err)
{
	complaint[0] = '\0';
	without_btf = 0;
	loopback->object = bpf_object__open_mem(object_bytes, sizeof(object_bytes), NULL);
	if (!loopback->object)
		return kern_loopback_refuse(err, errno, "BPF programs");
	struct bpf_program *connect6 = bpf_object__find_program_by_name(loopback->object, programs[CONNECT6].name);
	if (!connect6 || bpf_program__set_autoload(connect6, ipv6) < 0)
		return err_set(err, EINVAL, "BPF program %s", programs[CONNECT6].name);
	if (kern_loopback_reuse_maps(loopback, err) < 0)
		return -1;
	int result = bpf_object__load(loopback->object);
	if (result < 0)
		return kern_loopback_refuse(err, without_btf ? without_btf : -result, "loading BPF programs");
	return 0;
}

static bool kern_loopback_is_passing(int code)
{
	return code == EPERM || code == EAGAIN || code == EINTR || err_code_is_exhaustion(code);
}

/* Some kernels do not let programs read kernel memory, as connect6 does: then the others are loaded without it. */
static int kern_loopback_load(struct kern_loopback *loopback, struct err *err)
{
	if (kern_loopback_load_with(loopback, true, err) < 0) {
		if (kern_loopback_is_passing(err->code))
			return -1;
		snprintf(loopback->no_ipv6, sizeof(loopback->no_ipv6), "%s", err->text);
		bpf_object__close(loopback->object);
		loopback->object = NULL;
		loopback->state.until_ns = 0;
		if (kern_loopback_load_with(loopback, false, err) < 0)
			return -1;
	}
	complaint[0] = '\0';
	for (unsigned i = 0; i < MAPS; i++) {
		loopback->map_fds[i] = bpf_object__find_map_fd_by_name(loopback->object, maps[i].name);
		if (loopback->map_fds[i] < 0)
			return err_set(err, EINVAL, "BPF map %s", maps[i].name);
	}
	return 0;
}

static int kern_loopback_write_state(struct kern_loopback *loopback, struct err *err)
{
	uint32_t zero = 0;

	if (bpf_map_update_elem(loopback->map_fds[MAP_STATE], &zero, &loopback->state, BPF_ANY) < 0)
		return err_set(err, errno, "lease of loopback entries");
	return 0;
}

/* ---- Attaching ---- */

/* The link of a former run for that program, if it is attached to our cgroup; -1: there is none. */
static int kern_loopback_get_link(const struct kern_loopback *loopback, unsigned program)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	uint64_t id = kern_loopback_cgroup_id(loopback->cgroup);
	struct err ignored;
	AUTO_FD int fd = kern_loopback_get_pin(loopback, programs[program].pin, &ignored);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || info.type != BPF_LINK_TYPE_CGROUP)
		return -1;
	if (id == 0 || info.cgroup.cgroup_id != id || info.cgroup.attach_type != programs[program].type) {
		(void)bpf_link_detach(fd); /* it is of a cgroup that is not ours any more */
		return -1;
	}
	return steal_fd(&fd);
}

static int kern_loopback_attach_one(struct kern_loopback *loopback, unsigned program, struct err *err)
{
	const char *name = programs[program].name;
	struct bpf_program *loaded = bpf_object__find_program_by_name(loopback->object, name);
	int fd = loaded ? bpf_program__fd(loaded) : -ENOENT;

	if (fd < 0)
		return err_set(err, -fd, "BPF program %s", name);
	AUTO_FD int former = kern_loopback_get_link(loopback, program);
	if (former >= 0 && bpf_link_update(former, fd, NULL) == 0) {
		loopback->links[program] = steal_fd(&former);
		return 0;
	}
	if (former >= 0)
		(void)bpf_link_detach(former);
	loopback->links[program] = bpf_link_create(fd, loopback->cgroup, programs[program].type, NULL);
	if (loopback->links[program] < 0)
		return err_set(err, errno, "%s%s", programs[program].pin,
			       errno == EPERM ? " (a program is attached there that allows none beside it)" : "");
	return kern_loopback_pin(loopback, programs[program].pin, loopback->links[program], err);
}

/* Whether a former run had attached it: sockets that it led may still need it. */
static bool kern_loopback_is_pinned(const struct kern_loopback *loopback, unsigned program)
{
	return faccessat(loopback->folder, programs[program].pin, F_OK, 0) == 0;
}

static int kern_loopback_attach(struct kern_loopback *loopback, struct err *err)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		if ((i == CONNECT6 && loopback->no_ipv6[0]) ||
		    (programs[i].datagrams && !kern_loopback_is_pinned(loopback, i)))
			continue;
		if (kern_loopback_attach_one(loopback, i, err) < 0)
			return err_wrap(err, "attaching to the cgroup");
	}
	return 0;
}

int kern_loopback_attach_datagrams(struct kern_loopback *loopback, struct err *err)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		if (!programs[i].datagrams || loopback->links[i] >= 0)
			continue;
		if (kern_loopback_attach_one(loopback, i, err) < 0) {
			/* Without a pin the link is given up; the next attempt makes another one. */
			cleanup_fd(&loopback->links[i]);
			return err_wrap(err, "attaching to the cgroup");
		}
	}
	return 0;
}

/* Pins the maps, and removes all pins that this run does not use. */
static int kern_loopback_pin_maps(struct kern_loopback *loopback, struct err *err)
{
	const char *names[MAPS + PROGRAMS];
	unsigned count = 0;

	for (unsigned i = 0; i < MAPS; i++) {
		if (kern_loopback_pin(loopback, maps[i].pin, loopback->map_fds[i], err) < 0)
			return -1;
		names[count++] = maps[i].pin;
	}
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (loopback->links[i] >= 0)
			names[count++] = programs[i].pin;
	return kern_pins_sweep(loopback->folder, loopback->pins, names, count, NULL, err);
}

static int kern_loopback_start(struct kern_loopback *loopback, const char *cgroup, struct err *err)
{
	loopback->cgroup = kern_loopback_open_cgroup(cgroup, err);
	if (loopback->cgroup < 0)
		return -1;
	loopback->state.layout = LOOPBACK_LAYOUT;
	if (kern_loopback_read_cookie(&loopback->state.netns_cookie, err) < 0 ||
	    kern_loopback_load(loopback, err) < 0 || kern_loopback_write_state(loopback, err) < 0 ||
	    kern_loopback_attach(loopback, err) < 0 || kern_loopback_pin_maps(loopback, err) < 0)
		return -1;
	return 0;
}

struct kern_loopback *kern_loopback_open(const char *cgroup, const char *pins, struct err *err)
{
	struct kern_loopback *loopback = calloc(1, sizeof(*loopback));

	if (loopback)
		loopback->pins = strdup(pins);
	if (!loopback || !loopback->pins) {
		free(loopback);
		err_set(err, ENOMEM, "loopback entries");
		return NULL;
	}
	libbpf_set_print(kern_loopback_hear);
	loopback->cgroup = -1;
	for (unsigned i = 0; i < PROGRAMS; i++)
		loopback->links[i] = -1;
	loopback->folder = kern_pins_open(pins, true, err);
	if (loopback->folder >= 0 && kern_loopback_start(loopback, cgroup, err) == 0)
		return loopback;
	kern_loopback_close(loopback, false);
	return NULL;
}

void kern_loopback_close(struct kern_loopback *loopback, bool keep_pins)
{
	struct err ignored;

	if (!loopback)
		return;
	for (unsigned i = PROGRAMS; i-- > 0;) {
		/* Another process may have the link open, so closing ours does not detach it for certain. */
		if (loopback->links[i] >= 0 && !keep_pins)
			(void)bpf_link_detach(loopback->links[i]);
		cleanup_fd(&loopback->links[i]);
	}
	if (loopback->folder >= 0 && !keep_pins &&
	    kern_pins_sweep(loopback->folder, loopback->pins, NULL, 0, NULL, &ignored) == 0)
		(void)kern_pins_remove_folder(loopback->pins, &ignored);
	bpf_object__close(loopback->object);
	cleanup_fd(&loopback->folder);
	cleanup_fd(&loopback->cgroup);
	free(loopback->pins);
	free(loopback);
}

bool kern_loopback_has_ipv6(const struct kern_loopback *loopback, const char **why)
{
	if (why)
		*why = loopback->no_ipv6;
	return !loopback->no_ipv6[0];
}

int kern_loopback_origins(const struct kern_loopback *loopback)
{
	return loopback->map_fds[MAP_ORIGIN];
}

int kern_loopback_renew(struct kern_loopback *loopback, uint64_t until_ns, struct err *err)
{
	loopback->state.until_ns = until_ns;
	return kern_loopback_write_state(loopback, err);
}

/* Others may detach a link by force. The links of a removed cgroup are detached once its last socket is closed. */
int kern_loopback_check(const struct kern_loopback *loopback, struct err *err)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct bpf_link_info info = { 0 };
		uint32_t size = sizeof(info);

		if (loopback->links[i] < 0)
			continue;
		if (bpf_obj_get_info_by_fd(loopback->links[i], &info, &size) < 0)
			return err_set(err, errno, "BPF program %s", programs[i].pin);
		if (info.cgroup.cgroup_id == 0)
			return err_set(err, ENOLINK, "BPF program %s was detached", programs[i].pin);
	}
	return 0;
}
#endif
