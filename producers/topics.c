/* tandem topics: the topics of an installation, made with the settings the design needs, checked, listed, deleted. The work
 * is in topics/. */
#include "topics/acls.h"
#include "topics/create.h"
#include "topics/plan.h"

#include "command.h"
#include "config.h"
#include "installation.h"
#include "interrupt.h"
#include "json.h"
#include "seam.h"
#include "service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 30000

static const char summary[] =
	"Makes, checks, lists or deletes an installation's topics; acls says who needs which right to them. create makes all of them or none, writes a genesis to\n"
	"each partition, and may be interrupted anywhere and run again. check names every setting and genesis that is not\n"
	"as it must be, and ends with status 4 then.";

static const char examples[] =
	"  tandem topics create --log local:data                       for a first run, without a broker\n"
	"  tandem topics create -b localhost:9092 --partitions 12\n"
	"  tandem topics create -b localhost:9092 --partitions-of orders=8 --partitions-of inventory=16\n"
	"  tandem topics check -b localhost:9092\n"
	"  tandem topics acls                                          a table of the rights that each program needs\n"
	"  tandem topics acls -b localhost:9092 --principal order=User:order --principal publisher=User:shop\n"
	"  tandem topics delete -b localhost:9092 --namespace try --yes\n";

struct settings {
	int64_t partitions;
	struct config_list partitions_of, principals;
	bool single_replica, keyed, dry_run, json, yes;
	int64_t wait_ms;
};

struct job {
	const struct config *config;
	const struct settings *settings;
	struct log *log;
	struct arena arena;
	struct genesis_topic_array plan;
	struct survey survey;
	struct err err;
};

typedef int action_run(struct job *job);

/* ---- what they share ---- */

static int failed(const struct job *job, const char *action)
{
	fprintf(stderr, "tandem topics %s: %s\n", action, job->err.text);
	return config_exit_status(&job->err);
}

static void print_delete_command(const struct job *job)
{
	const char *name_space = job->config->name_space;
	fprintf(stderr,
	        "tandem topics: this deletes them, and all records in them: tandem topics delete --log %s%s%s --yes\n",
	        job->config->log, *name_space ? " --namespace " : "", name_space);
}

/* Can a record have more than one replica here? *single is set where not, and why is said. */
static enum status replicas_decide(struct job *job, bool *single)
{
	int nodes = 1;
	enum status status = *single ? OK : log_node_count(job->log, &nodes, &job->err);
	if (status != OK || *single || nodes > 1)
		return status;
	*single = true;
	fprintf(stderr, "tandem topics: %s, so the topics have a single replica (--single-replica)\n",
	        log_is_local(job->log) ? "the log is on this machine alone" : "there is one broker");
	return OK;
}

static int32_t partition_total(const struct genesis_topic_array *topics)
{
	int32_t total = 0;
	for (size_t i = 0; i < topics->count; i++)
		total += topics->items[i].partitions;
	return total;
}

/* That the secret is another installation's is said once, before every partition is looked at. */
static bool wrong_secret(struct job *job)
{
	struct genesis genesis;
	return log_secret(job->log) && installation_find(job->log, &job->arena, &genesis, &job->err) != OK &&
	       err_is(&job->err, "secret");
}

/* ---- create ---- */

static void print_plan(const struct job *job, bool single_replica)
{
	struct log_setting settings[PLAN_SETTINGS_MAX];
	for (size_t i = 0; i < job->survey.count; i++) {
		const struct survey_topic *topic = &job->survey.topics[i];
		size_t count = plan_settings(topic->planned.name, single_replica, settings);
		printf("%s %s: %d partitions, %s headers", topic->found.exists ? "keep" : "make", topic->planned.name,
		       (int)topic->planned.partitions, header_form_name(topic->planned.headers));
		for (size_t j = 0; j < count; j++)
			printf(", %s=%s", settings[j].name, settings[j].value);
		putchar('\n');
	}
}

static int create(struct job *job)
{
	bool single = job->settings->single_replica, made;
	if (job->settings->keyed != (log_secret(job->log) != NULL))
		return config_misuse(job->config, "create: found %s, expected both or neither",
		                     job->settings->keyed ? "--keyed without --secret-file"
		                                          : "--secret-file without --keyed");
	if (wrong_secret(job) || replicas_decide(job, &single) != OK)
		return failed(job, "create");
	const struct create_request request = {.seam = &seam_system,
	                                       .plan = job->plan,
	                                       .single_replica = single,
	                                       .keyed = job->settings->keyed,
	                                       .dry_run = job->settings->dry_run,
	                                       .patience_ms = PATIENCE_MS};
	enum status status = create_run(&job->survey, &request, &made, &job->err);
	if (status != OK) {
		failed(job, "create");
		if (job->survey.must_delete)
			print_delete_command(job);
		else if (!err_is(&job->err, "refused"))
			fputs("tandem topics: the same command again goes on where this one ended\n", stderr);
		return EXIT_FAILED;
	}
	if (request.dry_run) {
		print_plan(job, single);
		return EXIT_DONE;
	}
	printf("installation %s: %zu topics, %d partitions, %s\n",
	       genesis_id_text(job->survey.genesis.installation, &job->arena), job->plan.count,
	       (int)partition_total(&job->plan), made ? "created" : "was there already, nothing to do");
	return EXIT_DONE;
}

