#include "http_client.h"

#include "mem.h"
#include "version.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define TIMEOUT_MS       10000
#define ANSWER_BYTES_MAX (1 << 20)

struct http_client {
	CURL *curl;
	struct curl_slist *headers; /* of every request */
	char *url;
	size_t answer_bytes_max;
	bool (*stopped)(void *arg);
	void *arg;
	bool too_long;             /* the answer under way */
	struct buf *answer;        /* where it goes */
	char why[CURL_ERROR_SIZE]; /* curl's words for the last failure */
};

static void begin_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_client *client = arg;
	size_t len = size * count;
	if (len > client->answer_bytes_max - client->answer->len) {
		client->too_long = true;
		return 0;
	}
	buf_put(client->answer, bytes, len);
	return len;
}

/* Not 0: curl gives up. */
static int turn(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	const struct http_client *client = arg;
	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	return client->stopped && client->stopped(client->arg);
}

static bool url_valid(const char *url)
{
	bool http = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
	CURLU *parts = http ? curl_url() : NULL;
	bool valid = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK;
	curl_url_cleanup(parts);
	return valid;
}

static void set_options(struct http_client *client, int timeout_ms)
{
	CURL *curl = client->curl;
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); /* threads */
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_ms ? timeout_ms : TIMEOUT_MS));
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->why);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, turn);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, client);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	char *agent = mem_format("tandem/%s", tandem_version);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, agent); /* copied */
	mem_free(agent);
}

static void add_header(struct curl_slist **list, const char *header)
{
	struct curl_slist *longer = curl_slist_append(*list, header);
	if (!longer)
		mem_out(strlen(header));
	*list = longer;
}

enum status http_client_open(const struct http_client_config *config, struct http_client **out, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, begin_curl);
	if (!url_valid(config->url))
		return err_set(err, REJECT, "invalid", "found '%s', expected a URL like http://HOST:PORT", config->url);
	for (size_t i = 0; i < config->header_count; i++) {
		const char *header = config->headers[i];
		if (strpbrk(header, "\r\n") || !strchr(header, ':') || *header == ':')
			return err_set(err, REJECT, "invalid", "header %zu is not NAME: VALUE in one line", i + 1);
	}
	struct http_client *client = mem_zalloc(1, sizeof *client);
	client->curl = curl_easy_init();
	if (!client->curl)
		mem_out(sizeof *client);
	client->url = mem_strdup(config->url);
	client->answer_bytes_max = config->answer_bytes_max ? config->answer_bytes_max : ANSWER_BYTES_MAX;
	client->stopped = config->stopped;
	client->arg = config->arg;
	for (size_t i = 0; i < config->header_count; i++)
		add_header(&client->headers, config->headers[i]);
	set_options(client, config->timeout_ms);
	if (config->direct)
		curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
	*out = client;
	return OK;
}

void http_client_close(struct http_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	curl_slist_free_all(client->headers);
	mem_free(client->url);
	mem_free(client);
}

/* This request's headers: those of every one, the content's type, and no "Expect: 100-continue", which costs a second
 * beside servers that do not know it. */
static struct curl_slist *headers_of(const struct http_client *client, const struct http_request *request)
{
	struct curl_slist *list = NULL;
	for (const struct curl_slist *at = client->headers; at; at = at->next)
		add_header(&list, at->data);
	add_header(&list, "Expect:");
	if (request->content_type) {
		char *type = mem_format("Content-Type: %s", request->content_type);
		add_header(&list, type);
		mem_free(type);
	}
	return list;
}

static void set_request(struct http_client *client, const struct http_request *request, const char *url,
                        struct curl_slist *headers)
{
	CURL *curl = client->curl;
	bool body = request->body || strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static enum status failed(const struct http_client *client, CURLcode code, struct err *err)
{
	const char *text = *client->why ? client->why : curl_easy_strerror(code);
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(err, RETRY, "timeout", "%s: %s", client->url, text);
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(err, RETRY, "interrupted", "%s: interrupted", client->url);
	case CURLE_WRITE_ERROR:
		if (client->too_long)
			return err_set(err, RETRY, "too_large", "%s: the answer has more than %zu bytes", client->url,
			               client->answer_bytes_max);
		/* fall through */
	default:
		return err_set(err, RETRY, "transport", "%s: %s", client->url, text);
	}
}

enum status http_client_send(struct http_client *client, const struct http_request *request, struct http_reply *reply,
                             struct err *err)
{
	struct curl_slist *headers = headers_of(client, request);
	char *url = mem_format("%s%s", client->url, request->path);
	long status = 0;
	buf_reset(&reply->body);
	client->answer = &reply->body;
	client->too_long = false;
	*client->why = 0;
	set_request(client, request, url, headers);
	CURLcode code = curl_easy_perform(client->curl);
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
	client->answer = NULL;
	curl_slist_free_all(headers);
	mem_free(url);
	reply->status = (int)status;
	return code == CURLE_OK ? OK : failed(client, code, err);
}
