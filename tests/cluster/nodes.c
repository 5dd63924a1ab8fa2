#include "nodes.h"

#include "json.h"
#include "seam.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRIPT       "tests/system/kafka/cluster.sh"
#define CONTROLLER   9
#define SYNC_SECONDS 180

struct node {
	pid_t pid;       /* 0: it does not run */
	int route, port; /* the proxy's */
};

static struct {
	char folder[64];
	int64_t started_us;
	struct proxy *proxy;
	struct node nodes[CONTROLLER + 1];
} cluster;

void nodes_say(const char *format, ...)
{
	char text[300];
	va_list rest;
	va_start(rest, format);
	vsnprintf(text, sizeof text, format, rest);
	va_end(rest);
	print_message("%8.2f s  %s\n", (double)(seam_monotonic_us(&seam_system) - cluster.started_us) / 1e6, text);
}

/* ---- the script ---- */

/* Its output, at most a page of it. */
static void script(char *out, size_t room, const char *format, ...)
{
	char command[2048];
	va_list rest;
	va_start(rest, format);
	int len = snprintf(command, sizeof command, SCRIPT " ");
	vsnprintf(command + len, sizeof command - (size_t)len, format, rest);
	va_end(rest);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t got = fread(out, 1, room - 1, pipe);
	out[got] = 0;
	int status = pclose(pipe);
	if (status != 0)
		fail_msg("'%s' ended with %d: %s", command, status, out);
}

/* ---- single nodes ---- */

static _Noreturn void become(int node, pid_t parent)
{
	char number[12], port[12];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(125);
	snprintf(number, sizeof number, "%d", node);
	snprintf(port, sizeof port, "%d", cluster.nodes[node].port);
	execl(SCRIPT, SCRIPT, "run", cluster.folder, number, port, NULL);
	_exit(127);
}

void nodes_launch(int broker)
{
	struct node *node = &cluster.nodes[broker];
	char log[128];
	snprintf(log, sizeof log, "%s/%d/log", cluster.folder, broker);
	unlink(log); /* the last one's says that it serves */
	snprintf(log, sizeof log, "%s/%d/pid", cluster.folder, broker);
	FILE *file = fopen(log, "w");
	pid_t parent = getpid();
	assert_int_equal(node->pid, 0);
	assert_non_null(file);
	node->pid = fork();
	if (node->pid == 0)
		become(broker, parent);
	assert_true(node->pid > 0);
	fprintf(file, "%d\n", (int)node->pid); /* it writes the same */
	fclose(file);
}

void nodes_await(int broker)
{
	char out[4096];
	script(out, sizeof out, "await %s %d 2>&1", cluster.folder, broker);
	nodes_say("node %d serves", broker);
}

static void end(int broker, int number)
{
	struct node *node = &cluster.nodes[broker];
	int status;
	if (!node->pid)
		return;
	nodes_say("node %d gets signal %d", broker, number);
	kill(node->pid, number);
	while (waitpid(node->pid, &status, 0) < 0 && errno == EINTR)
		;
	node->pid = 0;
}

void nodes_kill(int broker)
{
	end(broker, SIGKILL);
}

void nodes_end(int broker)
{
	end(broker, SIGTERM);
}

void nodes_freeze(int broker)
{
	nodes_say("node %d hangs", broker);
	kill(cluster.nodes[broker].pid, SIGSTOP);
}

void nodes_thaw(int broker)
{
	if (cluster.nodes[broker].pid)
		kill(cluster.nodes[broker].pid, SIGCONT);
}

void nodes_weather(int broker, enum proxy_weather weather, int delay_ms)
{
	static const char *const names[] = {"fair", "slow", "cut off", "mute", "reset"};
	nodes_say("the way to node %d is %s", broker, names[weather]);
	proxy_set(cluster.proxy, cluster.nodes[broker].route, weather, delay_ms);
}

void nodes_traffic(int broker, struct proxy_counts *out)
{
	proxy_counts(cluster.proxy, cluster.nodes[broker].route, out);
}

/* ---- all of them ---- */

static void raise_proxies(const char *ports)
{
	char brokers[128];
	int used = 0;
	cluster.proxy = proxy_open();
	for (int n = 1; n <= BROKERS; n++) {
		char *end_of_port;
		struct node *node = &cluster.nodes[n];
		long port = strtol(ports, &end_of_port, 10);
		assert_true(port > 0 && end_of_port != ports);
		ports = end_of_port;
		node->port = proxy_add(cluster.proxy, (int)port, &node->route);
		used += snprintf(brokers + used, sizeof brokers - (size_t)used, "%s127.0.0.1:%d", n > 1 ? "," : "",
		                 node->port);
	}
	setenv("KAFKA", brokers, 1);
}

void nodes_start(void)
{
	static const int all[] = {CONTROLLER, 1, 2, 3};
	char ports[4096];
	cluster.started_us = seam_monotonic_us(&seam_system);
	strcpy(cluster.folder, "/tmp/tandem-cluster-XXXXXX");
	assert_non_null(mkdtemp(cluster.folder));
	script(ports, sizeof ports, "make %s", cluster.folder);
	raise_proxies(ports);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		nodes_launch(all[i]);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		nodes_await(all[i]);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info;
	(void)kind;
	(void)walk;
	return remove(path);
}

