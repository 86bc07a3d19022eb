/* The window of window.h: what is still wanted moves to the front, the rest is read behind it. */
#include "window.h"

#include <stdbool.h>
#include <string.h>

const uint8_t *nx_window_find(nx_window *window, uint64_t offset, uint64_t length, uint64_t *read_offset,
                              uint64_t *read_length, uint8_t **target) {
  nx_buffer *bytes = &window->bytes;
  uint64_t end = window->offset + bytes->length;
  bool begins_here = bytes->length > 0 && offset >= window->offset && offset < end;
  if (begins_here && length <= end - offset) return bytes->data + (offset - window->offset);
  if (begins_here) {
    bytes->length = end - offset;
    memmove(bytes->data, bytes->data + (offset - window->offset), bytes->length);
  } else {
    bytes->length = 0;
  }
  window->offset = offset;
  uint64_t whole = length > window->wanted ? length : window->wanted;
  nx_buffer_reserve(bytes, whole - bytes->length);
  *read_offset = offset + bytes->length;
  *read_length = whole - bytes->length;
  *target = bytes->data + bytes->length;
  return NULL;
}