/* ---- check ---- */

/* What the installation itself says of its topics; where there is none, what create would make. */
static void pinned_plan(struct job *job, const struct genesis *genesis)
{
	for (size_t i = 0; i < job->plan.count; i++) {
		const struct genesis_topic *pinned = genesis_topic(genesis, job->plan.items[i].name);
		if (pinned)
			job->plan.items[i].partitions = pinned->partitions;
	}
}

static void check_presence(struct job *job)
{
	for (size_t i = 0; i < job->survey.count; i++) {
		const struct survey_topic *topic = &job->survey.topics[i];
		if (!topic->found.exists)
			survey_problem(&job->survey, "%s does not exist", topic->planned.name);
		for (int32_t p = 0; topic->found.exists && p < topic->found.partitions; p++)
			if (topic->states[p] == SURVEY_EMPTY)
				survey_problem(&job->survey, "%s/%d is empty, expected a genesis at offset 0",
				               topic->planned.name, (int)p);
	}
}

static int check(struct job *job)
{
	struct genesis genesis;
	bool pinned = installation_find(job->log, &job->arena, &genesis, &job->err) == OK;
	if (wrong_secret(job))
		return failed(job, "check");
	if (pinned)
		pinned_plan(job, &genesis);
	job->survey.out = stdout;
	if (survey_read(&job->survey, &job->plan, &job->err) != OK)
		return failed(job, "check");
	bool single = job->survey.found && job->survey.genesis.single_replica;
	check_presence(job);
	survey_compare_genesis(&job->survey, &job->plan, single);
	survey_compare_topics(&job->survey, single);
	if (job->survey.unreadable)
		fputs("tandem topics check: the settings may not be read (DescribeConfigs is missing), they were passed over\n",
		      stderr);
	if (job->survey.problems) {
		fprintf(stderr, "tandem topics check: %zu difference%s\n", job->survey.problems,
		        job->survey.problems == 1 ? "" : "s");
		if (job->survey.must_delete)
			print_delete_command(job);
		return EXIT_DIFFERS;
	}
	printf("installation %s: %zu topics, %d partitions, as they must be%s\n",
	       genesis_id_text(job->survey.genesis.installation, &job->arena), job->plan.count,
	       (int)partition_total(&job->plan), single ? " (single replica)" : "");
	return job->survey.unreadable ? EXIT_PARTLY : EXIT_DONE;
}

/* ---- list ---- */

static enum status print_topic(struct job *job, const char *name)
{
	struct log_topic topic;
	struct genesis genesis;
	bool found = false;
	struct err why;
	enum status status = log_topic_describe(job->log, name, &job->arena, &topic, &job->err);
	if (status != OK || !topic.exists)
		return status;
	/* A genesis that cannot be read is check's to tell. */
	if (installation_topic(job->log, name, &job->arena, &genesis, &found, &why) != OK)
		found = false;
	const struct genesis_topic *own = found ? genesis_topic(&genesis, name) : NULL;
	const char *id = found ? genesis_id_text(genesis.installation, &job->arena) : "-";
	const char *form = own ? header_form_name(own->headers) : "-";
	if (job->settings->json)
		json_print_line(stdout, json_pack("{s:s, s:i, s:i, s:s?, s:s?}", "topic", name, "partitions",
		                                  (int)topic.partitions, "replicas", (int)topic.replicas, "headers",
		                                  own ? form : NULL, "installation", found ? id : NULL));
	else
		printf("%-32s %10d %8d  %-11s  %s\n", name, (int)topic.partitions, (int)topic.replicas, form, id);
	return OK;
}

static int list(struct job *job)
{
	const char **names;
	size_t count;
	enum status status = log_topic_list(job->log, &job->arena, &names, &count, &job->err);
	if (status == OK && !job->settings->json)
		printf("%-32s %10s %8s  %-11s  %s\n", "TOPIC", "PARTITIONS", "REPLICAS", "HEADERS", "INSTALLATION");
	for (size_t i = 0; status == OK && i < count; i++)
		status = print_topic(job, names[i]);
	return status == OK ? EXIT_DONE : failed(job, "list");
}

/* ---- delete ---- */

