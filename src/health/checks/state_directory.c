/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftd writes each change to the state directory before it makes it. So a directory that takes no file is a daemon that registers
 * and removes nothing, although all that runs goes on.
 */
#include "health/doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { OTHERS = S_IWGRP | S_IWOTH, ROOM_LOW = 16 * 1024 * 1024, FILES_LOW = 1024 };

static const char no_changes[] =
    "weftd writes each change there first, so no sandbox can be registered, changed or removed; those that run go on";

/* FIX ends where the path belongs. */
static struct health_finding *check_state_directory_fail(struct health_report *report, const char *path,
							 const char *what, const char *fix)
{
	struct health_finding *finding = health_add(report, "state_directory", HEALTH_FAIL, "%s %s", path, what);

	health_why(finding, "%s", no_changes);
	health_fix(finding, "%s%s", fix, path);
	return finding;
}

/* What is wrong with the directory as such: its kind, owner and mode. */
static bool check_state_directory_is_sound(const struct health_directory *directory, struct health_report *report)
{
	const char *path = directory->path;
	struct health_finding *finding;

	if (!S_ISDIR(directory->mode)) {
		finding = health_add(report, "state_directory", HEALTH_FAIL, "%s is %s", path,
				     S_ISLNK(directory->mode) ? "a symbolic link" : "no directory");
		health_ends_start(finding);
		health_why(finding, "weftd follows no link there and does not start");
		health_fix(finding, "move it away; weftd makes the directory itself");
		return false;
	}
	if (!directory->owner && !(directory->mode & OTHERS))
		return true;
	finding = health_add(report, "state_directory", HEALTH_FAIL, "%s belongs to uid %u and has mode %04o", path,
			     directory->owner, (unsigned)(directory->mode & 07777));
	health_ends_start(finding);
	health_why(finding,
		   "whoever can write there can make weftd believe anything of its sandboxes; it does not start with "
		   "such a directory");
	health_fix(finding, "chown root: %s && chmod 0700 %s", path, path);
	return false;
}

/* Whether a file can be written there; the trial decides, if there was one. */
static bool check_state_directory_takes_files(const struct health_directory *directory, struct health_report *report)
{
	const char *path = directory->path;
	bool full = directory->bytes && !directory->free_bytes, spent = directory->files && !directory->free_files;

	/* A start writes its lock's file. */
	if (directory->read_only || directory->trial == EROFS)
		health_ends_start(
		    check_state_directory_fail(report, path, "is on a file system that is mounted read-only",
					       "look at why (dmesg), then: mount -o remount,rw on the mount of "));
	else if (directory->trial == 0 || (directory->trial < 0 && !full && !spent))
		return true;
	else if (spent)
		check_state_directory_fail(report, path, "is on a file system without free inodes",
					   "remove files there, or mount it with more: df -i ");
	else if (directory->trial == ENOSPC || directory->trial == EDQUOT || full)
		check_state_directory_fail(
		    report, path, directory->trial == EDQUOT ? "has used up its quota" : "is on a full file system",
		    "make room, or enlarge it: df -h ");
	else {
		struct health_finding *finding = health_add(report, "state_directory", HEALTH_FAIL,
							    "%s takes no files: %s", path, strerror(directory->trial));
		health_why(finding, "%s", no_changes);
		health_fix(finding, "look with: lsattr -d %s; findmnt -T %s", path, path);
	}
	return false;
}

/* Whether the rest is enough for some time. */
static bool check_state_directory_has_room(const struct health_directory *directory, struct health_report *report)
{
	bool room =
	    !directory->bytes || directory->free_bytes >= ROOM_LOW || directory->free_bytes >= directory->bytes / 10;
	bool files =
	    !directory->files || directory->free_files >= FILES_LOW || directory->free_files >= directory->files / 10;
	struct health_finding *finding;

	if (room && files)
		return true;
	if (!room)
		finding = health_add(report, "state_directory", HEALTH_WARN,
				     "the file system of %s has %" PRIu64 " KiB of %" PRIu64 " KiB left",
				     directory->path, directory->free_bytes / 1024, directory->bytes / 1024);
	else
		finding = health_add(report, "state_directory", HEALTH_WARN,
				     "the file system of %s has %" PRIu64 " of %" PRIu64 " inodes left",
				     directory->path, directory->free_files, directory->files);
	health_why(finding,
		   "a sandbox takes a file of a page there; with none left, nothing can be registered or removed");
	health_fix(finding, "make room: df -h %s; df -i %s", directory->path, directory->path);
	return false;
}

void check_state_directory(const struct health_facts *facts, struct health_report *report)
{
	const struct health_directory *directory = &facts->state_directory;
	bool runs = health_daemon(facts) != 0;

	if (directory->error && directory->error != ENOENT) {
		health_add(report, "state_directory", HEALTH_SKIPPED, "%s is not visible from here: %s",
			   directory->path, strerror(directory->error));
		return;
	}
	if (directory->error && runs) {
		struct health_finding *finding =
		    health_add(report, "state_directory", HEALTH_WARN, "%s is gone", directory->path);
		health_why(finding, "weftd makes it anew with all its files within a second or two, if it can");
		health_fix(finding, "look again; then at its last words: journalctl -u weftd");
		return;
	}
	if (directory->error) {
		health_add(report, "state_directory", HEALTH_OK, "weftd makes %s at its start", directory->path);
		return;
	}
	if (check_state_directory_is_sound(directory, report) && check_state_directory_takes_files(directory, report) &&
	    check_state_directory_has_room(directory, report))
		health_add(report, "state_directory", HEALTH_OK, "%s takes files%s", directory->path,
			   directory->trial < 0 ? ", as far as can be seen without writing there" : "");
}
