/* A sweep over the writes in the order of their addresses; a heap holds those that cover the present place. */
#include "pieces.h"

#include <stdlib.h>

typedef struct {
  const nx_diff_record *writes;
  uint32_t *order; /* writes by address */
  uint32_t *heap;  /* open writes, the latest on top */
  uint64_t open;
} sweep;

static uint64_t end_of(const nx_diff_record *record) { return record->address + record->blocks; }

static int by_address(const void *a, const void *b, void *context) {
  const nx_diff_record *writes = context;
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  if (writes[left].address != writes[right].address) return writes[left].address < writes[right].address ? -1 : 1;
  return left < right ? -1 : left > right;
}

static void push(sweep *s, uint32_t write) {
  uint64_t at = s->open++;
  for (; at > 0 && s->heap[(at - 1) / 2] < write; at = (at - 1) / 2) s->heap[at] = s->heap[(at - 1) / 2];
  s->heap[at] = write;
}

static void pop(sweep *s) {
  uint32_t last = s->heap[--s->open];
  uint64_t at = 0;
  for (;;) {
    uint64_t child = 2 * at + 1;
    if (child >= s->open) break;
    if (child + 1 < s->open && s->heap[child + 1] > s->heap[child]) child += 1;
    if (s->heap[child] <= last) break;
    s->heap[at] = s->heap[child];
    at = child;
  }
  s->heap[at] = last;
}

void nx_visible_pieces(const nx_diff_record *writes, uint64_t count, nx_piece_taker *take, void *context) {
  NX_ASSERT(count <= UINT32_MAX);
  if (count == 0) return;
  sweep s = {.writes = writes, .order = malloc(count * sizeof(uint32_t)), .heap = malloc(count * sizeof(uint32_t))};
  NX_ASSERT(s.order != NULL && s.heap != NULL);
  for (uint32_t write = 0; write < count; write++) s.order[write] = write;
  qsort_r(s.order, count, sizeof *s.order, by_address, (void *)writes);
  uint64_t next = 0, place = 0;
  for (;;) {
    while (s.open > 0 && end_of(&writes[s.heap[0]]) <= place) pop(&s);
    if (s.open == 0) {
      if (next == count) break;
      place = writes[s.order[next]].address;
      while (next < count && writes[s.order[next]].address == place) push(&s, s.order[next++]);
    }
    uint32_t top = s.heap[0];
    uint64_t end = end_of(&writes[top]);
    /* Earlier writes that begin under this one wait in the heap; the first later one cuts it. */
    while (next < count && writes[s.order[next]].address < end && s.order[next] < top) push(&s, s.order[next++]);
    if (next < count && writes[s.order[next]].address < end) end = writes[s.order[next]].address;
    if (end > place) {
      nx_diff_record piece = writes[top];
      piece.image_start += (uint32_t)(place - piece.address);
      piece.address = place;
      piece.blocks = (uint32_t)(end - place);
      take(context, &piece, top);
    }
    place = end;
    while (next < count && writes[s.order[next]].address == place) push(&s, s.order[next++]);
  }
  free(s.order);
  free(s.heap);
}

void nx_aligned_pieces(const nx_diff_record *piece, uint32_t write, uint32_t blocks_max, nx_piece_taker *take,
                       void *context) {
  NX_ASSERT(blocks_max != 0 && (blocks_max & (blocks_max - 1)) == 0);
  nx_diff_record part = *piece;
  for (uint32_t done = 0; done < piece->blocks; done += part.blocks) {
    part.address = piece->address + done;
    part.image_start = piece->image_start + done;
    uint64_t aligned = part.address & (0 - part.address);
    uint32_t blocks = blocks_max;
    while (blocks > piece->blocks - done || (aligned != 0 && blocks > aligned)) blocks /= 2;
    part.blocks = blocks;
    take(context, &part, write);
  }
}
