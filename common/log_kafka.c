/* kafka://: the handle. It owns no connection until one is needed; each consumer and producer has a librdkafka instance of
 * its own, and one more serves every blocking question.
 *
 * Properties come in three layers: our defaults, the user's (-X), and what the protocol rests on, which nothing overrides. */
#include "log_kafka.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* All brokers are down, or have refused us before, and that for so long into a call: say so, do not wait for the rest. */
#define GIVE_UP_US 2000000

/* Blocking calls wait in slices, short ones first, and look at the client's errors between them. */
#define SHORT_MS       1
#define SHORT_UNTIL_US 10000
#define SLICE_MS       50

#define REST_AFTER_US 2000000

#define CLOSE_S 5 /* what the end of an instance may take */

/* A client is nudged when this share of what may wait in its queue was delivered: half, so that from full to empty there is a
 * nudge that finds room. Each wakes all its threads, so never for less than this. */
#define NUDGE_SHARE   2
#define NUDGE_RECORDS 2000
#define NUDGE_BYTES   (256 * 1024)

/* When nothing is left: if it stopped, at least its limit was delivered since the last nudge. A part of that is enough, since
 * the queue holds other things than records too. */
#define NUDGE_SHARE_EMPTY 16

static const struct log_setting common_defaults[] = {
	{"client.id", "tandem"},
	{"socket.nagle.disable", "true"},
	{"log.connection.close", "false"},
	{"reconnect.backoff.max.ms", "2000"},
	{"topic.metadata.propagation.max.ms", "5000"},
	/* a broker that hangs keeps its connections, and only this tells; a minute by default */
	{"socket.timeout.ms", "10000"},
	{0},
};

/* Asks, and never makes a topic by asking: that is why it is no producer. Of a single record it fetches as little more as it
 * can. */
static const struct kafka_role asking = {
	.type = RD_KAFKA_CONSUMER,
	.defaults =
		(const struct log_setting[]){
			{"fetch.wait.max.ms", "1"},
			{"fetch.error.backoff.ms", "50"},
			{"fetch.message.max.bytes", "16384"},
			{"queued.min.messages", "1"},
			{0},
		},
	.fixed = (const struct log_setting[]){KAFKA_READING, {0}},
};

/* ---- clients ---- */

#define SCRAM_SINCE 0x020601ff /* 2.6.1: before, the client's nonce came twice, which brokers of version 4 refuse */

static void say_refused(struct kafka_client *client, const char *reason)
{
	static const char after[] = " (after "; /* ...: how long in which state, and how often */
	const char *end = strstr(reason, after), *what = strstr(reason, ": ");
	if (kafka_certificate_of_another_host(client))
		snprintf(
			client->why, sizeof client->why,
			"%.*s: the broker's certificate is for another host; name the broker as its certificate does, or "
			"give it one that holds this name",
			(int)(what && what - reason < 100 ? what - reason : 0), reason);
	else if (client->scram_fails)
		snprintf(
			client->why, sizeof client->why,
			"librdkafka %s cannot log in to Kafka 4 by SCRAM, whatever the password is: use librdkafka 2.6.1 or "
			"newer, client certificates, or SASL/PLAIN over TLS (with Kafka up to 3.9: the user or the password is "
			"wrong)",
			rd_kafka_version_str());
	else
		snprintf(
			client->why, sizeof client->why,
			"%.*s; expected credentials that the broker takes: -X sasl.username and sasl.password-file, or "
			"ssl.certificate.location and ssl.key.location; and ssl.ca.location",
			(int)(end ? end - reason : 200), reason);
}

static void on_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
	(void)rk;
	struct kafka_client *client = opaque;
	if (kafka_certificate_refused(reason))
		error = RD_KAFKA_RESP_ERR__AUTHENTICATION;
	if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
	    (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && client->error != RD_KAFKA_RESP_ERR__AUTHENTICATION))
		client->error = error;
	if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION)
		say_refused(client, reason);
	else if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		snprintf(client->why, sizeof client->why, "%s", reason);
	else if (!*client->why) /* of a connection that is closed at once librdkafka says nothing */
		snprintf(client->why, sizeof client->why,
		         "no broker answers there, or it expects another security.protocol (-X security.protocol=ssl)");
}

