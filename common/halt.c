#include "halt.h"

#include "json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_BYTES 4096 /* more than the longest message takes (err.h), in JSON */

/* Over what is there: no more room is needed. Blanks at the end are JSON's white space. */
static bool write_room(const char *path, const char *text)
{
	char bytes[ROOM_BYTES];
	size_t len = strlen(text);
	if (len >= sizeof bytes)
		return false;
	memset(bytes, ' ', sizeof bytes);
	memcpy(bytes, text, len);
	bytes[sizeof bytes - 1] = '\n';
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	bool written = fd >= 0 && pwrite(fd, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes;
	if (fd >= 0)
		close(fd);
	if (!written)
		unlink(path);
	return written;
}

void halt_reserve(const char *path)
{
	char *fresh = mem_format("%s.new", path);
	if (access(fresh, F_OK) != 0)
		write_room(fresh, "");
	mem_free(fresh);
}

static char *print(const struct err *err, int64_t since_ms)
{
	const char *code = err->code ? err->code : "unknown";
	json_t *json =
		json_pack("{s:s, s:s, s:I}", "reason", code, "message", err->text, "since_ms", (json_int_t)since_ms);
	if (!json) /* a text that is no UTF-8 */
		json = json_pack("{s:s, s:s, s:I}", "reason", code, "message", "(the message is no UTF-8; see the log)",
		                 "since_ms", (json_int_t)since_ms);
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	json_decref(json);
	return text;
}

void halt_write(const char *path, const struct err *err, int64_t since_ms)
{
	char *fresh = mem_format("%s.new", path), *text = print(err, since_ms);
	if (text && write_room(fresh, text) && rename(fresh, path) == 0)
		halt_reserve(path); /* the next reason may be another */
	free(text);
	mem_free(fresh);
}

void halt_remove(const char *path)
{
	char *fresh = mem_format("%s.new", path);
	rename(path, fresh);
	mem_free(fresh);
}

bool halt_read(const char *path, struct arena *arena, struct halt *out)
{
	json_t *json = json_load_file(path, 0, NULL);
	const char *reason, *message;
	json_int_t since;
	bool ok = json &&
	          json_unpack(json, "{s:s, s:s, s:I}", "reason", &reason, "message", &message, "since_ms", &since) == 0;
	if (ok)
		*out = (struct halt){arena_copy(arena, reason, strlen(reason)),
		                     arena_copy(arena, message, strlen(message)), since};
	json_decref(json);
	return ok;
}
