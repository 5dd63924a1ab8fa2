#include "rows_impl.h"

#include <string.h>

#define ALIGNMENT   8
#define PIECE_BYTES 4096

/* ---- memory ---- */

static size_t aligned(size_t size)
{
	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void *take(struct rows *rows, size_t size)
{
	size = aligned(size);
	rows->bytes += size;
	if (size > PIECE_BYTES)
		return arena_alloc(&rows->memory, size);
	if (rows->piece_left < size) {
		rows->piece = arena_alloc(&rows->memory, PIECE_BYTES);
		rows->piece_left = PIECE_BYTES;
	}
	void *taken = rows->piece;
	rows->piece += size;
	rows->piece_left -= size;
	return taken;
}

/* Images of one class take the same memory; the spare ones of a class are a list. */
static size_t class_of(size_t size)
{
	return aligned(sizeof(struct image) + size) / ALIGNMENT;
}

static struct image *image_room(struct rows *rows, size_t size)
{
	size_t class = class_of(size);
	struct image *image = class < ROWS_SPARE_CLASSES ? rows->spare[class] : NULL;
	if (image)
		memcpy(&rows->spare[class], image, sizeof image);
	else
		image = take(rows, sizeof *image + size);
	image->size = (uint32_t)size;
	return image;
}

void rows_image_free(struct rows *rows, struct image *image)
{
	size_t class = image ? class_of(image->size) : ROWS_SPARE_CLASSES;
	if (class >= ROWS_SPARE_CLASSES)
		return;
	memcpy(image, &rows->spare[class], sizeof image);
	rows->spare[class] = image;
}

struct image *rows_image_copy(struct rows *rows, const void *packed, size_t size)
{
	struct image *image = image_room(rows, size);
	memcpy(image->bytes, packed, size);
	return image;
}

struct image *rows_image(struct rows *rows, const struct table *table, const struct store_value *row)
{
	buf_reset(&rows->row);
	rows_pack(&rows->row, row + table->key_count, table->column_count - table->key_count);
	return rows_image_copy(rows, rows->row.data, rows->row.len);
}

void rows_values(const struct table *table, const struct entry *entry, struct store_value values[ROWS_COLUMNS_MAX])
{
	rows_unpack(entry->key.bytes, values, table->key_count);
	rows_unpack(entry->row->bytes, values + table->key_count, table->column_count - table->key_count);
}

/* ---- entries ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Places are nobody's business outside: any hash will do that outsiders, who choose the keys, cannot foresee. */
uint64_t rows_hash(const struct rows *rows, const struct table *table)
{
	const uint64_t *secrets = rows->secrets;
	const uint8_t *at = rows->key.data;
	uint64_t hash = mix(secrets[0] ^ table->at ^ (uint64_t)rows->key.len << 32, secrets[1]);
	for (size_t left = rows->key.len; left;) {
		uint64_t word = 0;
		size_t len = left < sizeof word ? left : sizeof word;
		memcpy(&word, at, len);
		hash = mix(hash ^ word, secrets[0]);
		at += len;
		left -= len;
	}
	return mix(hash, secrets[1]);
}

void rows_pack_key(struct rows *rows, const struct table *table, const struct store_value *key)
{
	buf_reset(&rows->key);
	rows_pack(&rows->key, key, table->key_count);
}

bool rows_is_key(const struct rows *rows, const struct entry *entry)
{
	return entry->key.size == rows->key.len && memcmp(entry->key.bytes, rows->key.data, rows->key.len) == 0;
}

struct entry *rows_find(const struct rows *rows, const struct table *table, uint64_t hash)
{
	for (size_t at = hash;; at++) {
		const struct place *place = &rows->places[at & (rows->place_count - 1)];
		if (!place->entry)
			return NULL;
		if (place->hash == hash && place->entry->table == table->at && rows_is_key(rows, place->entry))
			return place->entry;
	}
}

static void place_put(struct rows *rows, uint64_t hash, struct entry *entry)
{
	size_t at = hash;
	while (rows->places[at & (rows->place_count - 1)].entry)
		at++;
	rows->places[at & (rows->place_count - 1)] = (struct place){hash, entry};
}

/* Written at once. What is read first is the kernel's one page of zeros, and to replace it where threads run on other cores
 * interrupts them all. */
static struct place *places_new(size_t count)
{
	struct place *places = mem_alloc(count * sizeof *places);
	memset(places, 0, count * sizeof *places);
	return places;
}

void rows_add_places(struct rows *rows, size_t count)
{
	struct place *old = rows->places;
	size_t old_count = rows->place_count;
	rows->place_count += count;
	rows->bytes += count * sizeof *rows->places;
	rows->places = places_new(rows->place_count);
	for (size_t i = 0; i < old_count; i++)
		if (old[i].entry)
			place_put(rows, old[i].hash, old[i].entry);
	mem_free(old);
}

struct entry *rows_add(struct rows *rows, const struct table *table, const void *key, size_t size, uint64_t hash)
{
	if (rows->entry_count >= rows->place_count / 4 * 3)
		rows_add_places(rows, rows->place_count);
	struct entry *entry = take(rows, sizeof *entry + size);
	*entry = (struct entry){.table = table->at};
	entry->key.size = (uint32_t)size;
	memcpy(entry->key.bytes, key, size);
	place_put(rows, hash, entry);
	rows->entry_count++;
	return entry;
}
