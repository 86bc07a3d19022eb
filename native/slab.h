/*
 * The store's allocator: blocks without headers, cut from 64 KiB pages of one size class each.
 *
 * The caller gives the size again when it frees, so a block costs nothing but its rounding: 8-byte steps to
 * 512 bytes, 16-byte steps to 1 KiB, steps of 6 to 25 % up to 16320 bytes. Larger blocks come from malloc.
 * Blocks whose size is a multiple of 64 up to 1 KiB, or a class size, are 64-byte aligned; whole pages serve
 * tables.
 *
 * Invariant: `memory_bytes` is exactly what was taken from the system and not given back, to the page and
 * block, and never passes `memory_bytes_max` unless the caller forces it (replay must not be refused). Where the kernel hands out
 * huge pages, the rest of the one that pages are cut from is resident as well.
 */
#ifndef NX_SLAB_H
#define NX_SLAB_H
#include <stdbool.h>
#include <stdint.h>

#define NX_PAGE_BYTES 65536u
#define NX_SLAB_BLOCK_BYTES_MAX 16320u
#define NX_SLAB_CLASSES 124u

typedef struct nx_slab_page nx_slab_page;
typedef struct nx_large nx_large;

typedef struct {
  uint64_t memory_bytes;
  uint64_t memory_peak_bytes;
  uint64_t memory_bytes_max; /* 0: no limit */
  nx_slab_page *partial[NX_SLAB_CLASSES];
  uint8_t *fresh; /* address space that was never touched */
  uint64_t fresh_bytes;
  void **warm; /* free pages that hold memory */
  uint32_t warm_count, warm_capacity;
  void **cold; /* free pages whose memory was given back */
  uint32_t cold_count, cold_capacity;
  void **regions;
  uint32_t region_count, region_capacity;
  uint32_t pages_used;
  nx_large *large;
} nx_slab;

void nx_slab_init(nx_slab *slab, uint64_t memory_bytes_max);
/* Gives everything back at once, blocks in use included. */
void nx_slab_destroy(nx_slab *slab);

/* NULL when the limit would be passed and `force` is not set. Aborts when the system has no memory. */
void *nx_slab_alloc(nx_slab *slab, uint64_t size, bool force);
void nx_slab_free(nx_slab *slab, void *block, uint64_t size);
/* Bytes that a block of `size` really has: equal capacities mean that a change of size needs no other block.
 */
uint64_t nx_slab_capacity(uint64_t size);

/* One aligned page of NX_PAGE_BYTES, contents undefined. */
void *nx_slab_page_alloc(nx_slab *slab, bool force);
void nx_slab_page_free(nx_slab *slab, void *page);

/* True when `pages` more pages stay within the limit. */
bool nx_slab_has_pages(const nx_slab *slab, uint32_t pages);

#endif
