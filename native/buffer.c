/* The growable buffer of buffer.h. Invariant: length <= capacity, and `data` moves only when `generation`
 * does. */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#include "nx.h"

#define CAPACITY_MIN 4096u

static void set_capacity(nx_buffer *buffer, uint64_t capacity) {
  uint8_t *data = realloc(buffer->data, capacity);
  NX_ASSERT(data != NULL);
  buffer->data = data;
  buffer->capacity = capacity;
  buffer->generation += 1;
}

void nx_buffer_reserve(nx_buffer *buffer, uint64_t extra) {
  NX_ASSERT(extra <= UINT64_MAX / 4 - buffer->length);
  uint64_t needed = buffer->length + extra;
  if (needed <= buffer->capacity) return;
  uint64_t doubled = buffer->capacity * 2;
  uint64_t capacity = needed > doubled ? needed : doubled;
  set_capacity(buffer, capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity);
}

void nx_buffer_append(nx_buffer *buffer, const void *bytes, uint64_t length) {
  if (length == 0) return;
  nx_buffer_reserve(buffer, length);
  memcpy(buffer->data + buffer->length, bytes, length);
  buffer->length += length;
}

void nx_buffer_trim(nx_buffer *buffer, uint64_t keep) {
  uint64_t wanted = buffer->length > keep ? buffer->length : keep;
  if (wanted < CAPACITY_MIN) wanted = CAPACITY_MIN;
  if (buffer->capacity > wanted) set_capacity(buffer, wanted);
}

void nx_buffer_free(nx_buffer *buffer) {
  free(buffer->data);
  *buffer = (nx_buffer){.generation = buffer->generation + 1};
}
