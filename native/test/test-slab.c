/* The allocator: blocks never overlap, every byte is accounted for, a refusal changes nothing. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../slab.h"
#include "tap.h"

#define BLOCKS 4000u

typedef struct {
  uint8_t *block;
  uint64_t size;
  uint8_t mark;
} held;

static uint64_t random_size(uint64_t *state) {
  uint64_t r = test_random(state);
  switch (r % 8) {
    case 0:
      return 1 + (r >> 8) % 40000;
    case 1:
      return 1000 + (r >> 8) % 16000;
    default:
      return (r >> 8) % 600;
  }
}

static bool is_marked(const held *h) {
  for (uint64_t i = 0; i < h->size; i += h->size / 64 + 1) {
    if (h->block[i] != h->mark) return false;
  }
  return h->size == 0 || h->block[h->size - 1] == h->mark;
}

static void blocks_keep_their_bytes(void) {
  nx_slab slab;
  nx_slab_init(&slab, 0);
  static held all[BLOCKS];
  memset(all, 0, sizeof all);
  uint64_t state = 7;
  for (uint32_t step = 0; step < 60000; step++) {
    held *h = &all[test_random(&state) % BLOCKS];
    if (h->block != NULL) {
      CHECK(is_marked(h));
      nx_slab_free(&slab, h->block, h->size);
      h->block = NULL;
    } else {
      *h = (held){.size = random_size(&state), .mark = (uint8_t)step};
      h->block = nx_slab_alloc(&slab, h->size, false);
      memset(h->block, h->mark, h->size);
      CHECK(nx_slab_capacity(h->size) >= h->size && ((uintptr_t)h->block & 7) == 0);
    }
  }
  uint64_t peak = slab.memory_peak_bytes;
  for (uint32_t i = 0; i < BLOCKS; i++) {
    if (all[i].block != NULL) nx_slab_free(&slab, all[i].block, all[i].size);
  }
  CHECK(slab.pages_used == 0 && slab.large == NULL);
  CHECK(slab.memory_bytes == slab.warm_count * (uint64_t)NX_PAGE_BYTES &&
        slab.memory_bytes <= 2 * 1024 * 1024);
  CHECK(peak > slab.memory_bytes);
  nx_slab_destroy(&slab);
}

static void classes_are_tight(void) {
  for (uint64_t size = 1; size <= 3 * NX_SLAB_BLOCK_BYTES_MAX; size++) {
    uint64_t capacity = nx_slab_capacity(size);
    CHECK(capacity >= size && nx_slab_capacity(capacity) == capacity);
    CHECK(capacity - size < 16 || capacity <= size + size / 4);
    CHECK(size > 512 || capacity - size < 8);
  }
}

static void line_sized_blocks_are_aligned(void) {
  nx_slab slab;
  nx_slab_init(&slab, 0);
  for (uint64_t size = 64; size <= 8192; size *= 2) {
    for (int i = 0; i < 100; i++) CHECK(((uintptr_t)nx_slab_alloc(&slab, size, false) & 63) == 0);
  }
  nx_slab_destroy(&slab);
}

static void freed_blocks_are_used_first(void) {
  enum { PAGES = 5, EACH = (NX_PAGE_BYTES - 64) / 1008 };
  nx_slab slab;
  nx_slab_init(&slab, 0);
  uint8_t *blocks[PAGES * EACH];
  for (int i = 0; i < PAGES * EACH; i++) blocks[i] = nx_slab_alloc(&slab, 1008, false);
  CHECK(slab.pages_used == PAGES);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < PAGES * EACH; i += EACH / 2) nx_slab_free(&slab, blocks[i], 1008);
    for (int i = 0; i < PAGES * EACH; i += EACH / 2) blocks[i] = nx_slab_alloc(&slab, 1008, false);
    CHECK(slab.pages_used == PAGES);
  }
  nx_slab_destroy(&slab);
}

static void the_limit_is_exact(void) {
  nx_slab slab;
  nx_slab_init(&slab, 10 * NX_PAGE_BYTES);
  uint64_t blocks = 0;
  while (nx_slab_alloc(&slab, 80, false) != NULL) blocks += 1;
  CHECK(blocks == 10 * ((NX_PAGE_BYTES - 64) / 80));
  CHECK(slab.memory_bytes == 10 * NX_PAGE_BYTES);
  CHECK(nx_slab_alloc(&slab, 100, false) == NULL && nx_slab_alloc(&slab, 1 << 20, false) == NULL);
  CHECK(nx_slab_page_alloc(&slab, false) == NULL);
  CHECK(slab.memory_bytes == 10 * NX_PAGE_BYTES && slab.pages_used == 10);
  CHECK(nx_slab_alloc(&slab, 100, true) != NULL && slab.memory_bytes == 11 * NX_PAGE_BYTES);
  nx_slab_destroy(&slab);
}

static void free_pages_make_room_for_large_blocks(void) {
  nx_slab slab;
  nx_slab_init(&slab, 10 * NX_PAGE_BYTES);
  void *pages[10];
  for (int i = 0; i < 10; i++) CHECK((pages[i] = nx_slab_page_alloc(&slab, false)) != NULL);
  CHECK(nx_slab_alloc(&slab, 400000, false) == NULL);
  for (int i = 0; i < 8; i++) nx_slab_page_free(&slab, pages[i]);
  void *large = nx_slab_alloc(&slab, 400000, false);
  CHECK(large != NULL && slab.memory_bytes <= 10 * NX_PAGE_BYTES);
  nx_slab_free(&slab, large, 400000);
  nx_slab_destroy(&slab);
}

/* Whether the kernel lists `flag` (two letters) for the memory at `address`. */
static bool has_flag(const void *address, const char *flag) {
  FILE *file = fopen("/proc/self/smaps", "r");
  char line[512];
  bool is_inside = false, is_found = false;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
      is_inside = (uintptr_t)address >= start && (uintptr_t)address < end;
    else if (is_inside && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, flag) != NULL) is_found = true;
  }
  if (file != NULL) fclose(file);
  return is_found;
}

static void holes_stay_holes(void) {
  enum { PAGES = 200 }; /* more than a region has */
  if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0) return; /* a kernel without huge pages */
  nx_slab slab;
  nx_slab_init(&slab, 0);
  void *pages[PAGES];
  for (int i = 0; i < PAGES; i++) pages[i] = nx_slab_page_alloc(&slab, false);
  CHECK(has_flag(pages[0], " hg") && has_flag(pages[PAGES - 1], " hg"));
  for (int i = 0; i < 100; i++) nx_slab_page_free(&slab, pages[i]);
  CHECK(slab.cold_count != 0);
  CHECK(has_flag(pages[0], " nh") && has_flag(pages[127], " nh") && has_flag(pages[128], " hg"));
  nx_slab_destroy(&slab);
}

int main(void) {
  TEST("blocks of all sizes keep their bytes, and all memory comes back", blocks_keep_their_bytes);
  TEST("a block is at most 7 bytes larger to 512, then a quarter", classes_are_tight);
  TEST("blocks of whole cache lines are aligned to them", line_sized_blocks_are_aligned);
  TEST("freed blocks are used again before another page is taken", freed_blocks_are_used_first);
  TEST("the limit is exact, a refusal changes nothing, force passes it", the_limit_is_exact);
  TEST("pages kept warm are given up before a block is refused", free_pages_make_room_for_large_blocks);
  TEST("memory that was given back is not filled again by huge pages", holes_stay_holes);
  TAP_END();
}
