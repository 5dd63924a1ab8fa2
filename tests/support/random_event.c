#include "random_event.h"

#include "test_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t rng_next(struct rng *rng)
{
	rng->state ^= rng->state >> 12;
	rng->state ^= rng->state << 25;
	rng->state ^= rng->state >> 27;
	return rng->state * UINT64_C(0x2545f4914f6cdd1d);
}

size_t rng_below(struct rng *rng, size_t bound)
{
	return (size_t)(rng_next(rng) >> 11) % bound;
}

struct rng rng_begin(uint64_t usual)
{
	const char *text = getenv("TANDEM_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : usual;
	if (!seed)
		seed = usual;
	printf("seed %llu; again with TANDEM_TEST_SEED=%llu\n", (unsigned long long)seed, (unsigned long long)seed);
	return (struct rng){seed};
}

static int64_t random_long(struct rng *rng)
{
	static const int64_t extremes[] = {0, -1, 1, 63, 64, -64, -65, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
	if (rng_below(rng, 2))
		return extremes[rng_below(rng, sizeof extremes / sizeof *extremes)];
	return (int64_t)(rng_next(rng) >> rng_below(rng, 64));
}

static const char *random_text(struct rng *rng, struct arena *arena)
{
	static const char *const pieces[] = {
		"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9b\x92", "0123456789", "\"\\\n\x7f", "\xef\xbf\xbd"};
	char text[200] = "";
	for (size_t i = rng_below(rng, 12); i; i--)
		strcat(text, pieces[rng_below(rng, sizeof pieces / sizeof *pieces)]);
	return arena_copy(arena, text, strlen(text));
}

static struct event_bytes random_bytes(struct rng *rng, struct arena *arena)
{
	size_t len = rng_below(rng, 20);
	uint8_t *bytes = arena_alloc(arena, len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)rng_next(rng);
	return (struct event_bytes){bytes, len};
}

static void random_value(struct rng *rng, const struct event_shape *shape, struct arena *arena, void *value);

static void random_array(struct rng *rng, const struct event_shape *shape, struct arena *arena,
                         struct event_array *array)
{
	static const size_t counts[] = {0, 0, 1, 2, 3, 5, 70};
	array->count = counts[rng_below(rng, sizeof counts / sizeof *counts)];
	if (shape->items->kind == EVENT_ARRAY)
		array->count %= 5;
	array->items = array->count ? arena_alloc(arena, array->count * shape->items->size) : NULL;
	for (size_t i = 0; i < array->count; i++) {
		void *item = (char *)array->items + i * shape->items->size;
		memset(item, 0, shape->items->size);
		if (!shape->items->nullable || rng_below(rng, 2))
			random_value(rng, shape->items, arena, item);
	}
}

static void random_value(struct rng *rng, const struct event_shape *shape, struct arena *arena, void *value)
{
	unsigned index;
	switch (shape->kind) {
	case EVENT_BOOLEAN:
		*(bool *)value = rng_below(rng, 2);
		break;
	case EVENT_INT:
		*(int32_t *)value = (int32_t)(uint32_t)random_long(rng);
		break;
	case EVENT_LONG:
		*(int64_t *)value = random_long(rng);
		break;
	case EVENT_STRING:
		*(const char **)value = random_text(rng, arena);
		break;
	case EVENT_BYTES:
		*(struct event_bytes *)value = random_bytes(rng, arena);
		break;
	case EVENT_FIXED:
		for (size_t i = 0; i < shape->size; i++)
			((uint8_t *)value)[i] = (uint8_t)rng_next(rng);
		break;
	case EVENT_ENUM:
		index = (unsigned)rng_below(rng, shape->symbols->count);
		memcpy(value, &index, sizeof index);
		break;
	case EVENT_ARRAY:
		random_array(rng, shape, arena, value);
		break;
	case EVENT_RECORD:
		random_event(rng, shape->record, arena, value);
		break;
	}
}

void random_event(struct rng *rng, const struct event_record *record, struct arena *arena, void *value)
{
	char *base = value;
	memset(value, 0, record->size);
	for (size_t i = 0; i < record->field_count; i++) {
		const struct event_field *field = &record->fields[i];
		bool has = !field->shape.nullable || rng_below(rng, 2);
		if (field->has_default && !rng_below(rng, 3)) {
			memcpy(base + field->offset, (const char *)record->defaults + field->offset, field->shape.size);
			if (field->has_offset != EVENT_NO_HAS)
				base[field->has_offset] = ((const char *)record->defaults)[field->has_offset];
			continue;
		}
		if (has)
			random_value(rng, &field->shape, arena, base + field->offset);
		if (has && field->has_offset != EVENT_NO_HAS)
			base[field->has_offset] = 1;
	}
}

const struct event_type *every_event_type(size_t index)
{
	if (index < event_type_count)
		return event_types[index];
	index -= event_type_count;
	return index < test_event_type_count ? test_event_types[index] : NULL;
}
