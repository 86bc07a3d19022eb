/*
 * A part of a file in memory. Whoever wants bytes of the file either finds them here or is told what to read where.
 */
#ifndef NX_BLOCKS_WINDOW_H
#define NX_BLOCKS_WINDOW_H
#include <stdint.h>

#include "../buffer.h"

typedef struct {
  nx_buffer bytes;
  uint64_t offset; /* of the first byte in the file */
  uint64_t wanted; /* bytes to read at once */
} nx_window;

/* The `length` bytes at `offset` of the file; null when they are not all here: then the bytes at `*read_offset` are to
 * be read to `*target`, `*read_length` of them if the file has so many. */
const uint8_t *nx_window_find(nx_window *window, uint64_t offset, uint64_t length, uint64_t *read_offset,
                              uint64_t *read_length, uint8_t **target);

#endif