/* The value may be a secret, and librdkafka's text may hold it. */
static enum status conf_set(rd_kafka_conf_t *conf, const struct log_setting *setting, struct err *err)
{
	char text[200];
	switch (rd_kafka_conf_set(conf, setting->name, setting->value, text, sizeof text)) {
	case RD_KAFKA_CONF_OK:
		return OK;
	case RD_KAFKA_CONF_UNKNOWN:
		return err_set(err, REJECT, "invalid", "librdkafka %s has no property '%s'", rd_kafka_version_str(),
		               setting->name);
	default:
		return err_set(err, REJECT, "invalid", "librdkafka %s refuses the value of property '%s'",
		               rd_kafka_version_str(), setting->name);
	}
}

static enum status conf_set_all(rd_kafka_conf_t *conf, const struct log_setting *settings, struct err *err)
{
	enum status status = OK;
	for (; status == OK && settings && settings->name; settings++)
		status = conf_set(conf, settings, err);
	return status;
}

static const char *setting_of(const struct kafka_log *log, const char *name)
{
	const char *value = NULL;
	for (size_t i = 0; i < log->setting_count; i++)
		if (strcmp(log->settings[i].name, name) == 0)
			value = log->settings[i].value;
	return value;
}

static enum status conf_fill(rd_kafka_conf_t *conf, const struct kafka_log *log, const struct kafka_role *role,
                             const struct log_setting *more, struct err *err)
{
	const struct log_setting brokers[] = {{"bootstrap.servers", log->brokers}, {0}};
	const struct log_setting *const layers[] = {common_defaults, role->defaults, log->settings,
	                                            brokers,         role->fixed,    more};
	enum status status = OK;
	for (size_t i = 0; status == OK && i < sizeof layers / sizeof *layers; i++)
		status = conf_set_all(conf, layers[i], err);
	if (role->prepare)
		role->prepare(conf);
	if (!log->debug)
		rd_kafka_conf_set_log_cb(conf, NULL);
	/* newer ones look again by themselves, after a second where not told otherwise */
	if (role->type == RD_KAFKA_CONSUMER && !setting_of(log, "fetch.queue.backoff.ms"))
		rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "10", NULL, 0);
	return status;
}

static bool scram_fails(const struct kafka_log *log)
{
	const char *mechanism = setting_of(log, "sasl.mechanism");
	if (!mechanism)
		mechanism = setting_of(log, "sasl.mechanisms"); /* its other name */
	return mechanism && strncasecmp(mechanism, "SCRAM", strlen("SCRAM")) == 0 && rd_kafka_version() < SCRAM_SINCE;
}

/* With a mechanism that has its own way to a name, credentials must not appear from nowhere. */
static void nudge_init(const struct kafka_log *log, struct kafka_client *client)
{
	const char *protocol = setting_of(log, "security.protocol");
	client->user = setting_of(log, "sasl.username");
	client->password = setting_of(log, "sasl.password");
	if ((!client->user || !client->password) && (!protocol || strncasecmp(protocol, "sasl", 4) != 0))
		client->user = client->password = "-"; /* never sent */
	if (!client->user || !client->password)
		client->user = client->password = NULL;
}

/* To set the credentials it has is the one call of librdkafka that makes all broker threads look at what is to be done. */
void kafka_client_nudge(struct kafka_client *client)
{
	if (!client->user || rd_kafka_type(client->rk) != RD_KAFKA_CONSUMER)
		return;
	rd_kafka_error_t *error = rd_kafka_sasl_set_credentials(client->rk, client->user, client->password);
	if (error)
		rd_kafka_error_destroy(error);
}

