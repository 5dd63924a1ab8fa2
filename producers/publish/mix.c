#include "publish.h"

uint64_t publish_mix(uint64_t seed, uint64_t number)
{
	uint64_t z = seed + (number + 1) * 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t publish_hash(uint64_t seed, const char *id)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 0x100000001b3u;
	return publish_mix(seed, hash);
}

bool publish_chosen(uint64_t seed, const char *id, int64_t n)
{
	return n > 0 && publish_hash(seed, id) % (uint64_t)n == 0;
}
