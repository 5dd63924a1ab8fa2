/* Streams: what each source says it sent against what each reader says it received. */
#include "audit.h"

#include "hash.h"
#include "header.h"
#include "status.h"

#include <inttypes.h>
#include <string.h>

static const struct task_stream *find(const struct task_stream *streams, size_t count, const char *name,
                                      int32_t partition)
{
	for (size_t i = 0; i < count; i++)
		if (streams[i].partition == partition && strcmp(streams[i].name, name) == 0)
			return &streams[i];
	return NULL;
}

static const struct task_stream *sent_to(const struct audit_view *source, const char *topic, int32_t partition)
{
	size_t count;
	const struct task_stream *streams = task_outbound(source->task, &count);
	return find(streams, count, topic, partition);
}

static const struct task_stream *received_from(const struct audit_view *reader, const struct audit_view *source)
{
	size_t count;
	const struct task_stream *streams = task_inbound(reader->task, &count);
	return find(streams, count, source->service->name, source->partition);
}

static bool reads(const struct service *reader, const struct service *source)
{
	for (size_t i = 0; i < reader->source_count; i++)
		if (strcmp(reader->sources[i].service, source->name) == 0)
			return true;
	return false;
}

static bool reads_from(const struct audit_view *reader, const struct audit_view *source, const char *topic,
                       int32_t partition)
{
	return reader->partition == partition && strcmp(reader->service->input, topic) == 0 &&
	       reads(reader->service, source->service);
}

static struct audit_stream *add_stream(struct audit *audit, const struct audit_view *source, const char *topic,
                                       int32_t partition, const struct task_stream *sent)
{
	if (audit->stream_count == audit->stream_room) {
		audit->stream_room = audit->stream_room ? 2 * audit->stream_room : 64;
		audit->streams = mem_realloc(audit->streams, audit->stream_room * sizeof *audit->streams);
	}
	struct audit_stream *stream = &audit->streams[audit->stream_count++];
	*stream = (struct audit_stream){.source = source, .topic = topic, .partition = partition, .what = ""};
	if (sent) {
		stream->sent = sent->number;
		stream->sent_chain = sent->chain;
	}
	return stream;
}

static const char *resend_command(struct audit *audit, const struct audit_stream *stream)
{
	return audit_text(audit, "tandem %s resend --partitions %d --to %s/%d --from %" PRIu64,
	                  stream->source->service->name, stream->source->partition, stream->topic, stream->partition,
	                  stream->received + 1);
}

/* Both numbers are known. reader_lag: what the reader has not read yet (0 for the last record of a topic).
 *
 * A file's outputs were acknowledged before its COMMIT, so that all of them are in the log when the file is copied, and
 * whoever has read to the end has them. Of a fold only the mark says what its worker has sent. A source may have sent more
 * than its file says only while it has records to fold. */
static void judge(struct audit *audit, struct audit_stream *stream, int64_t reader_lag)
{
	const struct audit_view *source = stream->source;
	bool all_sent = source->path || source->sent_lag == 0;
	if (stream->sent == stream->received) {
		stream->verdict =
			stream->sent && stream->sent_chain != stream->received_chain ? AUDIT_DIFFERS : AUDIT_HOLDS;
		if (stream->verdict == AUDIT_DIFFERS)
			stream->what = audit_text(
				audit,
				"the same number with another chain hash: one of them holds an event the other"
				" never saw; tandem %s verify --partitions %d",
				source->service->name, source->partition);
	} else if (stream->sent > stream->received) {
		stream->verdict = reader_lag == 0 && all_sent ? AUDIT_DIFFERS : AUDIT_UNSETTLED;
		stream->what = stream->verdict == AUDIT_DIFFERS
		                       ? audit_text(audit, "%" PRIu64 " events are lost; %s",
		                                    stream->sent - stream->received, resend_command(audit, stream))
		                       : "not all of it is read yet";
	} else {
		stream->verdict = source->lag == 0 ? AUDIT_DIFFERS : AUDIT_UNSETTLED;
		stream->what =
			stream->verdict == AUDIT_DIFFERS
				? audit_text(audit,
		                             "more was received than the source's state says it sent; tandem %s verify"
		                             " --partitions %d",
		                             source->service->name, source->partition)
				: "the source has records left to fold";
	}
}

/* The first number of a fork that the reader has open in the stream; 0: it has none. */
static uint64_t fork_behind(const struct audit_view *reader, const struct audit_view *source)
{
	size_t count;
	const struct task_gap *gaps = task_gaps(reader->task, &count);
	for (size_t i = 0; i < count; i++)
		if (gaps[i].count && gaps[i].verdict == TASK_FORK && gaps[i].partition == source->partition &&
		    strcmp(gaps[i].service, source->service->name) == 0)
			return gaps[i].first_missing;
	return 0;
}

static const char *fork_advice(struct audit *audit, const char *service, int32_t partition,
                               const struct audit_view *reader, uint64_t first_missing)
{
	return status_fork_advice(&audit->arena, service, partition, reader->service->input, reader->partition,
	                          (int64_t)first_missing);
}

