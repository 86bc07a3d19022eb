/*
 * Unaligned little-endian loads and stores. All formats of node-x that C writes are little-endian, as are all
 * hosts that it is built for.
 */
#ifndef NX_BYTES_H
#define NX_BYTES_H
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are little-endian");

static inline uint32_t nx_load32(const void *from) {
  uint32_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

static inline uint64_t nx_load64(const void *from) {
  uint64_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

static inline void nx_store32(void *to, uint32_t value) { memcpy(to, &value, sizeof value); }
static inline void nx_store64(void *to, uint64_t value) { memcpy(to, &value, sizeof value); }

/* memcpy and memmove that allow a null pointer beside a zero length, as slices do. */
static inline void nx_copy(void *to, const void *from, uint64_t length) {
  if (length != 0) memcpy(to, from, length);
}

static inline void nx_move(void *to, const void *from, uint64_t length) {
  if (length != 0) memmove(to, from, length);
}

#endif