#define LOOK_MS 200 /* between two tries at a group with members */

/* A static member is one until its session ends, even when its process is gone: --wait gives it that time. */
static enum status delete_group(struct job *job, const char *group)
{
	int64_t until = seam_monotonic_us(&seam_system) + job->settings->wait_ms * 1000;
	for (;;) {
		enum status status = log_group_delete(job->log, group, &job->err);
		if (status == OK || !err_is(&job->err, "group_busy"))
			return status;
		if (seam_monotonic_us(&seam_system) >= until || interrupt_requested())
			return err_context(&job->err, status,
			                   "stop the workers first; a static member is one until its session ends"
			                   " (--wait)");
		log_wait(job->log, LOOK_MS);
	}
}

/* Marks of records that are gone would stop the next installation's workers; and a group with members is at work. */
static enum status delete_groups(struct job *job)
{
	enum status status = OK;
	for (size_t i = 0; status == OK && i < command_count; i++)
		if (commands[i]->service)
			status = delete_group(job, arena_format(&job->arena, "tandem-%s", commands[i]->service->name));
	return status;
}

static enum status delete_topic(struct job *job, const char *name, size_t *count)
{
	struct log_topic topic;
	enum status status = log_topic_describe(job->log, name, &job->arena, &topic, &job->err);
	if (status != OK || !topic.exists)
		return status;
	++*count;
	if (job->settings->yes && !job->settings->dry_run)
		status = log_topic_delete(job->log, name, &job->err);
	if (status == OK)
		printf("%s %s\n", job->settings->yes && !job->settings->dry_run ? "deleted" : "would delete", name);
	return status;
}

static int delete (struct job *job)
{
	size_t count = 0;
	bool really = job->settings->yes && !job->settings->dry_run;
	enum status status = really ? delete_groups(job) : OK;
	for (size_t i = 0; status == OK && i < job->plan.count; i++)
		status = delete_topic(job, job->plan.items[i].name, &count);
	if (status != OK)
		return failed(job, "delete");
	if (!count)
		puts("there is nothing to delete");
	else if (really)
		fputs("tandem topics: workers' files of this installation are of no use any more; the next one needs a --data of "
		      "its own\n",
		      stderr);
	if (really || job->settings->dry_run || !count)
		return EXIT_DONE;
	fputs("tandem topics delete: found no --yes, so nothing was deleted\n", stderr);
	return EXIT_USAGE;
}

/* ---- acls ---- */

/* The principal that was given for a role, ROLE=PRINCIPAL; NULL: none. */
static const char *principal_of(const struct job *job, const char *role)
{
	size_t len = strlen(role);
	const struct config_list *given = &job->settings->principals;
	for (size_t i = 0; i < given->count; i++)
		if (strncmp(given->items[i], role, len) == 0 && given->items[i][len] == '=')
			return given->items[i] + len + 1;
	return NULL;
}

static bool same_resource(const struct acl *a, const struct acl *b)
{
	return strcmp(a->role, b->role) == 0 && strcmp(a->resource, b->resource) == 0 && strcmp(a->name, b->name) == 0;
}

/* A line a principal and resource, as kafka-acls.sh takes it. */
static void print_command(const struct job *job, const struct acl_list *list, size_t at)
{
	const struct acl *acl = &list->items[at];
	const char *principal = principal_of(job, acl->role), *log = job->config->log;
	static const char prefix[] = "kafka://";
	for (size_t i = 0; i < at; i++)
		if (same_resource(acl, &list->items[i]))
			return; /* printed */
	if (!principal)
		return;
	printf("kafka-acls.sh --bootstrap-server %s --add --allow-principal '%s'",
	       log && strncmp(log, prefix, strlen(prefix)) == 0 ? log + strlen(prefix) : "HOST:PORT", principal);
	for (size_t i = at; i < list->count; i++)
		if (same_resource(acl, &list->items[i]))
			printf(" --operation %s", list->items[i].operation);
	printf(" --%s %s\n", strcmp(acl->resource, "Group") == 0 ? "group" : "topic", acl->name);
}

static void print_acl(const struct job *job, const struct acl *acl)
{
	if (job->settings->json)
		json_print_line(stdout,
		                json_pack("{s:s, s:s, s:s, s:s, s:s}", "role", acl->role, "operation", acl->operation,
		                          "resource", acl->resource, "name", acl->name, "use", acl->use));
	else
		printf("%-10s %-15s %-8s %-24s  %s\n", acl->role, acl->operation, acl->resource, acl->name, acl->use);
}

