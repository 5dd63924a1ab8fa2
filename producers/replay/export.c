/* Events of one type into an Avro container file. Whatever schema they were written with, the file has the current one. */
#include "record_view.h"
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct export
{
	char *path, *part; /* part: where it grows */
	const struct event_type *type;
	struct event_file *file; /* NULL: a dry run, or closed */
	struct replay_result *result;
	struct arena arena;
	struct buf body;
};

static enum status export_take(void *arg, const struct replay_slice *slice, const struct log_record *record,
                               struct err *err)
{
	struct export *export = arg;
	struct record_view view;
	(void)slice;
	arena_reset(&export->arena);
	buf_reset(&export->body);
	record_view(record, &export->arena, &view);
	if (!view.event) {
		export->result->skipped[REPLAY_NO_EVENT]++;
		return OK;
	}
	enum status status = event_encode(export->type, view.event, &export->body, err);
	if (status == OK && export->file)
		status = event_file_append(export->file, export->body.data + EVENT_HEADER_BYTES,
		                           export->body.len - EVENT_HEADER_BYTES, err);
	export->result->taken += status == OK;
	return status;
}

static enum status export_finish(void *arg, struct err *err)
{
	struct export *export = arg;
	if (!export->file)
		return OK;
	enum status status = event_file_close(export->file, err);
	export->file = NULL;
	if (status == OK && rename(export->part, export->path) != 0)
		status = err_set(err, FATAL, "io", "%s: %s", export->path, strerror(errno));
	if (status != OK)
		unlink(export->part);
	return status;
}

enum status export_open(const char *path, const struct event_type *type, const char *codec, bool dry_run,
                        struct replay_result *result, struct export **out, struct replay_sink *sink, struct err *err)
{
	struct export *export = mem_zalloc(1, sizeof *export);
	*export = (struct export){
		.path = mem_strdup(path), .part = mem_format("%s.part", path), .type = type, .result = result};
	*sink = (struct replay_sink){.take = export_take, .finish = export_finish, .arg = export};
	*out = export;
	return dry_run ? OK : event_file_create(export->part, type, codec, &export->file, err);
}

void export_close(struct export *export)
{
	if (!export)
		return;
	if (export->file) {
		event_file_close(export->file, NULL);
		unlink(export->part);
	}
	mem_free(export->path);
	mem_free(export->part);
	arena_fini(&export->arena);
	buf_fini(&export->body);
	mem_free(export);
}
