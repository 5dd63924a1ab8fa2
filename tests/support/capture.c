#include "capture.h"

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void capture_begin(struct capture *capture, int fd)
{
	char path[] = "/tmp/tandem-capture-XXXXXX";
	fflush(NULL);
	*capture = (struct capture){.fd = fd, .kept = dup(fd), .file = mkstemp(path)};
	if (capture->kept < 0 || capture->file < 0 || dup2(capture->file, fd) < 0)
		abort();
	unlink(path);
}

const char *capture_end(struct capture *capture)
{
	fflush(NULL);
	off_t size = lseek(capture->file, 0, SEEK_END);
	if (dup2(capture->kept, capture->fd) < 0 || size < 0)
		abort();
	capture->text = mem_zalloc(1, (size_t)size + 1);
	if (pread(capture->file, capture->text, (size_t)size, 0) != size)
		abort();
	close(capture->file);
	close(capture->kept);
	return capture->text;
}

void capture_free(struct capture *capture)
{
	mem_free(capture->text);
	capture->text = NULL;
}
