#include "lock.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE_BYTES 32 /* "pid 4194304 opening\n", padded with spaces */

struct lock {
	int fd;
	char *line; /* mapped */
	enum lock_state state;
};

static const char *const names[LOCK_STATES] = {"opening", "ready",  "folding", "sending",
                                               "acks",    "commit", "marking", "halted"};

const char *lock_state_name(enum lock_state state)
{
	return names[state];
}

static bool parse(const char *line, pid_t *pid, enum lock_state *state)
{
	int number;
	char name[16];
	if (sscanf(line, "pid %d %15s", &number, name) != 2)
		return false;
	*pid = number;
	for (int i = 0; i < LOCK_STATES; i++) {
		if (strcmp(name, names[i]) == 0) {
			*state = (enum lock_state)i;
			return true;
		}
	}
	return false;
}

static bool read_line(int fd, pid_t *pid, enum lock_state *state)
{
	char line[LINE_BYTES + 1] = {0};
	return pread(fd, line, LINE_BYTES, 0) == LINE_BYTES && parse(line, pid, state);
}

static enum status held(int fd, const char *path, struct err *err)
{
	pid_t pid;
	enum lock_state state;
	if (read_line(fd, &pid, &state))
		return err_set(err, RETRY, "locked", "%s is held by process %d (%s); stop it, or wait until it ends",
		               path, pid, names[state]);
	return err_set(err, RETRY, "locked", "%s is held by another process; stop it, or wait until it ends", path);
}

void lock_set(struct lock *lock, enum lock_state state)
{
	if (lock->state == state)
		return;
	lock->state = state;
	char text[LINE_BYTES + 1];
	int len = snprintf(text, sizeof text, "pid %d %s", getpid(), names[state]);
	memset(text + len, ' ', sizeof text - (size_t)len);
	text[LINE_BYTES - 1] = '\n';
	memcpy(lock->line, text, LINE_BYTES);
}

static enum status failed(const char *path, struct err *err)
{
	return err_set(err, RETRY, "io", "the lock file %s cannot be used: %s; it is tried again by itself", path,
	               strerror(errno));
}

enum status lock_open(const char *path, struct lock **out, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return failed(path, err);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		enum status status = errno == EWOULDBLOCK ? held(fd, path, err) : failed(path, err);
		close(fd);
		return status;
	}
	/* Written, not only extended: a store into a hole of a full disk would be a SIGBUS. */
	char blank[LINE_BYTES];
	memset(blank, ' ', sizeof blank);
	void *line = MAP_FAILED;
	if (pwrite(fd, blank, sizeof blank, 0) == (ssize_t)sizeof blank)
		line = mmap(NULL, LINE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (line == MAP_FAILED) {
		enum status status = failed(path, err);
		close(fd);
		return status;
	}
	struct lock *lock = mem_zalloc(1, sizeof *lock);
	*lock = (struct lock){.fd = fd, .line = line, .state = LOCK_STATES};
	lock_set(lock, LOCK_OPENING);
	*out = lock;
	return OK;
}

void lock_close(struct lock *lock)
{
	if (!lock)
		return;
	munmap(lock->line, LINE_BYTES);
	close(lock->fd);
	mem_free(lock);
}

bool lock_holder(const char *path, pid_t *pid, enum lock_state *state)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	/* A shared lock for an instant could make a starting worker wait one round; it comes again. */
	bool is_held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	is_held = is_held && read_line(fd, pid, state);
	close(fd);
	return is_held;
}
