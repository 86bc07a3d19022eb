/*
 * A growable byte buffer. Owned by C, read by TypeScript through a view that is renewed when `generation`
 * changes (the memory moved). It never shrinks below `keep` and gives memory back with nx_buffer_trim.
 */
#ifndef NX_BUFFER_H
#define NX_BUFFER_H
#include <stdint.h>

typedef struct {
  uint8_t *data;
  uint64_t length;
  uint64_t capacity;
  uint64_t generation;
} nx_buffer;

void nx_buffer_reserve(nx_buffer *buffer, uint64_t extra); /* aborts when the system has no memory */
void nx_buffer_append(nx_buffer *buffer, const void *bytes, uint64_t length);
void nx_buffer_trim(nx_buffer *buffer, uint64_t keep);
void nx_buffer_free(nx_buffer *buffer);

/* Empties it for what comes next; of much more memory than `keep` half of that stays. */
static inline void nx_buffer_reuse(nx_buffer *buffer, uint64_t keep) {
  buffer->length = 0;
  if (buffer->capacity > keep) nx_buffer_trim(buffer, keep / 2);
}

#endif
