/* How much memory is alive. With a sanitizer its hooks tell; without one malloc and its kin are ours, before those of libc,
 * so that what libraries allocate is counted too. */
#include "fuzz.h"

#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

static bool counting;
static int64_t alive, peak;

static void count(size_t size)
{
	alive += (int64_t)size;
	if (alive > peak)
		peak = alive;
}

void memory_begin(void)
{
	alive = peak = 0;
	counting = true;
}

size_t memory_end(void)
{
	counting = false;
	return (size_t)peak;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE(address_sanitizer) ||                 \
	HAS_FEATURE(thread_sanitizer)

/* <sanitizer/allocator_interface.h>, which gcc does not install */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *memory);

static void on_malloc(const volatile void *memory, size_t size)
{
	(void)memory;
	if (counting)
		count(size);
}

static void on_free(const volatile void *memory)
{
	if (counting && memory)
		alive -= (int64_t)__sanitizer_get_allocated_size(memory);
}

__attribute__((constructor)) static void install(void)
{
	FUZZ_MUST(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0, "nothing would be counted");
}

#else

#include <malloc.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t items, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *memory);

void *malloc(size_t size)
{
	void *memory = __libc_malloc(size);
	if (counting && memory)
		count(malloc_usable_size(memory));
	return memory;
}

void *calloc(size_t items, size_t size)
{
	void *memory = __libc_calloc(items, size);
	if (counting && memory)
		count(malloc_usable_size(memory));
	return memory;
}

/* The old one is alive while the new one is filled. */
void *realloc(void *old, size_t size)
{
	size_t before = old ? malloc_usable_size(old) : 0;
	void *memory = __libc_realloc(old, size);
	if (counting && memory) {
		count(malloc_usable_size(memory));
		alive -= (int64_t)before;
	}
	return memory;
}

void free(void *memory)
{
	if (counting && memory)
		alive -= (int64_t)malloc_usable_size(memory);
	__libc_free(memory);
}

#endif
