#include "run.h"

#include "input.h"
#include "jsonl.h"

#include <inttypes.h>
#include <string.h>

#define STREAM_WAIT_MS 100
#define GRACE_MS       5000
#define TYPES          (sizeof(((struct publish_result *)0)->types) / sizeof(struct publish_type_count))

struct run {
	const struct publish_options *options;
	struct publish_result *result;
	struct retail retail;
	struct sender *sender; /* NULL while checking */
	struct progress progress;
	struct buf scratch;
	int error_count;
};

static bool stopped(const struct run *run)
{
	return run->options->sender.stopped && run->options->sender.stopped();
}

/* ---- sinks ---- */

static void count(struct publish_result *result, const struct event_type *type)
{
	for (size_t i = 0; i + 1 < TYPES; i++) {
		if (!result->types[i].type)
			result->types[i].type = type;
		if (result->types[i].type == type) {
			result->types[i].events++;
			return;
		}
	}
}

static enum status check(void *arg, const struct event_type *type, const void *event, struct err *err)
{
	struct run *run = arg;
	buf_reset(&run->scratch);
	enum status status = event_encode(type, event, &run->scratch, err);
	if (status == OK)
		count(run->result, type);
	if (status == OK && stopped(run))
		status = err_set(err, RETRY, "interrupted", "interrupted");
	return status;
}

static enum status deliver(void *arg, const struct event_type *type, const void *event, struct err *err)
{
	struct run *run = arg;
	enum status status = sender_take(run->sender, type, event, err);
	if (status == OK)
		count(run->result, type);
	return status;
}

/* ---- JSON lines ---- */

/* Writes the error. OK: checking goes on behind it. */
static enum status complain(struct run *run, const struct input *input, struct err *err)
{
	err_context(err, REJECT, "%s:%" PRId64, input->name, input->line);
	fprintf(run->options->errors, "%s\n", err->text);
	err->code = "told";
	return ++run->error_count < RETAIL_ERRORS && !run->sender ? OK : REJECT;
}

static enum status give_line(struct run *run, struct input *input, const char *line, size_t len, struct arena *arena,
                             const struct publish_sink *sink, struct err *err)
{
	const struct event_type *type;
	const void *event;
	if (!len)
		return OK;
	arena_reset(arena);
	enum status status = jsonl_parse(line, len, arena, &type, &event, err);
	if (status == OK)
		status = publish_take(sink, type, event, err);
	return status == REJECT ? complain(run, input, err) : status;
}

/* While a stream has nothing: what waits goes out. */
static enum status idle(struct run *run, struct err *err)
{
	if (stopped(run))
		return err_set(err, RETRY, "interrupted", "interrupted");
	if (!run->sender)
		return OK;
	sender_flush(run->sender);
	return sender_step(run->sender, 0, err);
}

static enum status give_lines(struct run *run, struct input *input, const struct publish_sink *sink, struct err *err)
{
	struct arena arena = {0};
	enum status status = OK;
	enum input_result result = INPUT_SOME;
	while (status == OK && result != INPUT_END) {
		const char *line;
		size_t len;
		result = input_line(input, STREAM_WAIT_MS, &line, &len, err);
		if (result == INPUT_SOME)
			status = give_line(run, input, line, len, &arena, sink, err);
		else if (result == INPUT_NONE)
			status = idle(run, err);
		else if (result == INPUT_FAILED)
			status = REJECT;
	}
	arena_fini(&arena);
	return status;
}

/* streams: those that cannot be read twice, else those that can. */
static enum status give_files(struct run *run, bool streams, const struct publish_sink *sink, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < run->options->file_count && status == OK; i++) {
		struct input input;
		status = input_open(&input, run->options->files[i], err);
		if (status != OK)
			break;
		if (input.stream == streams)
			status = give_lines(run, &input, sink, err);
		else if (input.stream)
			run->result->total = -1;
		input_close(&input);
	}
	return status == OK && run->error_count ? err_set(err, REJECT, "told", "%s", "wrong lines") : status;
}

