/* Lock files, the bell, and folders of the local log. */
#include "log_local_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES        4096
#define LOCK_PAUSE_MIN_US 20
#define LOCK_PAUSE_MAX_US 1000
#define YIELD_US          200 /* for a waiter, which tries at least every LOCK_PAUSE_MAX_US, to get in between */

_Static_assert(sizeof(struct local_page) <= PAGE_BYTES, "one page");

enum status local_io(struct err *err, const char *doing, const char *path)
{
	int why = errno;
	bool full = why == ENOSPC || why == EDQUOT;
	char text[128];
	return err_set(err, RETRY, full ? "disk_full" : "io", "cannot %s %s: %s", doing, path,
	               strerror_r(why, text, sizeof text));
}

enum status local_mkdir(const char *path, struct err *err)
{
	return mkdir(path, 0777) == 0 || errno == EEXIST ? OK : local_io(err, "make", path);
}

enum status local_sync_dir(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return local_io(err, "open", path);
	enum status status = fsync(fd) == 0 ? OK : local_io(err, "sync", path);
	close(fd);
	return status;
}

/* Folders here are flat. */
enum status local_remove_tree(const char *path, struct err *err)
{
	DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? OK : local_io(err, "open", path);
	enum status status = OK;
	for (struct dirent *entry; status == OK && (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) != 0 && errno != ENOENT)
			status = local_io(err, "remove a file of", path);
	}
	closedir(dir);
	if (status == OK && rmdir(path) != 0 && errno != ENOENT)
		status = local_io(err, "remove", path);
	return status;
}

/* ---- locks ---- */

/* The page must have its block, or touching it on a full disk would be fatal. */
static enum status page_map(struct local_lock *lock, struct err *err)
{
	struct stat st;
	if (fstat(lock->fd, &st) != 0)
		return local_io(err, "look at", lock->path);
	int rc = st.st_size < PAGE_BYTES ? posix_fallocate(lock->fd, 0, PAGE_BYTES) : 0;
	if (rc != 0) {
		errno = rc;
		return local_io(err, "extend", lock->path);
	}
	void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, lock->fd, 0);
	if (page == MAP_FAILED)
		return local_io(err, "map", lock->path);
	lock->page = page;
	return OK;
}

enum status local_lock_open(struct local_lock *lock, char *path_taken, struct err *err)
{
	*lock = (struct local_lock){.path = path_taken};
	lock->fd = open(path_taken, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	enum status status = OK;
	if (lock->fd < 0)
		status = errno == ENOENT ? err_set(err, FATAL, "missing", "there is no folder for %s", path_taken)
		                         : local_io(err, "open", path_taken);
	else
		status = page_map(lock, err);
	if (status != OK)
		local_lock_close(lock);
	return status;
}

void local_lock_close(struct local_lock *lock)
{
	if (lock->page)
		munmap(lock->page, PAGE_BYTES);
	if (lock->fd >= 0)
		close(lock->fd);
	mem_free(lock->path);
	*lock = (struct local_lock){.fd = -1};
}

static void pause_us(int64_t us)
{
	struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
	nanosleep(&ts, NULL);
}

/* flock cannot wait with a limit, so it is tried again after short pauses. A process that takes the lock again and again
 * sees `wanted` and gives the others a moment first. */
enum status local_lock_take(struct local_lock *lock, const struct seam *seam, int timeout_ms, const atomic_bool *stop,
                            struct err *err)
{
	int64_t pause = LOCK_PAUSE_MIN_US, start = 0;
	if (atomic_exchange(&lock->page->wanted, 0))
		pause_us(YIELD_US);
	while (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return local_io(err, "lock", lock->path);
		int64_t now = seam_monotonic_us(seam);
		if (!start)
			start = now;
		if (now - start > (int64_t)timeout_ms * 1000 || (stop && atomic_load(stop)))
			return err_set(err, RETRY, "busy", "%s is held by another process", lock->path);
		atomic_store(&lock->page->wanted, 1);
		pause_us(pause);
		pause = pause < LOCK_PAUSE_MAX_US ? 2 * pause : pause;
	}
	return OK;
}

void local_lock_release(struct local_lock *lock)
{
	flock(lock->fd, LOCK_UN);
}

bool local_lock_current(const struct local_lock *lock)
{
	struct stat at_path, open_one;
	return stat(lock->path, &at_path) == 0 && fstat(lock->fd, &open_one) == 0 &&
	       at_path.st_ino == open_one.st_ino && at_path.st_dev == open_one.st_dev;
}

/* ---- the bell ---- */

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/* A sleeper counts itself first and the kernel compares the word again, so a ring between its look and its sleep wakes it. */
void local_ring(struct local_lock *bell)
{
	atomic_fetch_add(&bell->page->rings, 1);
	if (atomic_load(&bell->page->sleepers))
		futex(&bell->page->rings, FUTEX_WAKE, INT32_MAX, NULL);
}

uint32_t local_rings(const struct local_lock *bell)
{
	return atomic_load(&bell->page->rings);
}

void local_sleep(struct local_lock *bell, uint32_t seen, int timeout_ms)
{
	int64_t us = (int64_t)timeout_ms * 1000;
	us = us < LOCAL_ASK_US ? us : LOCAL_ASK_US;
	if (us <= 0 || local_rings(bell) != seen)
		return;
	struct timespec timeout = {.tv_nsec = (long)us * 1000};
	atomic_fetch_add(&bell->page->sleepers, 1);
	futex(&bell->page->rings, FUTEX_WAIT, seen, &timeout);
	atomic_fetch_sub(&bell->page->sleepers, 1);
}

/* ---- the folder ---- */

bool local_root_open(struct local_log *log)
{
	if (log->bell.fd >= 0)
		return true;
	char *topics = mem_format("%s/topics", log->dir);
	bool there = access(topics, F_OK) == 0;
	mem_free(topics);
	return there && local_lock_open(&log->bell, mem_format("%s/bell", log->dir), NULL) == OK;
}

static enum status make_parents(const char *dir, struct err *err)
{
	char *path = mem_strdup(dir);
	enum status status = OK;
	for (char *slash = path; status == OK && (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		status = local_mkdir(path, err);
		*slash = '/';
	}
	mem_free(path);
	return status == OK ? local_mkdir(dir, err) : status;
}

enum status local_root_create(struct local_log *log, struct err *err)
{
	if (log->bell.fd >= 0)
		return OK;
	enum status status = make_parents(log->dir, err);
	static const char *const folders[] = {"topics", "members"};
	for (size_t i = 0; i < sizeof folders / sizeof *folders && status == OK; i++) {
		char *path = mem_format("%s/%s", log->dir, folders[i]);
		status = local_mkdir(path, err);
		mem_free(path);
	}
	if (status == OK)
		status = local_lock_open(&log->bell, mem_format("%s/bell", log->dir), err);
	return status == OK ? local_sync_dir(log->dir, err) : status;
}
