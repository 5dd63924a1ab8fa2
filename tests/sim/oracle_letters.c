/* The oracle's rules of dead letters: each is redriven or given up once, and a service that holds folds what comes behind an open
 * letter of its key when that has gone, in order. One list of places for all keys says all of it. */
#include "oracle.h"

#include "redrive.h"

#include <string.h>

/* ---- keys that wait ---- */

#define NOBODYS UINT64_MAX /* a letter's number: it is done with, or not known yet, and still in the way */

static bool same_key(const struct log_bytes *a, const struct log_bytes *b)
{
	return a->len == b->len && memcmp(a->data, b->data, (size_t)a->len) == 0;
}

/* The letter or record at the head of what waits under this key; NULL: the key is free. */
static struct oracle_place *first_of(const struct oracle *oracle, const struct log_bytes *key)
{
	for (size_t i = 0; i < oracle->place_count; i++)
		if (!oracle->places[i].gone && same_key(&oracle->places[i].key, key))
			return &oracle->places[i];
	return NULL;
}

static bool is_held(const struct oracle *oracle, const struct log_bytes *key)
{
	return oracle->holds_keys && key->len >= 1 && key->len <= 1024 &&
	       log_partition_of(key->data, (size_t)key->len, oracle->own_count) == oracle->partition;
}

static int64_t weight(const struct log_record *record)
{
	int64_t bytes = record->value.len > 0 ? record->value.len : 0;
	for (size_t i = 0; i < record->header_count; i++) {
		const struct log_header *header = &record->headers[i];
		bytes += 8 + (int64_t)strlen(header->name) + (header->value.len > 0 ? header->value.len : 0);
	}
	return bytes;
}

static bool has_room(const struct oracle *oracle, const struct log_bytes *key, const struct log_record *record)
{
	int64_t own = 0, all = 0, own_bytes = weight(record), all_bytes = own_bytes;
	for (size_t i = 0; i < oracle->place_count; i++) {
		const struct oracle_place *place = &oracle->places[i];
		if (place->gone || place->letter)
			continue;
		bool is_own = same_key(&place->key, key);
		all++;
		own += is_own;
		all_bytes += weight(place->given->record);
		own_bytes += is_own ? weight(place->given->record) : 0;
	}
	return own < 64 && all < 10000 && own_bytes <= 2 << 20 && all_bytes <= 64 << 20;
}

/* Now. The number of the letter that comes of it; 0: none does. */
static uint64_t settle(struct oracle *oracle, const struct oracle_given *given)
{
	uint64_t before = oracle->letters;
	oracle->publisher(oracle, given);
	return oracle->letters > before ? oracle->letters : 0;
}

/* At its place, until its turn comes. */
static void wait_at(struct oracle *oracle, size_t at, const struct oracle_given *given)
{
	bool room = has_room(oracle, &oracle->places[at].key, given->record);
	if (!room)
		oracle_dead_letter(oracle, given);
	oracle->places[at].letter = room ? 0 : oracle->letters;
	oracle->places[at].given = given;
}

static size_t add_place(struct oracle *oracle, const struct log_bytes *key, uint64_t letter)
{
	*ORACLE_GROW(oracle, oracle->places, oracle->place_count) =
		(struct oracle_place){.key = *key, .letter = letter};
	return oracle->place_count - 1;
}

static void arrive(struct oracle *oracle, const struct oracle_given *given)
{
	const struct log_bytes *key = &given->record->key;
	bool held = is_held(oracle, key);
	if (held && first_of(oracle, key)) {
		wait_at(oracle, add_place(oracle, key, NOBODYS), given);
		return;
	}
	uint64_t letter = settle(oracle, given);
	if (held && letter)
		add_place(oracle, key, letter);
}

/* What is at the head of the key and no letter is folded, up to the next letter. */
static void go_on(struct oracle *oracle, const struct log_bytes *key)
{
	struct oracle_place *place;
	while ((place = first_of(oracle, key)) && !place->letter) {
		place->letter = settle(oracle, place->given);
		place->gone = !place->letter;
	}
}

static void leave(struct oracle *oracle, size_t at)
{
	oracle->places[at].gone = true;
	go_on(oracle, &oracle->places[at].key);
}

/* ---- letters ---- */

static bool is_known(const struct oracle *oracle, int32_t partition, int64_t number)
{
	return partition >= 0 && partition < oracle->own_count && number >= 1 &&
	       (partition != oracle->partition || number <= (int64_t)oracle->letters);
}

/* False: it was done before. */
static bool do_once(struct oracle *oracle, int32_t partition, uint64_t number)
{
	for (size_t i = 0; i < oracle->done_count; i++)
		if (oracle->done[i].partition == partition && oracle->done[i].number == number)
			return false;
	*ORACLE_GROW(oracle, oracle->done, oracle->done_count) = (struct oracle_letter){partition, number};
	return true;
}

/* Where a letter keeps its key waiting; place_count: nowhere. */
static size_t place_of(const struct oracle *oracle, int32_t partition, uint64_t number)
{
	size_t i = 0;
	while (i < oracle->place_count &&
	       (partition != oracle->partition || oracle->places[i].gone || oracle->places[i].letter != number))
		i++;
	return i;
}

static void discard(struct oracle *oracle, const struct letter_discarded *event, const char *topic)
{
	if (strcmp(event->topic, topic) != 0 || !is_known(oracle, event->partition, event->number) ||
	    !do_once(oracle, event->partition, (uint64_t)event->number))
		return;
	size_t at = place_of(oracle, event->partition, (uint64_t)event->number);
	if (at < oracle->place_count)
		leave(oracle, at);
}

static void redrive(struct oracle *oracle, const struct oracle_given *given, const struct redrive *of)
{
	if (!do_once(oracle, of->partition, of->number))
		return;
	size_t at = place_of(oracle, of->partition, of->number);
	if (at == oracle->place_count) {
		arrive(oracle, given);
	} else if (!same_key(&oracle->places[at].key, &given->record->key)) {
		oracle->places[at].letter = NOBODYS;
		arrive(oracle, given);
		leave(oracle, at);
	} else if (first_of(oracle, &given->record->key) == &oracle->places[at]) {
		uint64_t letter = settle(oracle, given);
		oracle->places[at].letter = letter;
		if (!letter)
			leave(oracle, at);
	} else {
		wait_at(oracle, at, given);
	}
}

void oracle_take_publisher(struct oracle *oracle, const struct oracle_given *given, const char *dlq)
{
	struct redrive of;
	if (given->discarded) {
		discard(oracle, given->event, dlq);
		return;
	}
	enum header_found found = redrive_parse(given->record, &of);
	if (found == HEADER_NONE)
		arrive(oracle, given);
	else if (found != HEADER_VALID || strcmp(of.topic, dlq) != 0 ||
	         !is_known(oracle, of.partition, (int64_t)of.number))
		oracle_dead_letter(oracle, given);
	else
		redrive(oracle, given, &of);
}
