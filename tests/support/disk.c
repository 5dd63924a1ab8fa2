#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#define BLOCK_BYTES    4096
#define REPAIR_SECONDS 60

/* ---- mounting ---- */

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return written;
}

/* Root of a user namespace may mount in a mount namespace of it. */
static bool become_root_inside(void)
{
	char uids[32], gids[32];
	snprintf(uids, sizeof uids, "0 %d 1", getuid());
	snprintf(gids, sizeof gids, "0 %d 1", getgid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_file("/proc/self/setgroups", "deny") &&
	       write_file("/proc/self/uid_map", uids) && write_file("/proc/self/gid_map", gids);
}

void disk_mount(struct disk *disk, size_t bytes)
{
	char options[48];
	strcpy(disk->path, "/tmp/tandem-disk-XXXXXX");
	assert_non_null(mkdtemp(disk->path));
	snprintf(options, sizeof options, "size=%zu", bytes);
	bool mounted = mount("tmpfs", disk->path, "tmpfs", 0, options) == 0;
	if (!mounted && become_root_inside())
		mounted = mount("tmpfs", disk->path, "tmpfs", 0, options) == 0;
	if (mounted)
		return;
	int why = errno;
	rmdir(disk->path);
	disk->path[0] = 0;
	fail_msg("THE FULL DISK CANNOT BE TRIED: mounting a tmpfs failed (%s); this needs root, or user namespaces",
	         strerror(why));
}

void disk_unmount(struct disk *disk)
{
	if (!disk->path[0])
		return;
	umount2(disk->path, MNT_DETACH);
	rmdir(disk->path);
	disk->path[0] = 0;
}

/* ---- filling ---- */

static void ballast(const struct disk *disk, char path[80])
{
	snprintf(path, 80, "%s/ballast", disk->path);
}

void disk_fill(const struct disk *disk)
{
	static const char block[BLOCK_BYTES];
	char path[80];
	ballast(disk, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof block) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

void disk_make_room(const struct disk *disk)
{
	char path[80];
	ballast(disk, path);
	assert_int_equal(unlink(path), 0);
}

/* ---- failing ---- */

const char *disk_injection(struct rig *rig, const char *inject, const char *paths, const char *trace)
{
	char call[32], list[2000], *rest;
	const char *options = "";
	assert_int_equal(sscanf(inject, "%31[a-z0-9]", call), 1);
	snprintf(list, sizeof list, "%s", paths);
	for (char *path = strtok_r(list, " ", &rest); path; path = strtok_r(NULL, " ", &rest))
		options = arena_format(&rig->arena, "%s -P %s", options, path);
	/* -D: strace is the grandchild, so that the process is the program's; -I 2: a signal ends it, and not the program */
	return arena_format(&rig->arena, "strace -D -I 2 -f -qq -o %s%s -e trace=%s -e inject=%s", trace, options, call,
	                    inject);
}

int disk_injected(const char *trace)
{
	char line[4096];
	int count = 0;
	FILE *file = fopen(trace, "r");
	while (file && fgets(line, sizeof line, file))
		count += strstr(line, "(INJECTED)") != NULL || strstr(line, "(DELAYED)") != NULL;
	if (file)
		fclose(file);
	return count;
}

/* 0: nobody, or the process has ended. */
static pid_t tracer_of(pid_t pid)
{
	char path[48], line[256];
	int tracer = 0;
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file) && sscanf(line, "TracerPid: %d", &tracer) != 1)
		;
	if (file)
		fclose(file);
	return tracer;
}

static bool is_left_alone(struct rig *rig, void *arg)
{
	const struct rig_process *process = arg;
	(void)rig;
	return tracer_of(process->pid) == 0;
}

void disk_repair(struct rig *rig, const struct rig_process *process)
{
	pid_t tracer = tracer_of(process->pid);
	assert_true(tracer > 0);
	kill(tracer, SIGTERM);
	rig_until(rig, REPAIR_SECONDS, "strace has let the program go", is_left_alone, (void *)(uintptr_t)process);
}
