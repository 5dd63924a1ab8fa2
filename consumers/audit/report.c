/* What was found: a table for people, JSON for programs. */
#include "audit.h"

#include <inttypes.h>
#include <string.h>

const char *audit_verdict_name(enum audit_verdict verdict)
{
	static const char *const names[] = {"holds", "unsettled", "unseen", "differs"};
	return names[verdict];
}

/* ---- text ---- */

static void print_views(const struct audit *audit, FILE *out)
{
	fprintf(out, "%-16s %-32s %10s %10s %10s\n", "TASK", "STATE", "NEXT", "END", "LAG");
	for (size_t i = 0; i < audit->view_count; i++) {
		const struct audit_view *view = &audit->views[i];
		char task[80];
		snprintf(task, sizeof task, "%s/%d", view->service->name, view->partition);
		fprintf(out, "%-16s %-32s %10lld %10lld %10lld", task, view->path ? view->path : "folded from the log",
		        (long long)view->next_offset, (long long)view->end, (long long)view->lag);
		if (view->why.code)
			fprintf(out, "  unseen: %s", view->why.text);
		if (view->beyond_end)
			fprintf(out, "  differs: it has consumed records that the log has lost");
		if (view->path && *view->halted)
			fprintf(out, "  halted: %s", view->halted);
		if (!view->path && view->sent_lag > 0)
			fprintf(out, "  by its mark its worker is %lld records behind", (long long)view->sent_lag);
		if (!view->path && view->sent_lag < 0 && view->task)
			fprintf(out, "  no mark: what its worker has sent is not known");
		fputc('\n', out);
	}
	for (size_t i = 0; i < audit->left_out_count; i++)
		fprintf(out, "%s\n", audit->left_out[i]);
}

/* Streams from one service to one topic, as one reader has them. */
static bool same_kind(const struct audit_stream *a, const struct audit_stream *b)
{
	return a->source->service == b->source->service && strcmp(a->topic, b->topic) == 0 &&
	       !a->reader == !b->reader && (!a->reader || strcmp(a->reader, b->reader) == 0);
}

static bool seen_before(const struct audit *audit, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (same_kind(&audit->streams[i], &audit->streams[at]))
			return true;
	return false;
}

static void print_kind(const struct audit *audit, const struct audit_stream *of, FILE *out)
{
	int64_t streams = 0, equal = 0;
	uint64_t events = 0;
	for (size_t i = 0; i < audit->stream_count; i++) {
		if (!same_kind(&audit->streams[i], of))
			continue;
		streams++;
		events += audit->streams[i].sent;
		equal += audit->streams[i].verdict == AUDIT_HOLDS;
	}
	fprintf(out, "%-12s %-18s %-18s %8lld %12" PRIu64 " %8lld\n", of->source->service->name, of->topic,
	        of->reader ? of->reader : "its last record", (long long)streams, events, (long long)equal);
}

static void print_stream(const struct audit_stream *stream, FILE *out)
{
	fprintf(out, "%s %s/%d to %s/%d: sent %" PRIu64 " (%016" PRIx64 "), %s has %" PRIu64 " (%016" PRIx64 "): %s\n",
	        audit_verdict_name(stream->verdict), stream->source->service->name, stream->source->partition,
	        stream->topic, stream->partition, stream->sent, stream->sent_chain,
	        stream->reader ? stream->reader : "the topic", stream->received, stream->received_chain, stream->what);
}

static void print_streams(const struct audit *audit, FILE *out)
{
	fprintf(out, "\n%-12s %-18s %-18s %8s %12s %8s\n", "SOURCE", "TOPIC", "AGAINST", "STREAMS", "EVENTS", "EQUAL");
	for (size_t i = 0; i < audit->stream_count; i++)
		if (!seen_before(audit, i))
			print_kind(audit, &audit->streams[i], out);
	for (size_t i = 0; i < audit->stream_count; i++)
		if (audit->streams[i].verdict != AUDIT_HOLDS)
			print_stream(&audit->streams[i], out);
	for (size_t i = 0; i < audit->gap_count; i++) {
		const struct audit_gap *gap = &audit->gaps[i];
		if (*gap->gap.service)
			fprintf(out,
			        "%s %s/%d has an open %s in the stream of %s/%d: %" PRIu64 " is missing, %" PRIu64
			        " came, since offset %lld: %s\n",
			        audit_verdict_name(gap->verdict), gap->view->service->name, gap->view->partition,
			        task_verdict_name(gap->gap.verdict), gap->gap.service, gap->gap.partition,
			        gap->gap.first_missing, gap->gap.highest, (long long)gap->gap.first_offset, gap->what);
		else
			fprintf(out, "note %s/%d dropped %lld records of unknown sources since offset %lld: %s\n",
			        gap->view->service->name, gap->view->partition, (long long)gap->gap.count,
			        (long long)gap->gap.first_offset, gap->what);
	}
}

static void print_rules(const struct audit *audit, FILE *out)
{
	if (!audit->has_orders) {
		fprintf(out, "\norders and stock: not looked at, since some of their tasks could not be\n");
		return;
	}
	fprintf(out, "\n%-52s %12s %12s\n", "ORDERS AND STOCK", "CHECKED", "WRONG");
	for (int i = 0; i < AUDIT_RULES; i++) {
		const struct audit_rule *rule = &audit->rules[i];
		if (rule->judged)
			fprintf(out, "%-52s %12lld %12lld\n", rule->text, (long long)rule->checked,
			        (long long)rule->wrong);
		else
			fprintf(out, "%-52s %12s %12s\n", rule->text, "-", "unsettled");
		for (size_t s = 0; s < rule->shown_count; s++)
			fprintf(out, "  differs %s\n", rule->shown[s]);
		if (rule->wrong > (int64_t)rule->shown_count)
			fprintf(out, "  and %lld more\n", (long long)(rule->wrong - (int64_t)rule->shown_count));
	}
	fprintf(out, "orders: %lld placed = %lld confirmed + %lld rejected + %lld cancelled + %lld pending\n",
	        (long long)audit->orders[0], (long long)audit->orders[2], (long long)audit->orders[3],
	        (long long)audit->orders[4], (long long)audit->orders[1]);
}

