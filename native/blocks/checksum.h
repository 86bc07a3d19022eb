/*
 * The salted checksum of the WalB formats: the sum of all little-endian 32-bit words, negated.
 *
 *   sum = salt + word 0 + word 1 + …   (modulo 2^32; a last group of 1-3 bytes is padded with zero bytes)
 *   checksum = 2^32 - sum
 *
 * A structure that carries its own checksum is summed with that field zero; summed with the field set, the result
 * is 0. The sum does not see the order of the words, so our own files carry a CRC-32C beside it.
 */
#ifndef NX_BLOCKS_CHECKSUM_H
#define NX_BLOCKS_CHECKSUM_H
#include <stdbool.h>
#include <stdint.h>

#include "../nx.h"

NX_API uint32_t nx_salted_checksum(const uint8_t *bytes, uint64_t length, uint32_t salt);

/* True when every byte is zero; true for no bytes. */
NX_API bool nx_is_zero(const uint8_t *bytes, uint64_t length);

/* How many blocks of `block_bytes` differ between `a` and `b`, of `length` bytes each; the last one may be short.
 * `differs`, unless null, gets one byte per block: 1 where they differ. */
NX_API uint64_t nx_compare_blocks(const uint8_t *a, const uint8_t *b, uint64_t length, uint64_t block_bytes,
                                  uint8_t *differs);

#endif
