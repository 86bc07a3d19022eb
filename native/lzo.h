/*
 * LZO1X, the compression of the batches of the swarm protocols, written from a description of its stream.
 *
 * A stream is a sequence of instructions, each a match (length, distance back into the output) or a run of
 * literals. `state` is the number of literals that the instruction before copied behind its match (0-3), or 4
 * after a run. ext(base): 255 for each zero byte, then base + the first other byte.
 *
 *   first byte 18-255    copy byte - 17 literals
 *   t 128-255            length 5 + (t>>5 & 3)               distance (next << 3) + (t>>2 & 7) + 1
 *   t  64-127            length 3 + (t>>5 & 1)               distance the same
 *   t  32-63             length 2 + (t & 31 or ext(31))      u16 d, distance (d>>2) + 1
 *   t  16-31             length 2 + (t & 7 or ext(7))       u16 d, distance 16384 + ((t & 8) << 11) + (d>>2);
 *                                                            16384 itself ends the stream: 11 00 00
 *   t   0-15, state 0    3 + (t or ext(15)) literals
 *   t   0-15, state 1-3  length 2                            distance (next << 2) + (t>>2) + 1
 *   t   0-15, state 4    length 3                            distance (next << 2) + (t>>2) + 2049
 *
 * The two low bits of t (of d, where there is one) are the literals that follow a match.
 */
#ifndef NX_LZO_H
#define NX_LZO_H
#include <stdint.h>
#include "nx.h"

#define NX_LZO_TABLE_ENTRIES 16384u

/* What the encoder remembers while it works; its content on entry does not matter. */
typedef struct {
  uint32_t positions[NX_LZO_TABLE_ENTRIES];
} nx_lzo_table;

/* The longest stream for `length` bytes. */
static inline uint64_t nx_lzo_bound(uint64_t length) { return length + length / 16 + 67; }

/* Writes at most nx_lzo_bound(length) bytes to `out`, which must not overlap `in`; returns how many. Equal
 * input gives equal output. `length` is below 2^31. */
uint64_t nx_lzo_encode(const uint8_t *in, uint64_t length, uint8_t *out, nx_lzo_table *table);

/* The length of the content, or -EBADMSG when the stream is malformed, does not end exactly at `length` or
 * holds more than `capacity` bytes. Never reads or writes outside the two buffers, whatever the bytes are.
 * */
int64_t nx_lzo_decode(const uint8_t *in, uint64_t length, uint8_t *out, uint64_t capacity);

#endif