static size_t property_of(const struct kafka_client *client, const char *name)
{
	char text[32];
	size_t size = sizeof text;
	if (rd_kafka_conf_get(rd_kafka_conf(client->rk), name, text, &size) != RD_KAFKA_CONF_OK)
		return 0;
	return strtoul(text, NULL, 10);
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static bool has_delivered(const struct kafka_client *client, size_t share, size_t records, size_t bytes)
{
	return client->records >= larger(client->records_max / share, records) ||
	       client->bytes >= larger(client->bytes_max / share, bytes);
}

static void delivered_enough(struct kafka_client *client)
{
	client->records = client->bytes = 0;
	kafka_client_nudge(client);
}

static size_t length_of(const struct log_bytes *bytes)
{
	return bytes->len > 0 ? (size_t)bytes->len : 0;
}

void kafka_client_delivered(struct kafka_client *client, const struct log_record *record)
{
	client->records++;
	client->bytes += length_of(&record->key) + length_of(&record->value);
	if (has_delivered(client, NUDGE_SHARE, NUDGE_RECORDS, NUDGE_BYTES))
		delivered_enough(client);
}

void kafka_client_empty(struct kafka_client *client)
{
	if (has_delivered(client, NUDGE_SHARE_EMPTY, 1, 1))
		delivered_enough(client);
	client->records = client->bytes = 0;
}

enum status kafka_client_open(struct kafka_log *log, const struct kafka_role *role, const struct log_setting *more,
                              struct kafka_client *client, struct err *err)
{
	char text[200];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	*client = (struct kafka_client){.scram_fails = scram_fails(log)};
	enum status status = conf_fill(conf, log, role, more, err);
	rd_kafka_conf_set_opaque(conf, client);
	rd_kafka_conf_set_error_cb(conf, on_error);
	kafka_certificate_watch(conf);
	if (role->polled)
		kafka_statistics_set(log, conf, client);
	if (status == OK) {
		client->rk = rd_kafka_new(role->type, conf, text, sizeof text);
		nudge_init(log, client);
		if (client->rk) {
			client->records_max = property_of(client, "queued.min.messages");
			client->bytes_max = property_of(client, "queued.max.messages.kbytes") * 1024;
			return OK;
		}
		status = err_set(err, FATAL, "invalid", "librdkafka cannot start with these properties: %s", text);
	}
	rd_kafka_conf_destroy(conf);
	return status;
}

/* The end of an instance, in a thread of its own. Who comes second frees it: the thread, or the one who waited for it. */
struct ending {
	rd_kafka_t *rk;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over, left;
};

static void ending_free(struct ending *ending)
{
	pthread_cond_destroy(&ending->changed);
	pthread_mutex_destroy(&ending->lock);
	mem_free(ending);
}

static void *ending_run(void *arg)
{
	struct ending *ending = arg;
	rd_kafka_destroy_flags(ending->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	pthread_mutex_lock(&ending->lock);
	bool left = ending->left;
	ending->over = true;
	pthread_cond_signal(&ending->changed);
	pthread_mutex_unlock(&ending->lock);
	if (left)
		ending_free(ending);
	return NULL;
}

static bool ending_wait(struct ending *ending)
{
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += CLOSE_S;
	pthread_mutex_lock(&ending->lock);
	while (!ending->over && pthread_cond_timedwait(&ending->changed, &ending->lock, &end) == 0)
		;
	ending->left = !ending->over;
	bool left = ending->left;
	pthread_mutex_unlock(&ending->lock);
	return !left;
}

bool kafka_client_close(struct kafka_client *client)
{
	pthread_t thread;
	rd_kafka_t *rk = client->rk;
	if (!rk)
		return true;
	client->rk = NULL;
	client->statistics = NULL;
	struct ending *ending = mem_zalloc(1, sizeof *ending);
	ending->rk = rk;
	pthread_mutex_init(&ending->lock, NULL);
	pthread_cond_init(&ending->changed, NULL);
	if (pthread_create(&thread, NULL, ending_run, ending) != 0) {
		ending->left = true; /* nobody waits */
		ending_run(ending);
		return true;
	}
	if (ending_wait(ending)) {
		pthread_join(thread, NULL);
		ending_free(ending);
		return true;
	}
	pthread_detach(thread);
	return false;
}

enum status kafka_asking_open(struct kafka_log *log, const struct log_setting *more, struct kafka_client *client,
                              struct err *err)
{
	char timeout[12]; /* an answer that never comes ends with the call's time, not after a minute */
	snprintf(timeout, sizeof timeout, "%d", log->base.timeout_ms < 300000 ? log->base.timeout_ms : 300000);
	const struct log_setting fixed[] = {KAFKA_READING, {"socket.timeout.ms", timeout}, {0}};
	struct kafka_role role = asking;
	role.fixed = fixed;
	return kafka_client_open(log, &role, more, client, err);
}

struct kafka_client *kafka_log_client(struct kafka_log *log, enum status *status, struct err *err)
{
	*status = log->client.rk ? OK : kafka_asking_open(log, NULL, &log->client, err);
	return *status == OK ? &log->client : NULL;
}

/* ---- blocking calls ---- */

void kafka_call_begin(struct kafka_call *call, struct kafka_log *log, struct kafka_client *client)
{
	rd_kafka_poll(client->rk, 0);
	int64_t now_us = log->asked_us = seam_monotonic_us(log->base.seam);
	*call = (struct kafka_call){log, client, now_us, now_us + (int64_t)log->base.timeout_ms * 1000, client->error};
	client->error = RD_KAFKA_RESP_ERR_NO_ERROR; /* unless this call fails too */
}

int kafka_call_slice_ms(const struct kafka_call *call)
{
	int64_t now_us = seam_monotonic_us(call->log->base.seam), left_us = call->end_us - now_us;
	int slice_ms = now_us - call->begin_us < SHORT_UNTIL_US ? SHORT_MS : SLICE_MS;
	if (left_us <= 0)
		return 0;
	return left_us < slice_ms * 1000 ? (int)(left_us / 1000) + 1 : slice_ms;
}

bool kafka_call_go_on(struct kafka_call *call, const char *what, enum status *status, struct err *err)
{
	struct kafka_client *client = call->client;
	kafka_client_nudge(client);
	rd_kafka_poll(client->rk, 0);
	int64_t now_us = seam_monotonic_us(call->log->base.seam);
	bool refused = client->error == RD_KAFKA_RESP_ERR__AUTHENTICATION, over = now_us >= call->end_us;
	rd_kafka_resp_err_t error = client->error ? client->error : call->before;
	if (!refused && !over && !(error && now_us - call->begin_us >= GIVE_UP_US))
		return true;
	client->error = error;
	if (error)
		*status = kafka_err(err, error, client->why, "%s: %s", call->log->base.url, what);
	else
		*status =
			err_set(err, RETRY, "timeout", "%s: %s: no answer in %d ms%s%s", call->log->base.url, what,
		                call->log->base.timeout_ms, *client->why ? "; the last error was: " : "", client->why);
	return false;
}

/* ---- waiting ---- */

void kafka_wake(struct kafka_log *log)
{
	static const uint64_t one = 1;
	if (write(log->wake_fd, &one, sizeof one) < 0)
		return; /* full: it is awake */
}

void kafka_wakeup_add(struct kafka_log *log, struct kafka_wakeup *wakeup, rd_kafka_queue_t *queue)
{
	static const uint64_t one = 1;
	wakeup->queue = queue;
	wakeup->next = log->wakeups;
	log->wakeups = wakeup;
	rd_kafka_queue_io_event_enable(queue, log->wake_fd, &one, sizeof one);
}

void kafka_wakeup_remove(struct kafka_log *log, struct kafka_wakeup *wakeup)
{
	struct kafka_wakeup **at = &log->wakeups;
	while (*at && *at != wakeup)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = wakeup->next;
	rd_kafka_queue_io_event_enable(wakeup->queue, -1, NULL, 0);
}

/* Clients that only ask are connected for a while: every one has threads of its own that wake up each second. One is closed at
 * a time: beside a broker that hangs it takes CLOSE_S, and the caller has a membership to keep. */
static void rest(struct kafka_log *log)
{
	if (!log->asked_us || seam_monotonic_us(log->base.seam) - log->asked_us < REST_AFTER_US)
		return;
	if (log->idle) {
		kafka_sources_close(log);
	} else if (log->asker.client.rk) {
		kafka_asker_close(log);
	} else {
		kafka_client_close(&log->client);
		log->asked_us = 0;
	}
}

/* What was written to the descriptor since the last time may have been polled already: then the caller comes again. */
static void kafka_wait(struct log *base, int timeout_ms)
{
	struct kafka_log *log = kafka_of(base);
	uint64_t times;
	if (read(log->wake_fd, &times, sizeof times) > 0)
		return;
	for (const struct kafka_wakeup *wakeup = log->wakeups; wakeup; wakeup = wakeup->next)
		if (rd_kafka_queue_length(wakeup->queue) > 0)
			return;
	rest(log);
	poll(&(struct pollfd){.fd = log->wake_fd, .events = POLLIN}, 1, timeout_ms);
}

/* ---- the handle ---- */

static void kafka_close(struct log *base)
{
	struct kafka_log *log = kafka_of(base);
	kafka_sources_close(log);
	kafka_asker_close(log);
	kafka_client_close(&log->client);
	close(log->wake_fd);
	mem_free(log);
}

static const struct log_ops kafka_ops = {
	.close = kafka_close,
	.wait = kafka_wait,
	.consumer_open = kafka_consumer_open,
	.consumer_close = kafka_consumer_close,
	.consumer_poll = kafka_consumer_poll,
	.consumer_assign = kafka_consumer_assign,
	.consumer_hold = kafka_consumer_hold,
	.consumer_commit = kafka_consumer_commit,
	.consumer_committed = kafka_consumer_committed,
	.committed = kafka_committed,
	.producer_open = kafka_producer_open,
	.producer_topic = kafka_producer_topic,
	.produce = kafka_produce,
	.producer_flush = kafka_producer_flush,
	.producer_ack = kafka_producer_ack,
	.producer_pending = kafka_producer_pending,
	.producer_close = kafka_producer_close,
	.reader_open = kafka_reader_open,
	.reader_next = kafka_reader_next,
	.reader_close = kafka_reader_close,
	.read_at = kafka_read_at,
	.bounds = kafka_bounds,
	.offset_at = kafka_offset_at,
	.topic_create = kafka_topic_create,
	.topic_delete = kafka_topic_delete,
	.topic_describe = kafka_topic_describe,
	.topic_list = kafka_topic_list,
	.group_delete = kafka_group_delete,
	.node_count = kafka_node_count,
};

static void settings_copy(struct kafka_log *log, const struct log_config *config)
{
	log->settings = arena_alloc(&log->base.arena, (config->setting_count + 1) * sizeof *log->settings);
	for (size_t i = 0; i < config->setting_count; i++) {
		const struct log_setting *s = &config->settings[i];
		log->settings[i].name = arena_copy(&log->base.arena, s->name, strlen(s->name));
		log->settings[i].value = arena_copy(&log->base.arena, s->value, strlen(s->value));
		log->debug = log->debug || strcmp(s->name, "debug") == 0;
	}
	log->settings[config->setting_count] = (struct log_setting){0};
	log->setting_count = config->setting_count;
}

/* Wrong properties show now and not at first use. */
static enum status settings_check(const struct kafka_log *log, struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	enum status status = conf_fill(conf, log, &asking, NULL, err);
	rd_kafka_conf_destroy(conf);
	return status;
}

static bool brokers_valid(const char *brokers)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:,[]%";
	size_t len = strlen(brokers);
	return len && brokers[0] != ',' && brokers[0] != ':' && strspn(brokers, allowed) == len;
}

enum status log_kafka_open(const char *url, const char *rest, const struct log_config *config, struct log **out,
                           struct err *err)
{
	if (!brokers_valid(rest))
		return err_set(err, REJECT, "invalid", "'%s' names no brokers, expected kafka://HOST:PORT,...", url);
	struct kafka_log *log = mem_zalloc(1, sizeof *log);
	log_base_init(&log->base, &kafka_ops, url, config);
	log->brokers = arena_copy(&log->base.arena, rest, strlen(rest));
	settings_copy(log, config);
	enum status status = settings_check(log, err);
	log->wake_fd = status == OK ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
	if (log->wake_fd >= 0) {
		*out = &log->base;
		return OK;
	}
	if (status == OK)
		status = err_set(err, RETRY, "io", "no descriptor to wait on: %s", strerror(errno));
	log_base_fini(&log->base);
	mem_free(log);
	return status;
}

int32_t log_partition_of(const void *key, size_t len, int32_t count)
{
	return rd_kafka_msg_partitioner_murmur2(NULL, key, len, count, NULL, NULL);
}
