/* Reading byte strings field by field, and their order: what values, operations and dumps have in common. */
#ifndef NX_VERSIONS_CURSOR_H
#define NX_VERSIONS_CURSOR_H
#include <string.h>

#include "../bytes.h"
#include "versions.h"

/* Takes `length` bytes off the front; false, and nothing taken, when there are fewer. */
static inline bool nx_take(nx_bytes *from, uint64_t length, nx_bytes *out) {
  if (from->length < length) return false;
  *out = (nx_bytes){from->data, length};
  from->data += length;
  from->length -= length;
  return true;
}

static inline bool nx_take32(nx_bytes *from, uint32_t *out) {
  nx_bytes field;
  if (!nx_take(from, 4, &field)) return false;
  *out = nx_load32(field.data);
  return true;
}

/* A u32 length and as many bytes. */
static inline bool nx_take_bytes(nx_bytes *from, nx_bytes *out) {
  uint32_t length;
  return nx_take32(from, &length) && nx_take(from, length, out);
}

/* By bytes, a prefix before what it begins. */
static inline int nx_bytes_compare(nx_bytes a, nx_bytes b) {
  uint64_t common = a.length < b.length ? a.length : b.length;
  int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
  if (order != 0) return order;
  return a.length < b.length ? -1 : a.length > b.length;
}

#endif