void nodes_stop(void)
{
	for (int n = 1; n <= CONTROLLER; n++)
		nodes_kill(n);
	proxy_close(cluster.proxy);
	cluster.proxy = NULL;
	if (getenv("TANDEM_KEEP"))
		print_message("kept: %s\n", cluster.folder);
	else
		nftw(cluster.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- metadata ---- */

/* Asked past the proxies. NULL: nobody answers. */
static json_t *metadata(void)
{
	char command[256];
	int used = snprintf(command, sizeof command, "kcat -L -J -m 5 -X log_level=0 -b ");
	for (int n = 1; n <= BROKERS; n++) {
		char path[128];
		int port = 0;
		snprintf(path, sizeof path, "%s/%d/port", cluster.folder, n);
		FILE *file = fopen(path, "r");
		assert_non_null(file);
		assert_int_equal(fscanf(file, "%d", &port), 1);
		fclose(file);
		used += snprintf(command + used, sizeof command - (size_t)used, "%s127.0.0.1:%d", n > 1 ? "," : "",
		                 port);
	}
	snprintf(command + used, sizeof command - (size_t)used, " 2>/dev/null");
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	json_t *json = json_loadf(pipe, 0, NULL);
	pclose(pipe);
	return json;
}

int nodes_leader(struct rig *rig, const char *topic, int32_t partition)
{
	const char *full = arena_format(&rig->arena, "%s.%s", rig->name_space, topic);
	json_t *json = metadata(), *t, *p;
	size_t i, j;
	int leader = -1;
	json_array_foreach(json_object_get(json, "topics"), i, t)
	{
		if (strcmp(json_string_value(json_object_get(t, "topic")), full) != 0)
			continue;
		json_array_foreach(json_object_get(t, "partitions"), j, p)
		{
			if (json_integer_value(json_object_get(p, "partition")) == partition)
				leader = (int)json_integer_value(json_object_get(p, "leader"));
		}
	}
	json_decref(json);
	return leader;
}

/* Is all of it as it should be: enough in sync, and led by the first replica? */
static bool all_well(json_t *json, bool preferred)
{
	json_t *t, *p;
	size_t i, j, partitions = 0;
	bool well = json_array_size(json_object_get(json, "brokers")) == BROKERS;
	json_array_foreach(json_object_get(json, "topics"), i, t)
	{
		json_array_foreach(json_object_get(t, "partitions"), j, p)
		{
			json_t *replicas = json_object_get(p, "replicas");
			partitions++;
			well = well && json_array_size(json_object_get(p, "isrs")) == json_array_size(replicas);
			well = well && (!preferred ||
			                json_integer_value(json_object_get(p, "leader")) ==
			                        json_integer_value(json_object_get(json_array_get(replicas, 0), "id")));
		}
	}
	return well;
}

static bool in_sync(struct rig *rig, void *arg)
{
	const bool *preferred = arg;
	(void)rig;
	json_t *json = metadata();
	bool well = json && all_well(json, *preferred);
	json_decref(json);
	return well;
}

void nodes_in_sync(struct rig *rig)
{
	bool preferred = false;
	rig_until(rig, SYNC_SECONDS, "every replica is in sync", in_sync, &preferred);
	nodes_say("all are in sync");
}

void nodes_heal(struct rig *rig)
{
	bool preferred = true;
	for (int n = 1; n <= BROKERS; n++) {
		proxy_set(cluster.proxy, cluster.nodes[n].route, PROXY_FAIR, 0);
		nodes_thaw(n);
		if (!cluster.nodes[n].pid)
			nodes_launch(n);
	}
	for (int n = 1; n <= BROKERS; n++)
		nodes_await(n);
	rig_until(rig, SYNC_SECONDS, "every replica is in sync, and the first one leads", in_sync, &preferred);
	nodes_say("the cluster is whole");
}

void nodes_isr(struct rig *rig, int *least, int *most)
{
	json_t *json = metadata(), *t, *p;
	size_t i, j, len = strlen(rig->name_space);
	*least = BROKERS;
	*most = 0;
	json_array_foreach(json_object_get(json, "topics"), i, t)
	{
		if (strncmp(json_string_value(json_object_get(t, "topic")), rig->name_space, len) != 0)
			continue;
		json_array_foreach(json_object_get(t, "partitions"), j, p)
		{
			int count = (int)json_array_size(json_object_get(p, "isrs"));
			*least = count < *least ? count : *least;
			*most = count > *most ? count : *most;
		}
	}
	json_decref(json);
}

/* ---- tools ---- */

void nodes_tool(struct rig *rig, const char *format, ...)
{
	char out[4096], arguments[1500];
	va_list rest;
	(void)rig;
	va_start(rest, format);
	vsnprintf(arguments, sizeof arguments, format, rest);
	va_end(rest);
	script(out, sizeof out, "tool %s %s 2>&1", cluster.folder, arguments);
}

void nodes_set_topic(struct rig *rig, const char *topic, const char *settings)
{
	nodes_tool(rig, "kafka.admin.ConfigCommand --alter --entity-type topics --entity-name %s.%s --add-config %s",
	           rig->name_space, topic, settings);
}
