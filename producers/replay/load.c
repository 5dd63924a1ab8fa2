/* An Avro container file's events into an installation. The file is read twice: a broken one sends nothing, and of a good one
 * no more than a block is in memory. Each event goes to the sink that copies (copy.c) as a record like those of a publisher. */
#include "pace.h"
#include "replay.h"

#include "schema.h"
#include "service.h"

#include <inttypes.h>
#include <string.h>

struct load {
	const struct load_config *config;
	struct event_file *file;
	const struct event_type *type;
	uint64_t writer; /* fingerprint of the file's schema */
	struct arena arena;
	struct buf value;
	int64_t events; /* read so far */
};

/* ---- the file ---- */

static enum status find_type(struct load *load, struct err *err)
{
	const char *path = load->config->path;
	json_t *schema = json_loads(event_file_schema(load->file), 0, NULL);
	enum status status =
		schema_fingerprint(schema, &load->writer, err); /* it was parsed when the file was opened */
	const char *name = json_string_value(json_object_get(schema, "name"));
	load->type = status == OK ? event_type_of_writer(load->writer) : NULL;
	if (status != OK)
		err_context(err, status, "%s", path);
	else if (!load->type)
		status = err_set(err, REJECT, "unknown_schema",
		                 "%s: holds %.80s written with schema %016" PRIx64
		                 ", expected a published version of a publisher's event",
		                 path, name ? name : "values", load->writer);
	else if (load->type->origin != EVENT_PUBLISHER)
		status = err_set(err, REJECT, "not_publishers", "%s: holds %s, expected events that publishers send",
		                 path, load->type->name);
	json_decref(schema);
	return status;
}

static enum status open_file(struct load *load, struct err *err)
{
	load->events = 0;
	enum status status = event_file_open(load->config->path, &load->file, err);
	return status == OK ? find_type(load, err) : status;
}

static void close_file(struct load *load)
{
	event_file_close(load->file, NULL);
	load->file = NULL;
}

/* The next event as a publisher's record, which lives until the next call; *end: there is none. */
static enum status next_record(struct load *load, struct log_record *out, bool *end, struct err *err)
{
	const uint8_t *body;
	size_t len;
	arena_reset(&load->arena);
	enum status status = event_file_next(load->file, &load->arena, &body, &len, err);
	*end = status == OK && !body;
	if (status != OK || *end)
		return status;
	load->events++;
	void *event = arena_alloc(&load->arena, load->type->size);
	status = event_decode(load->type, load->writer, body, len, &load->arena, event, err);
	if (status != OK)
		return err_context(err, status, "%s: event %" PRId64, load->config->path, load->events);
	const char *key = load->type->key(event);
	if (!service_id_valid(key))
		return err_set(err, REJECT, "identifier",
		               "%s: event %" PRId64
		               ": found the key '%.80s', expected 1 to 64 printable ASCII characters",
		               load->config->path, load->events, key);
	buf_reset(&load->value);
	status = event_encode(load->type, event, &load->value, err); /* with the current schema, as publishers do */
	*out = (struct log_record){.key = {key, (int32_t)strlen(key)},
	                           .value = {load->value.data, (int32_t)load->value.len}};
	return status;
}

static bool stopped(const struct load *load)
{
	return load->config->stopped && load->config->stopped();
}

static enum status check_all(struct load *load, int64_t *total, struct err *err)
{
	struct log_record record;
	bool end = false;
	enum status status = open_file(load, err);
	while (status == OK && !end) {
		status = stopped(load) ? err_set(err, RETRY, "interrupted", "interrupted before anything was sent")
		                       : next_record(load, &record, &end, err);
	}
	*total = load->events;
	close_file(load);
	return status;
}

/* ---- sending ---- */

static enum status send_all(struct load *load, const struct replay_sink *sink, int64_t total,
                            struct replay_result *result, struct err *err)
{
	const struct replay_topic topic = {.name = load->type->topic};
	const struct replay_slice slice = {.topic = &topic};
	struct pace pace = {.seam = load->config->seam, .log = load->config->log, .rate = load->config->rate};
	struct progress progress;
	bool end = false;
	enum status status = open_file(load, err);
	if (load->config->progress)
		progress_start(&progress, load->config->seam, "events sent", total);
	while (status == OK && !end) {
		struct log_record record;
		status = next_record(load, &record, &end, err);
		if (status == OK && !end)
			status = pace_admit(&pace, sink, load->config->stopped, err);
		if (status != OK || end)
			break;
		record.offset = result->read++; /* by which what is not acknowledged is told apart */
		status = sink->take(sink->arg, &slice, &record, err);
		if (load->config->progress)
			progress_update(&progress, result->taken);
	}
	if (status == OK)
		status = sink->finish(sink->arg, err);
	else
		sink->settle(sink->arg, NULL);
	if (load->config->progress)
		progress_end(&progress);
	close_file(load);
	return status;
}

enum status load_run(const struct load_config *config, struct replay_result *result, struct err *err)
{
	struct load load = {.config = config};
	struct copy *copy = NULL;
	struct replay_sink sink;
	int64_t total;
	*result = (struct replay_result){0};
	enum status status = check_all(&load, &total, err);
	if (status == OK) {
		const struct copy_config copying = {.target = config->log,
		                                    .seam = config->seam,
		                                    .publishers = true,
		                                    .dry_run = config->dry_run,
		                                    .patience_ms = config->patience_ms,
		                                    .stopped = config->stopped};
		const struct replay_selection selection = {.topics = &load.type->topic, .topic_count = 1};
		status = copy_open(&copying, &selection, result, &copy, &sink, err);
	}
	if (status == OK)
		status = send_all(&load, &sink, total, result, err);
	copy_close(copy);
	arena_fini(&load.arena);
	buf_fini(&load.value);
	return status;
}