void audit_print(const struct audit *audit, FILE *out)
{
	static const char *const words[] = {
		[AUDIT_HOLDS] = "all holds",
		[AUDIT_UNSETTLED] = "not settled: something is under way; --wait waits for it",
		[AUDIT_UNSEEN] = "in part: something could not be looked at",
		[AUDIT_DIFFERS] = "DIFFERS",
	};
	print_views(audit, out);
	print_streams(audit, out);
	print_rules(audit, out);
	fprintf(out, "\naudit: %s%s\n", words[audit->verdict], audit->drained ? ", drained" : "");
}

/* ---- JSON ---- */

static json_t *hex(uint64_t hash)
{
	char text[17];
	snprintf(text, sizeof text, "%016" PRIx64, hash);
	return json_string(text);
}

static json_t *views_json(const struct audit *audit)
{
	json_t *array = json_array();
	for (size_t i = 0; i < audit->view_count; i++) {
		const struct audit_view *view = &audit->views[i];
		json_t *one = json_pack("{s:s, s:i, s:s?, s:I, s:I, s:I, s:I}", "service", view->service->name,
		                        "partition", view->partition, "file", view->path, "next_offset",
		                        (json_int_t)view->next_offset, "end", (json_int_t)view->end, "lag",
		                        (json_int_t)view->lag, "unsent_lag", (json_int_t)view->sent_lag);
		if (view->why.code)
			json_object_set_new(
				one, "unseen",
				json_pack("{s:s, s:s}", "reason", view->why.code, "message", view->why.text));
		if (view->beyond_end)
			json_object_set_new(one, "beyond_end", json_true());
		if (view->path && *view->halted)
			json_object_set_new(one, "halted", json_string(view->halted));
		json_array_append_new(array, one);
	}
	return array;
}

static json_t *streams_json(const struct audit *audit)
{
	json_t *array = json_array();
	for (size_t i = 0; i < audit->stream_count; i++) {
		const struct audit_stream *stream = &audit->streams[i];
		json_array_append_new(
			array,
			json_pack("{s:s, s:i, s:s, s:i, s:s?, s:I, s:o, s:I, s:o, s:s, s:s}", "source",
		                  stream->source->service->name, "source_partition", stream->source->partition, "topic",
		                  stream->topic, "partition", stream->partition, "reader", stream->reader, "sent",
		                  (json_int_t)stream->sent, "sent_chain", hex(stream->sent_chain), "received",
		                  (json_int_t)stream->received, "received_chain", hex(stream->received_chain),
		                  "verdict", audit_verdict_name(stream->verdict), "what_to_do", stream->what));
	}
	return array;
}

static json_t *gaps_json(const struct audit *audit)
{
	json_t *array = json_array();
	for (size_t i = 0; i < audit->gap_count; i++) {
		const struct audit_gap *gap = &audit->gaps[i];
		json_array_append_new(array,
		                      json_pack("{s:s, s:i, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:s, s:s}", "reader",
		                                gap->view->service->name, "partition", gap->view->partition, "source",
		                                gap->gap.service, "source_partition", gap->gap.partition, "kind",
		                                task_verdict_name(gap->gap.verdict), "first_missing",
		                                (json_int_t)gap->gap.first_missing, "highest",
		                                (json_int_t)gap->gap.highest, "first_offset",
		                                (json_int_t)gap->gap.first_offset, "count", (json_int_t)gap->gap.count,
		                                "verdict", audit_verdict_name(gap->verdict), "what_to_do", gap->what));
	}
	return array;
}

static json_t *rules_json(const struct audit *audit)
{
	json_t *array = json_array();
	for (int i = 0; i < AUDIT_RULES; i++) {
		const struct audit_rule *rule = &audit->rules[i];
		json_t *shown = json_array();
		for (size_t s = 0; s < rule->shown_count; s++)
			json_array_append_new(shown, json_string(rule->shown[s]));
		json_array_append_new(array, json_pack("{s:s, s:b, s:I, s:I, s:o}", "rule", rule->text, "judged",
		                                       rule->judged, "checked", (json_int_t)rule->checked, "wrong",
		                                       (json_int_t)rule->wrong, "differs", shown));
	}
	return array;
}

json_t *audit_json(const struct audit *audit)
{
	json_t *json = json_pack("{s:s, s:b, s:o, s:o, s:o}", "verdict", audit_verdict_name(audit->verdict), "drained",
	                         audit->drained, "tasks", views_json(audit), "streams", streams_json(audit), "gaps",
	                         gaps_json(audit));
	json_t *left_out = json_array();
	for (size_t i = 0; i < audit->left_out_count; i++)
		json_array_append_new(left_out, json_string(audit->left_out[i]));
	json_object_set_new(json, "left_out", left_out);
	if (!audit->has_orders)
		return json;
	json_object_set_new(json, "rules", rules_json(audit));
	json_object_set_new(json, "orders",
	                    json_pack("{s:I, s:I, s:I, s:I, s:I}", "placed", (json_int_t)audit->orders[0], "confirmed",
	                              (json_int_t)audit->orders[2], "rejected", (json_int_t)audit->orders[3],
	                              "cancelled", (json_int_t)audit->orders[4], "pending",
	                              (json_int_t)audit->orders[1]));
	return json;
}
