/* schemagen: makes C of the schemas, and checks that they stay readable.
 *
 *     schemagen --out DIR [--name NAME] FOLDER   writes DIR/NAME.h and DIR/NAME.c (events)
 *     schemagen --check FOLDER                   is every schema fully compatible with its published versions?
 *
 * FOLDER holds <Name>.avsc, one event each, and history/<Name>/<n>.avsc. Exit status 0 done, 1 a schema is wrong or cannot
 * be read, 2 wrong usage. What is wrong is said on stderr, in one line. */
#include "model.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static int fail(const struct err *err)
{
	fprintf(stderr, "schemagen: %s\n", err->text);
	return 1;
}

/* By rename: make never finds half a file. */
static int write_file(struct arena *arena, const char *folder, const char *file, const struct buf *text)
{
	const char *path = arena_format(arena, "%s/%s", folder, file);
	const char *new_path = arena_format(arena, "%s.new", path);
	FILE *out = fopen(new_path, "wb");
	bool written = out && fwrite(text->data, 1, text->len, out) == text->len;
	if (out && fclose(out) != 0)
		written = false;
	if (written && rename(new_path, path) == 0)
		return 0;
	fprintf(stderr, "schemagen: %s: %s\n", path, strerror(errno));
	return 1;
}

static enum status check_readable(const struct model *model, struct err *err)
{
	for (size_t i = 0; i < model->event_count; i++) {
		const struct event *event = &model->events[i];
		for (size_t h = 0; h < event->history_count; h++) {
			enum status status = compat_can_read(&event->current, &event->history[h], err);
			if (status != OK)
				return status;
		}
	}
	return OK;
}

static int generate(struct model *model, const char *folder, const char *name)
{
	struct err err = {0};
	struct buf header = {0}, source = {0};
	if (check_readable(model, &err) != OK)
		return fail(&err);
	emit_header(model, name, &header);
	emit_source(model, name, &source);
	int failed = write_file(&model->arena, folder, arena_format(&model->arena, "%s.h", name), &header);
	if (!failed)
		failed = write_file(&model->arena, folder, arena_format(&model->arena, "%s.c", name), &source);
	buf_fini(&header);
	buf_fini(&source);
	return failed;
}

static int check(struct model *model)
{
	struct err err = {0};
	size_t versions = 0;
	if (compat_check(model, &err) != OK)
		return fail(&err);
	for (size_t i = 0; i < model->event_count; i++) {
		const struct event *event = &model->events[i];
		bool published = false;
		for (size_t h = 0; h < event->history_count; h++)
			published |= event->history[h].fingerprint == event->current.fingerprint;
		if (!published)
			printf("%s: not in history: publish it before anything is written with it\n",
			       event->current.path);
		versions += event->history_count;
	}
	printf("%zu events, fully compatible with %zu published versions\n", model->event_count, versions);
	return 0;
}

static int usage(FILE *to, int status)
{
	fprintf(to, "usage: schemagen --out DIR [--name NAME] FOLDER\n"
	            "       schemagen --check FOLDER\n");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"out", required_argument, NULL, 'o'},
		{"name", required_argument, NULL, 'n'},
		{"check", no_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *out = NULL, *name = "events";
	bool checking = false;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'o')
			out = optarg;
		else if (option == 'n')
			name = optarg;
		else if (option == 'c')
			checking = true;
		else
			return option == 'h' ? usage(stdout, 0) : usage(stderr, 2);
	}
	if (optind != argc - 1 || checking == !!out)
		return usage(stderr, 2);
	static struct model model; /* lives as long as the program: leak checkers find it */
	struct err err = {0};
	if (model_load(&model, argv[optind], &err) != OK)
		return fail(&err);
	return checking ? check(&model) : generate(&model, out, name);
}