/* ---- all sources ---- */

static enum status read_csv(struct run *run, struct err *err)
{
	struct input input;
	struct publish_result *result = run->result;
	enum status status = input_open(&input, run->options->files[0], err);
	if (status != OK)
		return status;
	status = retail_read(&input, run->options->sender.stopped, run->options->errors, &run->retail, err);
	input_close(&input);
	if (status == REJECT)
		err->code = "told";
	result->has_rows = true;
	result->rows = run->retail.rows;
	memcpy(result->row_counts, run->retail.row_counts, sizeof result->row_counts);
	memcpy(result->notes, run->retail.notes, sizeof result->notes);
	return status;
}

static enum status give_all(struct run *run, bool streams, const struct publish_sink *sink, struct err *err)
{
	switch (run->options->source) {
	case PUBLISH_CSV:
		return retail_each(&run->retail, &run->options->retail, sink, err);
	case PUBLISH_GENERATED:
		return generate_each(&run->options->generate, sink, err);
	case PUBLISH_JSONL:
		break;
	}
	return give_files(run, streams, sink, err);
}

static int64_t events_counted(const struct publish_result *result)
{
	int64_t sum = 0;
	for (size_t i = 0; i < TYPES && result->types[i].type; i++)
		sum += result->types[i].events;
	return sum;
}

/* What will be generated needs no check, and its share of cancels is not known beforehand. */
static int64_t events_generated(const struct generate_options *options)
{
	int64_t receipts = options->only != PUBLISH_ORDERS && options->stock ? options->skus : 0;
	int64_t orders = options->only != PUBLISH_RECEIPTS ? options->orders : 0;
	return options->cancel_one_in ? -1 : receipts + orders;
}

/* Everything but streams, before the first record is sent. */
static enum status check_all(struct run *run, struct err *err)
{
	const struct publish_sink sink = {check, run};
	enum status status = OK;
	if (run->options->source == PUBLISH_GENERATED && !run->options->dry_run) {
		run->result->total = events_generated(&run->options->generate);
		return OK;
	}
	if (run->options->source == PUBLISH_CSV)
		status = read_csv(run, err);
	if (status == OK)
		status = give_all(run, false, &sink, err);
	if (status == OK && run->result->total == 0)
		run->result->total = events_counted(run->result);
	return status;
}

static enum status send_all(struct run *run, struct err *err)
{
	const struct publish_sink sink = {deliver, run};
	struct sender_config config = run->options->sender;
	struct err ignored = {0};
	memset(run->result->types, 0, sizeof run->result->types);
	progress_start(&run->progress, config.seam, "events acknowledged",
	               run->result->total > 0 ? run->result->total : 0);
	config.progress = &run->progress;
	run->sender = sender_open(&config);
	enum status status = give_all(run, false, &sink, err);
	if (status == OK && run->options->source == PUBLISH_JSONL)
		status = give_all(run, true, &sink, err);
	if (status == OK)
		status = sender_finish(run->sender, GRACE_MS, err);
	else if (err_is(err, "interrupted") || status == REJECT) /* what was handed over may still be acknowledged */
		sender_finish(run->sender, GRACE_MS, &ignored);
	progress_end(&run->progress);
	run->result->sent = *sender_counts(run->sender);
	sender_close(run->sender);
	run->sender = NULL;
	return status;
}

enum status publish_run(const struct publish_options *options, struct publish_result *result, struct err *err)
{
	struct run run = {.options = options, .result = result};
	*result = (struct publish_result){0};
	enum status status = check_all(&run, err);
	if (status == OK && options->dry_run && options->source == PUBLISH_JSONL)
		status = give_all(&run, true, &(struct publish_sink){check, &run}, err);
	if (status == OK && !options->dry_run)
		status = send_all(&run, err);
	retail_fini(&run.retail);
	buf_fini(&run.scratch);
	return status;
}
