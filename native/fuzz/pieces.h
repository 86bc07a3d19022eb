/* An input that is fed in pieces: where it is cut is part of the input, so that a failure can be had again. */
#ifndef NX_FUZZ_PIECES_H
#define NX_FUZZ_PIECES_H
#include <stdbool.h>
#include <stdint.h>

/* The first state of the cuts: three bytes of the input. */
static inline uint32_t cuts_of(const uint8_t *data) {
  return (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];
}

/* How long the next piece is of `left` bytes: one byte, or up to 64. */
static inline uint64_t next_piece(uint32_t *cuts, bool is_bytewise, uint64_t left) {
  *cuts = *cuts * 1664525u + 1013904223u;
  uint64_t piece = is_bytewise ? 1 : 1 + (*cuts >> 20) % 64;
  return piece < left ? piece : left;
}

#endif
