#include "metrics_file.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct metrics_file {
	char *path, *fresh; /* fresh: not ending as the collector wants it, and of this process */
	int fd;
};

enum status metrics_file_open(const char *path, struct metrics_file **out, struct err *err)
{
	struct metrics_file *file = mem_zalloc(1, sizeof *file);
	file->path = mem_strdup(path);
	file->fresh = mem_format("%s.%ld", path, (long)getpid());
	file->fd = open(file->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	*out = file;
	if (file->fd >= 0)
		return OK;
	enum status status = err_set(err, REJECT, "invalid", "cannot write %s: %s", file->fresh, strerror(errno));
	*out = NULL;
	metrics_file_drop(file);
	return status;
}

static bool write_all(int fd, const struct buf *page)
{
	for (size_t at = 0; at < page->len;) {
		ssize_t len = write(fd, page->data + at, page->len - at);
		if (len < 0 && errno != EINTR)
			return false;
		at += len > 0 ? (size_t)len : 0;
	}
	return fsync(fd) == 0;
}

enum status metrics_file_write(struct metrics_file *file, const struct buf *page, struct err *err)
{
	enum status status = OK;
	if (!write_all(file->fd, page) || rename(file->fresh, file->path) != 0)
		status = err_set(err, RETRY, "io", "cannot write %s: %s; what it held still stands there", file->path,
		                 strerror(errno));
	metrics_file_drop(file);
	return status;
}

void metrics_file_drop(struct metrics_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0) {
		close(file->fd);
		unlink(file->fresh); /* gone by its rename where it was written */
	}
	mem_free(file->fresh);
	mem_free(file->path);
	mem_free(file);
}
