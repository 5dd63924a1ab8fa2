/* Sinks that keep nothing: lines, JSON, a format, and counting. */
#include "format.h"
#include "record_view.h"
#include "replay.h"

#include <errno.h>
#include <string.h>

struct print {
	struct print_config config;
	struct replay_result *result;
	struct buf line;
	struct arena arena;
};

static void put(struct print *print, const struct record_view *view, const struct replay_topic *topic)
{
	const struct print_config *config = &print->config;
	if (config->format) {
		format_put(config->format, view, topic->name, config->raw, &print->line);
		return;
	}
	if (config->json) {
		json_t *json = record_view_json(view, topic->name, topic->tstype);
		record_view_dump(json, &print->line);
		json_decref(json);
	} else {
		record_view_line(view, topic->name, &print->line);
	}
	buf_put_u8(&print->line, '\n');
}

static enum status print_take(void *arg, const struct replay_slice *slice, const struct log_record *record,
                              struct err *err)
{
	struct print *print = arg;
	struct record_view view;
	buf_reset(&print->line);
	arena_reset(&print->arena);
	record_view(record, &print->arena, &view);
	put(print, &view, slice->topic);
	if (print->line.len && fwrite(print->line.data, 1, print->line.len, print->config.out) != print->line.len)
		return err_set(err, FATAL, errno == EPIPE ? "pipe" : "io", "standard output: %s", strerror(errno));
	print->result->taken++;
	return OK;
}

static enum status print_flush(void *arg, struct err *err)
{
	struct print *print = arg;
	if (fflush(print->config.out) != 0)
		return err_set(err, FATAL, errno == EPIPE ? "pipe" : "io", "standard output: %s", strerror(errno));
	return OK;
}

struct print *print_open(const struct print_config *config, struct replay_result *result, struct replay_sink *sink)
{
	struct print *print = mem_zalloc(1, sizeof *print);
	*print = (struct print){.config = *config, .result = result};
	*sink = (struct replay_sink){
		.take = print_take, .idle = print_flush, .finish = print_flush, .settle = print_flush, .arg = print};
	return print;
}

void print_close(struct print *print)
{
	if (!print)
		return;
	buf_fini(&print->line);
	arena_fini(&print->arena);
	mem_free(print);
}

static enum status count_take(void *arg, const struct replay_slice *slice, const struct log_record *record,
                              struct err *err)
{
	(void)slice;
	(void)record;
	(void)err;
	((struct replay_result *)arg)->taken++;
	return OK;
}

void count_open(struct replay_result *result, struct replay_sink *sink)
{
	*sink = (struct replay_sink){.take = count_take, .arg = result};
}

const char *replay_skip_text(enum replay_skip skip, bool json)
{
	static const char *const texts[REPLAY_SKIPS][2] = {
		{"control records", "control"},
		{"workers' events", "workers"},
		{"events for another topic", "other_topic"},
		{"records that are no event known here", "no_event"},
	};
	return texts[skip][json];
}
