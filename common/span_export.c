/* The ring: `put` is written by the caller alone and `taken` by the thread alone; each publishes its side with release and
 * reads the other's with acquire, so that a place is never written while it is read. */
#include "span_export.h"

#include "http_client.h"
#include "mem.h"
#include "thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define TICK_MS       250
#define TICKS_A_BATCH 2 /* what is less than a batch goes out after so many ticks */
#define TRIES         5
#define FLUSH_MS      5000
#define PAUSE_MS      1000
#define SAY_EVERY_US  60000000
#define ANSWER_BYTES  65536
#define REASON_BYTES  200

struct span_export {
	/* the caller's side */
	_Atomic uint64_t put;
	_Atomic int64_t full;
	/* the thread's */
	_Atomic uint64_t taken;
	_Atomic int64_t sent, refused, given_up;
	struct span ring[SPAN_EXPORT_ROOM];

	pthread_t thread;
	pthread_mutex_t lock; /* of closing alone: the thread sleeps on it, span_export_put never takes it */
	pthread_cond_t wake;
	bool closing;
	_Atomic int64_t deadline_us;

	struct http_client *client;
	struct http_reply reply;
	struct span_export_config config;
	struct otlp_source source;
	char *texts[6]; /* source's and config.url */
	bool down;      /* the last try failed */
	int64_t said_us, said_count;
	char why[REASON_BYTES]; /* of the last failure */
};

/* The machine's clock, whatever the seam says: it is for waiting in a thread of its own. */
static int64_t now_us(void)
{
	return seam_monotonic_us(&seam_system);
}

void span_export_put(struct span_export *export, const struct span *span)
{
	uint64_t put = atomic_load_explicit(&export->put, memory_order_relaxed);
	if (put - atomic_load_explicit(&export->taken, memory_order_acquire) == SPAN_EXPORT_ROOM) {
		atomic_fetch_add_explicit(&export->full, 1, memory_order_relaxed);
		return;
	}
	export->ring[put % SPAN_EXPORT_ROOM] = *span;
	atomic_store_explicit(&export->put, put + 1, memory_order_release);
}

void span_export_counts(const struct span_export *export, struct span_export_counts *out)
{
	*out = (struct span_export_counts){.taken = atomic_load(&export->sent),
	                                   .full = atomic_load(&export->full),
	                                   .refused = atomic_load(&export->refused),
	                                   .given_up = atomic_load(&export->given_up)};
}

/* ---- what is said ---- */

static void say_dropped(struct span_export *export, bool last)
{
	struct span_export_counts counts;
	span_export_counts(export, &counts);
	int64_t dropped = counts.full + counts.refused + counts.given_up, now = seam_monotonic_us(export->config.seam);
	bool due = last || !export->said_count || now - export->said_us >= SAY_EVERY_US;
	if (dropped == export->said_count || !due)
		return;
	logging_write(export->config.logging, LOGGING_WARNING, "spans were dropped",
	              LOGGING_INT("count", dropped - export->said_count), LOGGING_INT("no_room", counts.full),
	              LOGGING_INT("refused", counts.refused), LOGGING_INT("given_up", counts.given_up),
	              LOGGING_TEXT("endpoint", export->config.url),
	              LOGGING_TEXT("detail", *export->why ? export->why : NULL));
	export->said_count = dropped;
	export->said_us = now;
}

static void say_down(struct span_export *export, bool down)
{
	if (down && !export->down)
		logging_write(
			export->config.logging, LOGGING_WARNING,
			"spans cannot be sent: they wait, and are dropped when too many do; look at the collector",
			LOGGING_TEXT("endpoint", export->config.url), LOGGING_TEXT("detail", export->why));
	if (!down && export->down)
		logging_write(export->config.logging, LOGGING_INFO, "spans are sent again",
		              LOGGING_TEXT("endpoint", export->config.url));
	export->down = down;
}

/* ---- one batch ---- */

enum outcome { TAKEN, REFUSED, TRY_AGAIN };

static bool passing(int http_status)
{
	return http_status == 429 || http_status == 502 || http_status == 503 || http_status == 504;
}

static enum outcome post(struct span_export *export, const char *body, size_t len)
{
	const struct http_request request = {
		.method = "POST", .path = "", .content_type = "application/json", .body = body, .body_len = len};
	struct err err = {0};
	if (http_client_send(export->client, &request, &export->reply, &err) != OK) {
		snprintf(export->why, sizeof export->why, "%.*s", REASON_BYTES - 1, err.text);
		return TRY_AGAIN;
	}
	const int status = export->reply.status;
	if (status >= 200 && status < 300)
		return TAKEN;
	snprintf(export->why, sizeof export->why, "status %d: %.150s", status, buf_text(&export->reply.body));
	return passing(status) ? TRY_AGAIN : REFUSED;
}

/* Sleeps so long, but not into closing. */
static void rest(struct span_export *export, int64_t ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&export->lock);
	while (!export->closing && pthread_cond_timedwait(&export->wake, &export->lock, &until) == 0) {
	}
	pthread_mutex_unlock(&export->lock);
}

static bool is_closing(struct span_export *export)
{
	pthread_mutex_lock(&export->lock);
	bool closing = export->closing;
	pthread_mutex_unlock(&export->lock);
	return closing;
}

static bool out_of_time(void *arg)
{
	struct span_export *export = arg;
	int64_t deadline = atomic_load(&export->deadline_us);
	return deadline && now_us() >= deadline;
}