/* All that the source has sent was taken, as it was sent: what is another history came from somewhere else. */
static bool has_all(const struct audit_view *reader, const struct audit_view *source)
{
	const struct task_stream *received = received_from(reader, source);
	const struct task_stream *sent = sent_to(source, reader->service->input, reader->partition);
	return received && sent && received->number == sent->number && received->chain == sent->chain;
}

static void compare_reader(struct audit *audit, const struct audit_view *source, const struct audit_view *reader)
{
	const char *topic = reader->service->input;
	const struct task_stream *sent = sent_to(source, topic, reader->partition);
	const struct task_stream *received = received_from(reader, source);
	if (!sent && !received)
		return;
	struct audit_stream *stream = add_stream(audit, source, topic, reader->partition, sent);
	stream->reader = reader->service->name;
	if (received) {
		stream->received = received->number;
		stream->received_chain = received->chain;
	}
	judge(audit, stream, reader->lag);
	uint64_t taken = fork_behind(reader, source);
	if (stream->verdict == AUDIT_DIFFERS && taken && stream->sent != stream->received)
		stream->what = fork_advice(audit, source->service->name, source->partition, reader, taken);
}

/* ---- the last record in a topic ---- */

struct found {
	uint64_t number, chain;          /* up to this one nothing is missing, of what was read */
	uint64_t highest, highest_chain; /* taken or not */
	bool any, all;                   /* something of the source was there; the whole topic was read */
};

/* The hash that an event of the stream must carry behind the last one that was taken. */
static uint64_t next_chain(const struct audit *audit, const struct audit_view *source, const char *topic,
                           const struct log_record *record, const struct found *found)
{
	const uint8_t *key = audit->seal.key, *body = record->value.data;
	size_t len = record->value.len > 0 ? (size_t)record->value.len : 0;
	uint64_t fingerprint = 0, chain = found->chain;
	size_t input_len = strlen(source->service->input);
	bool dead_letter =
		strncmp(topic, source->service->input, input_len) == 0 && strcmp(topic + input_len, ".dlq") == 0;
	if (!dead_letter) /* those are hashed as they came */
		event_split(record->value.data, len, &fingerprint, &body, &len);
	if (!found->number)
		chain = hash_chain_start(key, source->service->name, source->partition, topic, record->partition);
	return hash_chain(key, chain, found->number + 1, fingerprint, &record->key, body, len);
}

/* As a reader outside does it: the next number is taken if its chain is right, a later one waits until what is missing has
 * come. Where the topic was not read from its beginning the first that is seen is taken as it is. */
static void take_record(const struct audit *audit, const struct audit_view *source, const char *topic,
                        const struct log_record *record, struct found *found)
{
	struct header_stream stream;
	if (header_stream_parse(record, &stream) != HEADER_VALID || stream.partition != source->partition ||
	    strcmp(stream.service, source->service->name) != 0 ||
	    !seal_holds(&audit->seal, topic, record->partition, record))
		return;
	bool known = found->any || found->all;
	found->any = true;
	if (stream.number > found->highest) {
		found->highest = stream.number;
		found->highest_chain = stream.chain;
	}
	if (known &&
	    (stream.number != found->number + 1 || stream.chain != next_chain(audit, source, topic, record, found)))
		return;
	found->number = stream.number;
	found->chain = stream.chain;
}

static enum status read_from(struct audit *audit, const struct audit_view *source, const char *topic, int32_t partition,
                             int64_t offset, struct found *found, struct err *err)
{
	struct log_reader *reader;
	const struct log_record *record;
	enum status status = log_reader_open(audit->config.log, topic, partition, offset, &reader, err);
	if (status != OK)
		return status;
	for (int i = 0; i < 2 * AUDIT_READ_BACK; i++) { /* bounded, though somebody may be writing */
		status = log_reader_next(reader, 0, &record, err);
		if (status != OK || !record)
			break;
		take_record(audit, source, topic, record, found);
	}
	log_reader_close(reader);
	return status;
}

static enum status read_back(struct audit *audit, const struct audit_view *source, const char *topic, int32_t partition,
                             struct found *found, struct err *err)
{
	int64_t low, high;
	*found = (struct found){0};
	enum status status = log_bounds(audit->config.log, topic, partition, &low, &high, err);
	if (status != OK)
		return status;
	int64_t from = high - AUDIT_READ_BACK;
	found->all = from <= low;
	return read_from(audit, source, topic, partition, found->all ? low : from, found, err);
}

static void compare_topic(struct audit *audit, const struct audit_view *source, const char *topic, int32_t partition)
{
	struct found found;
	struct err err = {0};
	const struct task_stream *sent = sent_to(source, topic, partition);
	enum status status = read_back(audit, source, topic, partition, &found, &err);
	if (status == OK && !sent && !found.any)
		return;
	struct audit_stream *stream = add_stream(audit, source, topic, partition, sent);
	/* What the source never sent, as its state has it, is no event that waits for earlier ones: it is of another history. */
	bool beyond = found.highest > stream->sent;
	stream->received = beyond ? found.highest : found.number;
	stream->received_chain = beyond ? found.highest_chain : found.chain;
	if (status != OK) {
		stream->verdict = AUDIT_UNSEEN;
		stream->what = audit_text(audit, "%s", err.text);
	} else if (!found.any && !found.all) {
		stream->verdict = AUDIT_UNSEEN;
		stream->what = audit_text(audit, "none of it is among the last %d records", AUDIT_READ_BACK);
	} else if (stream->received > stream->sent && view_lag_behind(audit, source, source->next_offset) != 0) {
		stream->verdict = AUDIT_UNSETTLED;
		stream->what = "the source has records left to fold";
	} else {
		judge(audit, stream, 0);
	}
}

