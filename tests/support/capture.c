#include "capture.h"

#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

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

static void run_case(const struct command *command, const struct capture_case *one, size_t number)
{
	struct capture out, complaint;
	char *argv[CAPTURE_WORDS_MAX + 2] = {(char *)(uintptr_t)command->name};
	int argc = 1;
	for (; argc <= CAPTURE_WORDS_MAX && one->words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)one->words[argc - 1];
	capture_begin(&out, STDOUT_FILENO);
	capture_begin(&complaint, STDERR_FILENO);
	int exit_status = command->main(argc, argv);
	const char *text = capture_end(&complaint);
	capture_end(&out);
	if (exit_status != one->exit_status || !strstr(text, one->message))
		fail_msg("case %zu: exit status %d, expected %d; '%s', expected '%s'", number, exit_status,
		         one->exit_status, text, one->message);
	capture_free(&complaint);
	capture_free(&out);
}

void capture_commands(const struct command *command, const struct capture_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		run_case(command, &cases[i], i);
}
