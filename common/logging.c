/* A line is built whole and written by one call, under the lock, so that lines of several threads never mix.
 *
 * Repeats are counted in a table of fixed size, found by level and msg. Where two fall on one slot, the older one's
 * count is written out and the newer one takes the slot: a count may come early, it is never lost. */
#include "logging.h"

#include "bytes.h"
#include "json.h"
#include "mem.h"
#include "timestamp.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define SLOT_COUNT 64

const char *const logging_levels[] = {"debug", "info", "warning", "error", NULL};
const char *const logging_formats[] = {"auto", "json", "text", NULL};

struct slot {
	char *msg; /* owned; NULL: free */
	enum logging_level level;
	int64_t since_us; /* the window's start */
	int64_t written, held;
};

struct logging {
	const struct seam *seam;
	FILE *out;
	enum logging_level level;
	bool json;
	char *service;
	pthread_mutex_t lock; /* everything below and the order of lines */
	struct buf line;
	struct slot slots[SLOT_COUNT];
};

struct logging *logging_new(const struct logging_config *config)
{
	struct logging *logging = mem_zalloc(1, sizeof *logging);
	logging->seam = config->seam;
	logging->out = config->out ? config->out : stderr;
	logging->level = config->level;
	logging->json =
		config->format == LOGGING_JSON || (config->format == LOGGING_AUTO && !isatty(fileno(logging->out)));
	logging->service = config->service ? mem_strdup(config->service) : NULL;
	pthread_mutex_init(&logging->lock, NULL);
	return logging;
}

/* Text that jansson takes: what is no UTF-8 becomes U+FFFD, byte by byte, where the whole is not valid. */
static json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	if (json)
		return json;
	struct buf clean = {0};
	for (; *text; text++) {
		if ((unsigned char)*text < 0x80)
			buf_put_u8(&clean, (uint8_t)*text);
		else
			buf_put(&clean, "\xef\xbf\xbd", 3);
	}
	json = json_string(buf_text(&clean));
	buf_fini(&clean);
	return json;
}

static json_t *json_field(const struct logging_field *field)
{
	switch (field->kind) {
	case LOGGING_KIND_INT:
		return json_integer(field->number);
	case LOGGING_KIND_BOOL:
		return json_boolean(field->number != 0);
	case LOGGING_KIND_TEXT:
		break;
	}
	return field->text ? json_text(field->text) : NULL;
}

static int put_bytes(const char *bytes, size_t len, void *line)
{
	buf_put(line, bytes, len);
	return 0;
}

/* A value as plain text: bare where it is one harmless word, else as JSON writes it. */
static void put_plain(struct buf *line, const json_t *value)
{
	const char *text = json_string_value(value);
	const char *harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+,";
	if (text && *text && strspn(text, harmless) == strlen(text))
		buf_putf(line, "%s", text);
	else
		json_dump_callback(value, put_bytes, line, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
}

static void build_plain(struct buf *line, json_t *object)
{
	const char *name;
	json_t *value;
	buf_putf(line, "%s %-7s %s", json_string_value(json_object_get(object, "ts")),
	         json_string_value(json_object_get(object, "level")),
	         json_string_value(json_object_get(object, "msg")));
	json_object_foreach(object, name, value)
	{
		if (!strcmp(name, "ts") || !strcmp(name, "level") || !strcmp(name, "msg"))
			continue;
		buf_putf(line, " %s=", name);
		put_plain(line, value);
	}
}

static void write_line(struct logging *logging, enum logging_level level, const char *msg,
                       const struct logging_field *fields, int64_t repeated)
{
	char now[TIMESTAMP_TEXT_BYTES];
	timestamp_text(seam_wall_ms(logging->seam), now);
	json_t *object = json_object();
	json_object_set_new(object, "ts", json_string(now));
	json_object_set_new(object, "level", json_string(logging_levels[level]));
	json_object_set_new(object, "msg", json_text(msg));
	if (logging->service)
		json_object_set_new(object, "service", json_text(logging->service));
	for (; fields && fields->name; fields++) {
		json_t *value = json_field(fields);
		if (value)
			json_object_set_new(object, fields->name, value);
	}
	if (repeated)
		json_object_set_new(object, "repeated", json_integer(repeated));
	buf_reset(&logging->line);
	if (logging->json)
		json_dump_callback(object, put_bytes, &logging->line, JSON_COMPACT);
	else
		build_plain(&logging->line, object);
	json_decref(object);
	buf_put_u8(&logging->line, '\n');
	fwrite(logging->line.data, 1, logging->line.len, logging->out);
	fflush(logging->out);
}

static void slot_release(struct logging *logging, struct slot *slot)
{
	if (slot->msg && slot->held)
		write_line(logging, slot->level, slot->msg, NULL, slot->held);
	mem_free(slot->msg);
	*slot = (struct slot){0};
}

static bool window_over(const struct logging *logging, const struct slot *slot)
{
	return seam_monotonic_us(logging->seam) - slot->since_us >= (int64_t)LOGGING_WINDOW_MS * 1000;
}

/* The slot of this msg; else a free one, or the one whose window began first. */
static struct slot *slot_of(struct logging *logging, enum logging_level level, const char *msg)
{
	struct slot *best = &logging->slots[0];
	for (size_t i = 0; i < SLOT_COUNT; i++) {
		struct slot *slot = &logging->slots[i];
		if (slot->msg && slot->level == level && strcmp(slot->msg, msg) == 0)
			return slot;
		if (best->msg && (!slot->msg || slot->since_us < best->since_us))
			best = slot;
	}
	slot_release(logging, best);
	*best = (struct slot){mem_strdup(msg), level, seam_monotonic_us(logging->seam), 0, 0};
	return best;
}

void logging_write_fields(struct logging *logging, enum logging_level level, const char *msg,
                          const struct logging_field *fields)
{
	if (!logging || level < logging->level)
		return;
	pthread_mutex_lock(&logging->lock);
	struct slot *slot = slot_of(logging, level, msg);
	int64_t repeated = 0;
	if (window_over(logging, slot)) {
		repeated = slot->held;
		slot->since_us = seam_monotonic_us(logging->seam);
		slot->written = slot->held = 0;
	}
	if (slot->written < LOGGING_BURST) {
		slot->written++;
		write_line(logging, level, msg, fields, repeated);
	} else {
		slot->held++;
	}
	pthread_mutex_unlock(&logging->lock);
}

void logging_poll(struct logging *logging)
{
	if (!logging)
		return;
	pthread_mutex_lock(&logging->lock);
	for (size_t i = 0; i < SLOT_COUNT; i++) {
		if (logging->slots[i].held && window_over(logging, &logging->slots[i]))
			slot_release(logging, &logging->slots[i]);
	}
	pthread_mutex_unlock(&logging->lock);
}

void logging_free(struct logging *logging)
{
	if (!logging)
		return;
	for (size_t i = 0; i < SLOT_COUNT; i++)
		slot_release(logging, &logging->slots[i]);
	pthread_mutex_destroy(&logging->lock);
	buf_fini(&logging->line);
	mem_free(logging->service);
	mem_free(logging);
}
