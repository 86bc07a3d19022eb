/*
 * MurmurHash3 x64 128 (Austin Appleby, public domain), by which two WalB images are compared. A result is 16 bytes:
 * h1, then h2, little-endian.
 */
#ifndef NX_BLOCKS_HASH_H
#define NX_BLOCKS_HASH_H
#include <stdint.h>

#include "../nx.h"

/* Both halves of the state start with `seed`. */
NX_API void nx_murmur3_128(const uint8_t *bytes, uint64_t length, uint32_t seed, uint8_t *out);

/* One hash of 16 bytes for each chunk of `chunk_bytes`; the last chunk may be short. */
NX_API void nx_murmur3_chunks(const uint8_t *bytes, uint64_t length, uint64_t chunk_bytes, uint32_t seed,
                              uint8_t *out);

#endif