static enum outcome post_patiently(struct span_export *export, const char *body, size_t len)
{
	int64_t pause_ms = export->config.pause_ms ? export->config.pause_ms : PAUSE_MS;
	for (int tries = 1;; tries++, pause_ms *= 2) {
		enum outcome outcome = out_of_time(export) ? TRY_AGAIN : post(export, body, len);
		if (outcome != TRY_AGAIN || tries == TRIES || is_closing(export))
			return outcome;
		say_down(export, true);
		say_dropped(export, false);
		rest(export, pause_ms);
	}
}

static void send_batch(struct span_export *export, const struct span *spans, size_t count)
{
	json_t *request = otlp_traces(&export->source, spans, count);
	char *body = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	enum outcome outcome = body ? post_patiently(export, body, strlen(body)) : REFUSED;
	free(body);
	int64_t refused = outcome == REFUSED ? (int64_t)count : 0;
	if (outcome == TAKEN)
		refused =
			otlp_refused(export->reply.body.data, export->reply.body.len, export->why, sizeof export->why);
	if (refused > (int64_t)count)
		refused = (int64_t)count;
	if (outcome != REFUSED)
		say_down(export, outcome == TRY_AGAIN);
	if (outcome == TRY_AGAIN) {
		atomic_fetch_add(&export->given_up, (int64_t)count);
		return;
	}
	atomic_fetch_add(&export->refused, refused);
	atomic_fetch_add(&export->sent, (int64_t)count - refused);
}

/* ---- the thread ---- */

static size_t waiting(const struct span_export *export)
{
	return (size_t)(atomic_load_explicit(&export->put, memory_order_acquire) -
	                atomic_load_explicit(&export->taken, memory_order_relaxed));
}

/* At most a batch, of what lies in one piece. Its places are free again only behind it: nothing is copied. */
static void send_some(struct span_export *export)
{
	uint64_t taken = atomic_load_explicit(&export->taken, memory_order_relaxed);
	size_t count = waiting(export), at = taken % SPAN_EXPORT_ROOM;
	if (count > SPAN_EXPORT_BATCH)
		count = SPAN_EXPORT_BATCH;
	if (count > SPAN_EXPORT_ROOM - at)
		count = SPAN_EXPORT_ROOM - at;
	send_batch(export, &export->ring[at], count);
	atomic_store_explicit(&export->taken, taken + count, memory_order_release);
}

static void *run(void *arg)
{
	struct span_export *export = arg;
	bool closing = false;
	for (int ticks = 0; !closing; ticks++) {
		rest(export, export->config.tick_ms ? export->config.tick_ms : TICK_MS);
		closing = is_closing(export);
		if (closing || ticks >= TICKS_A_BATCH || waiting(export) >= SPAN_EXPORT_BATCH) {
			for (ticks = 0; waiting(export);)
				send_some(export);
		}
		say_dropped(export, closing);
	}
	return NULL;
}

/* ---- opening and closing ---- */

static enum status start_thread(struct span_export *export, struct err *err)
{
	int error = thread_start(&export->thread, run, export);
	return error ? err_set(err, RETRY, "memory", "no thread for spans: %s", strerror(error)) : OK;
}

static void init_wake(struct span_export *export)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&export->wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

static const char *keep(struct span_export *export, size_t index, const char *text)
{
	return text ? (export->texts[index] = mem_strdup(text)) : NULL;
}

static void release(struct span_export *export)
{
	http_client_close(export->client);
	buf_fini(&export->reply.body);
	pthread_cond_destroy(&export->wake);
	pthread_mutex_destroy(&export->lock);
	for (size_t i = 0; i < sizeof export->texts / sizeof *export->texts; i++)
		mem_free(export->texts[i]);
	mem_free(export);
}

enum status span_export_open(const struct span_export_config *config, struct span_export **out, struct err *err)
{
	struct span_export *export = mem_zalloc(1, sizeof *export);
	const struct otlp_source *source = &config->source;
	pthread_mutex_init(&export->lock, NULL);
	init_wake(export);
	export->config = *config;
	export->config.url = keep(export, 5, config->url);
	export->source = (struct otlp_source){.service = keep(export, 0, source->service),
	                                      .name_space = keep(export, 1, source->name_space),
	                                      .instance = keep(export, 2, source->instance),
	                                      .system = keep(export, 3, source->system),
	                                      .group = keep(export, 4, source->group)};
	const struct http_client_config client = {.url = config->url,
	                                          .headers = config->headers,
	                                          .header_count = config->header_count,
	                                          .timeout_ms = config->timeout_ms,
	                                          .answer_bytes_max = ANSWER_BYTES,
	                                          .stopped = out_of_time,
	                                          .arg = export};
	enum status status = http_client_open(&client, &export->client, err);
	if (status == OK)
		status = start_thread(export, err);
	if (status != OK)
		release(export);
	else
		*out = export;
	return status;
}

void span_export_close(struct span_export *export)
{
	if (!export)
		return;
	const int64_t flush_ms = export->config.flush_ms ? export->config.flush_ms : FLUSH_MS;
	atomic_store(&export->deadline_us, now_us() + flush_ms * 1000);
	pthread_mutex_lock(&export->lock);
	export->closing = true;
	pthread_cond_signal(&export->wake);
	pthread_mutex_unlock(&export->lock);
	pthread_join(export->thread, NULL);
	release(export);
}
