#include "pace.h"
#include "position.h"
#include "record_view.h"

#include <string.h>

#define FOLLOW_WAIT_MS 200 /* how often a follower asks whether it should stop */

struct state {
	const struct replay_run *run;
	struct replay_result *result;
	struct progress progress;
	struct pace pace;
	int64_t matched;
	bool enough;
};

static bool wanted(const struct replay_selection *selection, const struct log_record *record)
{
	const char *key = selection->key;
	if (key && (record->key.len < 0 || (size_t)record->key.len != strlen(key) ||
	            memcmp(record->key.data, key, strlen(key)) != 0))
		return false;
	return !selection->type || record_type(record) == selection->type;
}

/* Gives a record to the sink where it is asked for. */
static enum status give(struct state *state, struct replay_slice *slice, const struct log_record *record,
                        struct err *err)
{
	const struct replay_selection *selection = state->run->selection;
	enum status status = OK;
	state->result->read++;
	progress_update(&state->progress, state->result->read);
	if (wanted(selection, record)) {
		status = pace_admit(&state->pace, state->run->sink, state->run->stopped, err);
		if (status == OK)
			status = state->run->sink->take(state->run->sink->arg, slice, record, err);
		state->matched += status == OK;
	}
	if (status == OK)
		slice->next = record->offset + 1;
	state->enough = selection->count && state->matched == selection->count;
	return status;
}

/* Up to the slice's end, or to where the reader has nothing more at the moment. *moved: it had something. */
static enum status drain(struct state *state, struct replay_slice *slice, struct log_reader *reader, int timeout_ms,
                         bool *moved, struct err *err)
{
	enum status status = OK;
	*moved = false;
	while (status == OK && !state->enough && slice->next < slice->to) {
		const struct log_record *record;
		if (state->run->stopped && state->run->stopped())
			return err_set(err, RETRY, "interrupted", "interrupted");
		status = log_reader_next(reader, *moved ? 0 : timeout_ms, &record, err);
		if (status != OK || !record)
			break;
		*moved = true;
		if (record->offset < slice->to)
			status = give(state, slice, record, err);
		else
			slice->next = slice->to;
	}
	return status;
}

static enum status read_slices(struct state *state, struct replay_slice *slices, size_t count, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < count && status == OK && !state->enough; i++) {
		struct log_reader *reader;
		bool moved;
		if (slices[i].from >= slices[i].to)
			continue;
		status = log_reader_open(state->run->log, slices[i].topic->name, slices[i].partition, slices[i].from,
		                         &reader, err);
		if (status != OK)
			break;
		status = drain(state, &slices[i], reader, 0, &moved, err);
		log_reader_close(reader);
		if (status == OK && !state->enough) /* what is left before `to` are holes */
			slices[i].next = slices[i].to;
	}
	return status;
}

static bool all_done(const struct replay_slice *slices, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slices[i].next < slices[i].to)
			return false;
	return true;
}

/* Every partition in turn; a record shows within FOLLOW_WAIT_MS. */
static enum status follow(struct state *state, struct replay_slice *slices, size_t count, struct log_reader **readers,
                          struct err *err)
{
	const struct replay_sink *sink = state->run->sink;
	int share_ms = count ? (int)(FOLLOW_WAIT_MS / count) : FOLLOW_WAIT_MS;
	enum status status = OK;
	while (status == OK && !state->enough && !all_done(slices, count)) {
		bool any = false;
		for (size_t i = 0; i < count && status == OK && !state->enough; i++) {
			bool moved;
			status = drain(state, &slices[i], readers[i], share_ms > 0 ? share_ms : 1, &moved, err);
			any = any || moved;
		}
		if (status == OK && !any && sink->idle)
			status = sink->idle(sink->arg, err);
	}
	return status;
}

static enum status follow_slices(struct state *state, struct replay_slice *slices, size_t count, struct arena *arena,
                                 struct err *err)
{
	struct log_reader **readers = arena_alloc(arena, (count + 1) * sizeof *readers);
	enum status status = OK;
	size_t opened = 0;
	for (; opened < count && status == OK; opened++) {
		readers[opened] = NULL;
		status = log_reader_open(state->run->log, slices[opened].topic->name, slices[opened].partition,
		                         slices[opened].from, &readers[opened], err);
	}
	if (status == OK)
		status = follow(state, slices, count, readers, err);
	for (size_t i = 0; i < opened; i++)
		log_reader_close(readers[i]);
	return status;
}

/* What was given and is not safe counts as not read. */
static void take_back(const struct replay_sink *sink, struct replay_slice *slices, size_t count)
{
	int64_t offset;
	for (size_t i = 0; i < count && sink->unsafe; i++)
		if (sink->unsafe(sink->arg, &slices[i], &offset) && offset < slices[i].next)
			slices[i].next = offset;
}

enum status replay_run(const struct replay_run *run, struct arena *arena, struct replay_slice **slices, size_t *count,
                       struct replay_result *result, struct err *err)
{
	struct state state = {.run = run,
	                      .result = result,
	                      .pace = {.seam = run->seam, .log = run->log, .rate = run->selection->rate}};
	const struct replay_sink *sink = run->sink;
	int64_t total = 0;
	enum status status = position_slices(run, arena, slices, count, err);
	if (status != OK)
		return status;
	for (size_t i = 0; i < *count && !run->selection->follow; i++)
		total += (*slices)[i].to > (*slices)[i].from ? (*slices)[i].to - (*slices)[i].from : 0;
	if (run->progress)
		progress_start(&state.progress, run->seam, "records read", total);
	status = run->selection->follow ? follow_slices(&state, *slices, *count, arena, err)
	                                : read_slices(&state, *slices, *count, err);
	if (run->selection->follow && err_is(err, "interrupted")) /* how following ends */
		status = OK;
	if (status == OK && sink->finish)
		status = sink->finish(sink->arg, err);
	else if (sink->settle)
		sink->settle(sink->arg, NULL);
	progress_end(&state.progress);
	if (status != OK)
		take_back(sink, *slices, *count);
	return status;
}
