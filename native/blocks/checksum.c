/* Sums and scans of checksum.h, written so that the compiler turns the loops into vector instructions. */
#include "checksum.h"

#include "../bytes.h"

uint32_t nx_salted_checksum(const uint8_t *bytes, uint64_t length, uint32_t salt) {
  /* Eight sums side by side: addition modulo 2^32 may be done in any order. */
  uint32_t lanes[8] = {salt};
  uint64_t at = 0;
  for (; at + 32 <= length; at += 32)
    for (uint32_t lane = 0; lane < 8; lane++) lanes[lane] += nx_load32(bytes + at + 4 * lane);
  for (; at + 4 <= length; at += 4) lanes[0] += nx_load32(bytes + at);
  uint32_t sum = 0;
  for (uint32_t lane = 0; lane < 8; lane++) sum += lanes[lane];
  if (at < length) {
    uint32_t last = 0;
    memcpy(&last, bytes + at, length - at);
    sum += last;
  }
  return 0u - sum;
}

bool nx_is_zero(const uint8_t *bytes, uint64_t length) {
  uint64_t at = 0;
  /* Most data shows a byte that is not zero at once; the rest is looked at in larger steps. */
  for (; at + 256 <= length; at += 256) {
    uint64_t any = 0;
    for (uint32_t word = 0; word < 256; word += 8) any |= nx_load64(bytes + at + word);
    if (any != 0) return false;
  }
  for (; at < length; at++)
    if (bytes[at] != 0) return false;
  return true;
}

uint64_t nx_compare_blocks(const uint8_t *a, const uint8_t *b, uint64_t length, uint64_t block_bytes,
                           uint8_t *differs) {
  NX_ASSERT(block_bytes != 0);
  uint64_t count = 0;
  for (uint64_t at = 0, index = 0; at < length; at += block_bytes, index++) {
    uint64_t bytes = length - at < block_bytes ? length - at : block_bytes;
    bool is_different = memcmp(a + at, b + at, bytes) != 0;
    count += is_different;
    if (differs != NULL) differs[index] = is_different;
  }
  return count;
}
