#include "halt.h"

#include "json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void halt_write(const char *path, const struct err *err, int64_t since_ms)
{
	char *fresh = mem_format("%s.new", path);
	json_t *json = json_pack("{s:s, s:s, s:I}", "reason", err->code ? err->code : "unknown", "message", err->text,
	                         "since_ms", (json_int_t)since_ms);
	if (!json) /* a text that is no UTF-8 */
		json = json_pack("{s:s, s:s, s:I}", "reason", err->code ? err->code : "unknown", "message",
		                 "(the message is no UTF-8; see the log)", "since_ms", (json_int_t)since_ms);
	if (json && json_dump_file(json, fresh, JSON_INDENT(2)) == 0 && rename(fresh, path) != 0)
		unlink(fresh);
	json_decref(json);
	mem_free(fresh);
}

void halt_remove(const char *path)
{
	unlink(path);
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
