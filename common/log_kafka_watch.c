/* librdkafka follows a partition to another leader without a word, and a new leader may know another history; nor does it tell
 * of a topic or a partition that is not there. This thread asks for the topic's metadata and tells what is new.
 *
 * It also asks what is committed, which librdkafka answers to one who waits. (The admin call does not wait, and takes 200 ms.)
 *
 * One lock guards all below it. The thread holds it only to hand over what it saw; the consumer only to take it. */
#include "log_kafka.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_MS 2000
#define LOOK_MS       1000 /* how long one look waits for its answer */

struct kafka_watch {
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	int wake_fd;
	pthread_t thread;
	/* the thread's alone */
	int32_t *leaders;
	size_t count;
	bool away;         /* the last look had no answer */
	int missing_looks; /* in a row: one alone may be a broker that has not heard yet */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	struct kafka_sight *sights;
	size_t sight_count;
	rd_kafka_topic_partition_list_t *question, *answer;
	rd_kafka_resp_err_t answer_error;
};

static void wake(const struct kafka_watch *watch)
{
	static const uint64_t one = 1;
	if (write(watch->wake_fd, &one, sizeof one) < 0)
		return; /* full: it is awake */
}

static void tell(struct kafka_watch *watch, const struct kafka_sight *sight)
{
	for (size_t i = 0; i < watch->sight_count; i++) {
		struct kafka_sight *old = &watch->sights[i];
		if (old->kind == sight->kind && old->partition == sight->partition) {
			*old = *sight; /* it was not taken yet */
			return;
		}
	}
	watch->sights = mem_realloc(watch->sights, (watch->sight_count + 1) * sizeof *watch->sights);
	watch->sights[watch->sight_count++] = *sight;
	wake(watch);
}

static void compare(struct kafka_watch *watch, const rd_kafka_metadata_topic_t *topic)
{
	size_t count = topic->partition_cnt > 0 ? (size_t)topic->partition_cnt : 0;
	if (count > watch->count) {
		watch->leaders = mem_realloc(watch->leaders, count * sizeof *watch->leaders);
		memset(watch->leaders + watch->count, 0xff, (count - watch->count) * sizeof *watch->leaders);
	}
	size_t known = watch->count;
	if (count > watch->count)
		watch->count = count;
	for (size_t i = 0; i < count; i++) {
		int32_t partition = topic->partitions[i].id, leader = topic->partitions[i].leader;
		if (partition < 0 || (size_t)partition >= watch->count)
			continue;
		/* No leader now: the next one is new, even if it is the same. */
		if ((size_t)partition < known && leader >= 0 && leader != watch->leaders[partition])
			tell(watch, &(struct kafka_sight){.kind = SIGHT_LEADER, .partition = partition});
		watch->leaders[partition] = leader;
	}
}

static void look_at(struct kafka_watch *watch, const rd_kafka_metadata_topic_t *topic)
{
	bool missing = topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	watch->missing_looks = missing ? watch->missing_looks + 1 : 0;
	if (!topic->err)
		compare(watch, topic);
	if (!topic->err || watch->missing_looks > 1)
		tell(watch, &(struct kafka_sight){.kind = SIGHT_COUNT, .count = missing ? 0 : topic->partition_cnt});
}

static void look(struct kafka_watch *watch)
{
	const rd_kafka_metadata_t *metadata;
	bool seen = rd_kafka_metadata(watch->rk, 0, watch->topic, &metadata, LOOK_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
	pthread_mutex_lock(&watch->lock);
	if (seen && metadata->topic_cnt == 1)
		look_at(watch, &metadata->topics[0]);
	/* A broker that comes back may have lost what it had acknowledged. */
	if (seen && watch->away)
		tell(watch, &(struct kafka_sight){.kind = SIGHT_BACK});
	watch->away = !seen;
	pthread_mutex_unlock(&watch->lock);
	if (seen)
		rd_kafka_metadata_destroy(metadata);
}

/* Called with the lock, which it gives up while it waits. */
static void ask(struct kafka_watch *watch)
{
	rd_kafka_topic_partition_list_t *list = watch->question;
	watch->question = NULL;
	pthread_mutex_unlock(&watch->lock);
	rd_kafka_resp_err_t error = rd_kafka_committed(watch->rk, list, LOOK_MS);
	pthread_mutex_lock(&watch->lock);
	watch->answer = list;
	watch->answer_error = error;
	wake(watch);
}

/* True: it is to look again. */
static bool rest(struct kafka_watch *watch)
{
	struct timespec at;
	int error = 0;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += LOOK_EVERY_MS / 1000;
	pthread_mutex_lock(&watch->lock);
	while (!watch->stop && error == 0) {
		if (watch->question)
			ask(watch);
		else
			error = pthread_cond_timedwait(&watch->changed, &watch->lock, &at);
	}
	bool stop = watch->stop;
	pthread_mutex_unlock(&watch->lock);
	return !stop;
}

static void *run(void *arg)
{
	struct kafka_watch *watch = arg;
	do
		look(watch);
	while (rest(watch));
	return NULL;
}

struct kafka_watch *kafka_watch_start(rd_kafka_t *rk, const char *topic, int wake_fd)
{
	struct kafka_watch *watch = mem_zalloc(1, sizeof *watch);
	pthread_condattr_t monotonic;
	watch->rk = rk;
	watch->wake_fd = wake_fd;
	watch->topic = rd_kafka_topic_new(rk, topic, NULL);
	pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (watch->topic && pthread_create(&watch->thread, NULL, run, watch) == 0)
		return watch;
	watch->stop = true;
	kafka_watch_stop(watch);
	return NULL;
}

bool kafka_watch_next(struct kafka_watch *watch, struct kafka_sight *sight)
{
	if (!watch || pthread_mutex_trylock(&watch->lock) != 0)
		return false;
	bool found = watch->sight_count > 0;
	if (found)
		*sight = watch->sights[--watch->sight_count];
	pthread_mutex_unlock(&watch->lock);
	return found;
}

void kafka_watch_ask(struct kafka_watch *watch, rd_kafka_topic_partition_list_t *list)
{
	pthread_mutex_lock(&watch->lock);
	watch->question = list;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
}

rd_kafka_topic_partition_list_t *kafka_watch_answer(struct kafka_watch *watch, rd_kafka_resp_err_t *error)
{
	if (pthread_mutex_trylock(&watch->lock) != 0)
		return NULL;
	rd_kafka_topic_partition_list_t *answer = watch->answer;
	*error = watch->answer_error;
	watch->answer = NULL;
	pthread_mutex_unlock(&watch->lock);
	return answer;
}

void kafka_watch_stop(struct kafka_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	bool running = !watch->stop;
	watch->stop = true;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
	if (running)
		pthread_join(watch->thread, NULL);
	if (watch->topic)
		rd_kafka_topic_destroy(watch->topic);
	if (watch->question)
		rd_kafka_topic_partition_list_destroy(watch->question);
	if (watch->answer)
		rd_kafka_topic_partition_list_destroy(watch->answer);
	pthread_cond_destroy(&watch->changed);
	pthread_mutex_destroy(&watch->lock);
	mem_free(watch->leaders);
	mem_free(watch->sights);
	mem_free(watch);
}
