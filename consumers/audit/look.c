/* One look: take the states, compare, judge. */
#include "audit.h"

enum status audit_open(const struct audit_config *config, struct audit **out, struct err *err)
{
	struct audit *audit = mem_zalloc(1, sizeof *audit);
	audit->config = *config;
	enum status status = views_find(audit, err);
	if (status != OK) {
		audit_close(audit);
		return status;
	}
	*out = audit;
	return OK;
}

void audit_close(struct audit *audit)
{
	if (!audit)
		return;
	views_close(audit);
	mem_free(audit->streams);
	mem_free(audit->gaps);
	arena_fini(&audit->arena);
	arena_fini(&audit->kept);
	mem_free(audit);
}

static void worsen(struct audit *audit, enum audit_verdict verdict)
{
	if (verdict > audit->verdict)
		audit->verdict = verdict;
}

static void judge_views(struct audit *audit)
{
	for (size_t i = 0; i < audit->view_count; i++) {
		const struct audit_view *view = &audit->views[i];
		if (!view->task || view->why.code || view->lag < 0)
			worsen(audit, AUDIT_UNSEEN);
		else if (view->beyond_end)
			worsen(audit, AUDIT_DIFFERS);
		else if (view->lag > 0 || view->sent_lag > 0)
			worsen(audit, AUDIT_UNSETTLED);
	}
}

static void judge_streams(struct audit *audit)
{
	for (size_t i = 0; i < audit->stream_count; i++)
		worsen(audit, audit->streams[i].verdict);
}

static void judge_rest(struct audit *audit)
{
	for (size_t i = 0; i < audit->gap_count; i++)
		worsen(audit, audit->gaps[i].verdict);
	for (int i = 0; i < AUDIT_RULES; i++)
		if (audit->rules[i].wrong)
			worsen(audit, AUDIT_DIFFERS);
}

static bool all_sent(const struct audit *audit)
{
	for (size_t i = 0; i < audit->view_count; i++)
		if (audit->views[i].sent_lag != 0)
			return false;
	return true;
}

enum status audit_look(struct audit *audit, struct err *err)
{
	views_release(audit);
	arena_reset(&audit->arena);
	audit->stream_count = audit->gap_count = 0;
	audit->verdict = AUDIT_HOLDS;
	enum status status = views_take(audit, err);
	if (status != OK)
		return status;
	judge_views(audit);
	streams_compare(audit);
	judge_streams(audit);
	audit->settled = audit->verdict == AUDIT_HOLDS;
	audit->drained = audit->settled && all_sent(audit);
	orders_check(audit);
	judge_views(audit); /* a file may turn out broken only when its rows are read */
	judge_rest(audit);
	return OK;
}
