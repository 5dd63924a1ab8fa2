/* proxy: the network between clients and brokers, for tests that disturb it. A thread of the test passes bytes from ports of
 * its own to the brokers' ports, and does to them what it is told.
 *
 * Functions may be called from one thread of the test; they do not wait. What goes wrong in opening fails the test (cmocka). */
#ifndef TANDEM_TESTS_PROXY_H
#define TANDEM_TESTS_PROXY_H

#define PROXY_ROUTES_MAX 8

enum proxy_weather {
	PROXY_FAIR, /* all passes */
	PROXY_SLOW, /* all passes, each byte so many milliseconds late, either way */
	PROXY_HOLE, /* nothing passes, and nobody is told: connections are made and stay; what was sent arrives afterwards */
	PROXY_MUTE,  /* what clients send arrives; the answers do not */
	PROXY_RESET, /* every connection is reset, new ones at once */
};

struct proxy;

struct proxy *proxy_open(void);
/* A port of 127.0.0.1 whose connections go to the target's port there. Returns its number; *route names it below. */
int proxy_add(struct proxy *proxy, int target_port, int *route);
/* From now on. delay_ms: of PROXY_SLOW. */
void proxy_set(struct proxy *proxy, int route, enum proxy_weather weather, int delay_ms);

struct proxy_counts {
	int connections; /* accepted so far, or reset at once */
	long bytes_up;   /* passed to the broker */
};

void proxy_counts(struct proxy *proxy, int route, struct proxy_counts *out);
void proxy_close(struct proxy *proxy); /* NULL is fine */

#endif
