/* MurmurHash3 x64 128, written from its published description. Keeps nothing between calls. */
#include "hash.h"

#include "../bytes.h"

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

static inline uint64_t rotate(uint64_t value, uint32_t bits) { return value << bits | value >> (64 - bits); }

static inline uint64_t finish(uint64_t h) {
  h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
  h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  return h ^ h >> 33;
}

static inline uint64_t mix1(uint64_t k) { return rotate(k * C1, 31) * C2; }
static inline uint64_t mix2(uint64_t k) { return rotate(k * C2, 33) * C1; }

void nx_murmur3_128(const uint8_t *bytes, uint64_t length, uint32_t seed, uint8_t *out) {
  uint64_t h1 = seed, h2 = seed, at = 0;
  for (; at + 16 <= length; at += 16) {
    h1 = (rotate(h1 ^ mix1(nx_load64(bytes + at)), 27) + h2) * 5 + 0x52dce729;
    h2 = (rotate(h2 ^ mix2(nx_load64(bytes + at + 8)), 31) + h1) * 5 + 0x38495ab5;
  }
  uint8_t tail[16] = {0};
  nx_copy(tail, bytes + at, length - at);
  if (length - at > 8) h2 ^= mix2(nx_load64(tail + 8));
  if (length - at > 0) h1 ^= mix1(nx_load64(tail));
  h1 ^= length;
  h2 ^= length;
  h1 += h2;
  h2 += h1;
  h1 = finish(h1);
  h2 = finish(h2);
  h1 += h2;
  h2 += h1;
  nx_store64(out, h1);
  nx_store64(out + 8, h2);
}

void nx_murmur3_chunks(const uint8_t *bytes, uint64_t length, uint64_t chunk_bytes, uint32_t seed, uint8_t *out) {
  NX_ASSERT(chunk_bytes != 0);
  for (uint64_t at = 0; at < length; at += chunk_bytes, out += 16)
    nx_murmur3_128(bytes + at, length - at < chunk_bytes ? length - at : chunk_bytes, seed, out);
}
