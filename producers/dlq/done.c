/* What the topic says was done: the first redrive or discard of a letter is the one that its worker takes. */
#include "letters.h"

#include "redrive.h"

#include <stdlib.h>
#include <string.h>

struct search {
	struct letters *letters;
	int32_t partition;
	int64_t from; /* nothing before it can be about a letter; -1: there is nothing to look for */
	/* Redrives that were refused themselves, by offset: they have done nothing. */
	int64_t *refused;
	size_t refused_count;
};

static bool is_refusal(const struct letter *letter)
{
	return strcmp(letter->reason, "unknown_letter") == 0 || strcmp(letter->reason, "bad_redrive") == 0;
}

static int compare_offsets(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* A redrive comes behind the record it repeats; of another partition's letter it may stand anywhere. */
static void prepare(struct search *search)
{
	const struct letters *letters = search->letters;
	search->from = -1;
	for (size_t i = 0; i < letters->count; i++) {
		const struct letter *letter = &letters->items[i];
		if (letter->target == search->partition) {
			bool here = letter->partition == search->partition && letter->original_offset >= 0;
			int64_t from = here ? letter->original_offset + 1 : 0;
			search->from = search->from < 0 || from < search->from ? from : search->from;
		}
		if (letter->partition == search->partition && is_refusal(letter) && letter->original_offset >= 0)
			search->refused[search->refused_count++] = letter->original_offset;
	}
	if (search->refused_count)
		qsort(search->refused, search->refused_count, sizeof *search->refused, compare_offsets);
}

static void note(const struct search *search, const char *topic, int32_t partition, uint64_t number, int64_t offset,
                 enum letter_state state)
{
	struct letter *letter =
		strcmp(topic, search->letters->dlq) == 0 ? letters_find(search->letters, partition, number) : NULL;
	if (!letter || letter->state != LETTER_OPEN || letter->target != search->partition)
		return;
	if (letter->partition == search->partition && offset <= letter->original_offset)
		return;
	letter->state = state;
	letter->done_offset = offset;
}

static void look_at_control(const struct search *search, const struct log_record *record, struct arena *arena)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	struct letter_discarded event;
	if (record->value.len < 0 ||
	    !event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len) ||
	    event_type_of_writer(fingerprint) != &letter_discarded_type ||
	    event_decode(&letter_discarded_type, fingerprint, body, len, arena, &event, NULL) != OK || event.number < 1)
		return;
	note(search, event.topic, event.partition, (uint64_t)event.number, record->offset, LETTER_DISCARDED);
}

static void look_at(const struct search *search, const struct log_record *record, struct arena *arena)
{
	struct redrive redrive;
	struct header_stream stream;
	arena_reset(arena);
	if (!seal_holds(&search->letters->seal, search->letters->topic, record->partition, record))
		return;
	if (genesis_is_control(record)) {
		look_at_control(search, record, arena);
		return;
	}
	if (!record->header_count || redrive_parse(record, &redrive) != HEADER_VALID ||
	    header_stream_parse(record, &stream) != HEADER_NONE)
		return;
	if (search->refused_count &&
	    bsearch(&record->offset, search->refused, search->refused_count, sizeof *search->refused, compare_offsets))
		return;
	note(search, redrive.topic, redrive.partition, redrive.number, record->offset, LETTER_REDRIVEN);
}

static enum status read_partition(struct search *search, struct err *err)
{
	struct letters *letters = search->letters;
	struct log_reader *reader;
	struct arena arena = {0};
	int64_t low, high;
	enum status status = log_bounds(letters->log, letters->topic, search->partition, &low, &high, err);
	int64_t from = search->from > low ? search->from : low;
	if (status != OK || from >= high)
		return status;
	status = log_reader_open(letters->log, letters->topic, search->partition, from, &reader, err);
	if (status != OK)
		return status;
	for (bool more = true; status == OK && more;) {
		const struct log_record *record;
		status = log_reader_next(reader, 0, &record, err);
		more = status == OK && record && record->offset < high;
		if (more)
			look_at(search, record, &arena);
		more = more && record->offset + 1 < high;
		if (status == OK && letters->stopped && letters->stopped())
			status = err_set(err, RETRY, "interrupted", "interrupted");
	}
	log_reader_close(reader);
	arena_fini(&arena);
	return status;
}

enum status done_read(struct letters *letters, struct err *err)
{
	enum status status = OK;
	int64_t *refused = mem_alloc((letters->count + 1) * sizeof *refused);
	for (int32_t p = 0; p < letters->partitions && status == OK; p++) {
		struct search search = {.letters = letters, .partition = p, .refused = refused};
		prepare(&search);
		if (search.from >= 0)
			status = read_partition(&search, err);
	}
	mem_free(refused);
	return status;
}
