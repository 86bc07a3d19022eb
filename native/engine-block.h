/*
 * What every protocol engine leaves behind after a call: its replies, in a buffer of its own, and where they are, in the
 * first places of an array of doubles, the engine's block (src/native/engine-block.ts reads it). Addresses fit a
 * double exactly: user space has 47 bits.
 *
 * Invariant: the replies of a call stay where the block says until the next call begins.
 */
#ifndef NX_ENGINE_BLOCK_H
#define NX_ENGINE_BLOCK_H
#include "buffer.h"
#include "store.h"

enum {
  NX_BLOCK_REPLY_ADDRESS,
  NX_BLOCK_REPLY_LENGTH,
  NX_BLOCK_REPLY_CAPACITY,
  NX_BLOCK_REPLY_GENERATION,
  NX_BLOCK_EFFECTS_LENGTH, /* changes that wait for the log */
  NX_BLOCK_OWN             /* from here on places are the engine's own */
};

/* A call ends. `effects` is where its changes were recorded. */
static inline void nx_block_show(double *block, const nx_buffer *replies, const nx_buffer *effects) {
  block[NX_BLOCK_REPLY_ADDRESS] = (double)(uintptr_t)replies->data;
  block[NX_BLOCK_REPLY_LENGTH] = (double)replies->length;
  block[NX_BLOCK_REPLY_CAPACITY] = (double)replies->capacity;
  block[NX_BLOCK_REPLY_GENERATION] = (double)replies->generation;
  block[NX_BLOCK_EFFECTS_LENGTH] = (double)effects->length;
}

/* The replies of the last call, for readers in C. */
static inline nx_slice nx_block_replies(const double *block) {
  const uint8_t *bytes = (const uint8_t *)(uintptr_t)block[NX_BLOCK_REPLY_ADDRESS];
  return (nx_slice){bytes, (uint64_t)block[NX_BLOCK_REPLY_LENGTH]};
}

#endif