/* ---- all of them ---- */

static bool is_read_here(const struct audit *audit, const struct audit_view *source, const char *topic)
{
	for (size_t i = 0; i < audit->view_count; i++)
		if (strcmp(audit->views[i].service->input, topic) == 0 &&
		    reads(audit->views[i].service, source->service))
			return true;
	return false;
}

/* Topics whose readers are outside, or who have none: order-events and dead letters. */
static bool for_outside(const struct audit *audit, const struct audit_view *source, const char *topic)
{
	const struct genesis_topic *of = genesis_topic(&audit->genesis, topic);
	return of && (of->headers == HEADER_FORM_CLOUDEVENTS || !is_read_here(audit, source, topic));
}

static void compare_outside(struct audit *audit, const struct audit_view *source, const char *topic)
{
	const struct genesis_topic *of = genesis_topic(&audit->genesis, topic);
	if (!for_outside(audit, source, topic))
		return;
	for (int32_t p = 0; p < of->partitions; p++)
		if (p == source->partition || sent_to(source, of->name, p))
			compare_topic(audit, source, of->name, p);
}

static void compare_source(struct audit *audit, const struct audit_view *source)
{
	for (size_t i = 0; i < audit->view_count; i++) {
		const struct audit_view *reader = &audit->views[i];
		if (reader->task && reads_from(reader, source, reader->service->input, reader->partition))
			compare_reader(audit, source, reader);
	}
	for (size_t i = 0; i < source->service->output_count; i++)
		compare_outside(audit, source, source->service->outputs[i]);
	compare_outside(audit, source, audit_text(audit, "%s.dlq", source->service->input));
}

static const struct audit_view *find_view(const struct audit *audit, const char *service, int32_t partition)
{
	for (size_t i = 0; i < audit->view_count; i++)
		if (audit->views[i].partition == partition && strcmp(audit->views[i].service->name, service) == 0)
			return &audit->views[i];
	return NULL;
}

static void add_gap(struct audit *audit, const struct audit_view *view, const struct task_gap *gap)
{
	if (audit->gap_count == audit->gap_room) {
		audit->gap_room = audit->gap_room ? 2 * audit->gap_room : 16;
		audit->gaps = mem_realloc(audit->gaps, audit->gap_room * sizeof *audit->gaps);
	}
	struct audit_gap *out = &audit->gaps[audit->gap_count++];
	*out = (struct audit_gap){.view = view, .gap = *gap};
	if (!*gap->service) { /* dropped, and nobody waits for it */
		out->what = audit_text(
			audit,
			gap->verdict == TASK_FORGED
				? "find who writes what the secret does not verify: tandem replay -t %s"
				  " -p %d -o %lld -c 1"
				: "find who writes a `tandem` header: tandem replay -t %s -p %d -o %lld -c 1",
			view->service->input, view->partition, (long long)gap->first_offset);
		return;
	}
	/* A source that is not at its end may be about to send what is missing. */
	const struct audit_view *source = find_view(audit, gap->service, gap->partition);
	bool all_sent = source && source->task && source->lag == 0 && source->sent_lag == 0;
	out->verdict = view->lag == 0 && all_sent ? AUDIT_DIFFERS : AUDIT_UNSETTLED;
	if (gap->verdict == TASK_FORK && source && source->task && has_all(view, source))
		out->what = audit_text(
			audit,
			"nothing is missing, and the next event of %s/%d closes it; the record is none of its:"
			" tandem replay -t %s -p %d -o %lld -c 1",
			gap->service, gap->partition, view->service->input, view->partition,
			(long long)gap->first_offset);
	else if (gap->verdict == TASK_FORK)
		out->what = fork_advice(audit, gap->service, gap->partition, view, gap->first_missing);
	else
		out->what =
			audit_text(audit, "tandem %s resend --partitions %d --to %s/%d --from %" PRIu64, gap->service,
		                   gap->partition, view->service->input, view->partition, gap->first_missing);
}

static void list_gaps(struct audit *audit, const struct audit_view *view)
{
	size_t count;
	const struct task_gap *gaps = task_gaps(view->task, &count);
	for (size_t i = 0; i < count; i++)
		if (gaps[i].count)
			add_gap(audit, view, &gaps[i]);
}

void streams_compare(struct audit *audit)
{
	for (size_t i = 0; i < audit->view_count; i++) {
		if (!audit->views[i].task)
			continue;
		compare_source(audit, &audit->views[i]);
		list_gaps(audit, &audit->views[i]);
	}
}