static int acls(struct job *job)
{
	struct acl_list list;
	const struct config_list *given = &job->settings->principals;
	acls_list(commands, command_count, &job->plan, job->config->name_space, &job->arena, &list);
	for (size_t i = 0; i < given->count; i++) {
		size_t at = 0;
		while (at < list.count && principal_of(job, list.items[at].role) != strchr(given->items[i], '=') + 1)
			at++;
		if (!strchr(given->items[i], '=') || at == list.count)
			return config_misuse(
				job->config,
				"--principal: found '%s', expected ROLE=PRINCIPAL of a role that `acls` lists"
				", each once",
				given->items[i]);
	}
	if (!given->count && !job->settings->json)
		printf("%-10s %-15s %-8s %-24s  %s\n", "ROLE", "OPERATION", "RESOURCE", "NAME", "FOR");
	for (size_t i = 0; i < list.count; i++)
		if (given->count)
			print_command(job, &list, i);
		else
			print_acl(job, &list.items[i]);
	return EXIT_DONE;
}

/* ---- */

static const struct {
	const char *name;
	action_run *run;
	bool no_log;
} actions[] = {{"create", create, false},
               {"check", check, false},
               {"list", list, false},
               {"delete", delete, false},
               {"acls", acls, true}};

static action_run *action_named(const struct config *config, bool *no_log)
{
	for (size_t i = 0; config->rest_count == 1 && i < sizeof actions / sizeof *actions; i++) {
		*no_log = actions[i].no_log;
		if (strcmp(config->rest[0], actions[i].name) == 0)
			return actions[i].run;
	}
	return NULL;
}

static int run(const struct config *config, void *arg)
{
	const struct settings *settings = arg;
	struct job job = {.config = config, .settings = settings};
	const struct plan_request request = {(int32_t)settings->partitions, settings->partitions_of};
	int exit_status = EXIT_USAGE;
	bool no_log = false;
	action_run *action = action_named(config, &no_log);
	if (!action && config->rest_count == 1)
		config_misuse(config, "found '%s', expected one of create, check, list, delete, acls", config->rest[0]);
	else if (!action)
		config_misuse(config, "found %zu operands, expected one of create, check, list, delete, acls",
		              config->rest_count);
	else if (plan_topics(commands, command_count, &request, &job.arena, &job.plan, &job.err) != OK)
		fprintf(stderr, "tandem topics: %s\n", job.err.text);
	else if (no_log)
		exit_status = action(&job);
	else if ((job.log = config_open_log(config, &exit_status))) {
		job.survey = (struct survey){
			.log = job.log, .arena = &job.arena, .out = stderr, .stopped = interrupt_requested};
		exit_status = action(&job);
	}
	log_close(job.log);
	arena_fini(&job.arena);
	return exit_status;
}

static int topics_main(int argc, char **argv)
{
	struct settings settings = {.partitions = PLAN_PARTITIONS_DEFAULT};
	const struct config_option options[] = {
		{.name = "partitions",
	         .kind = CONFIG_INT,
	         .value = &settings.partitions,
	         .min = 1,
	         .max = PLAN_PARTITIONS_MAX,
	         .placeholder = "N",
	         .help = "create: of each input topic; the others follow"},
		{.name = "partitions-of",
	         .kind = CONFIG_LIST,
	         .value = &settings.partitions_of,
	         .placeholder = "TOPIC=N",
	         .help = "create: of this input topic"},
		{.name = "single-replica",
	         .kind = CONFIG_FLAG,
	         .value = &settings.single_replica,
	         .help = "create: one replica, and no care for replicas ever after (alone with one broker)"},
		{.name = "keyed",
	         .kind = CONFIG_FLAG,
	         .value = &settings.keyed,
	         .help = "create: chains keyed with --secret-file's secret, so that nobody without it can forge an event"},
		{.name = "principal",
	         .kind = CONFIG_LIST,
	         .value = &settings.principals,
	         .placeholder = "ROLE=PRINCIPAL",
	         .help = "acls: print the commands that grant the role's rights to it, such as order=User:order"},
		CONFIG_DRY_RUN_OPTION(&settings.dry_run, "create, delete: say what would be done"),
		{.name = "yes", .kind = CONFIG_FLAG, .value = &settings.yes, .help = "delete: really do it"},
		{.name = "wait",
	         .kind = CONFIG_DURATION,
	         .value = &settings.wait_ms,
	         .min = 0,
	         .max = 3600000,
	         .placeholder = "TIME",
	         .help = "delete: wait so long for groups to lose their members"},
		CONFIG_JSON_OPTION(&settings.json, "list, acls: a JSON object a line"),
	};
	const struct config_program program = {.usage = "tandem topics [options] create|check|list|delete|acls",
	                                       .summary = summary,
	                                       .examples = examples,
	                                       .options = options,
	                                       .option_count = sizeof options / sizeof *options};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command topics_command = {
	.name = "topics",
	.summary = "make, check, list or delete an installation's topics, say who needs which right",
	.main = topics_main};
