/*
 * SipHash, the keyed hash of Aumasson and Bernstein ("SipHash: a fast short-input PRF", 2012), written from
 * the paper.
 *
 * The tables use SipHash-1-3 with a secret random key for each store, so that a client cannot choose keys
 * that collide, not even by watching the order of a scan. The round counts are parameters: the tests check
 * the code against the paper's vectors, which exist for SipHash-2-4.
 */
#ifndef NX_SIPHASH_H
#define NX_SIPHASH_H
#include <stdint.h>
#include "bytes.h"

typedef struct {
  uint64_t k0, k1;
} nx_seed;

typedef struct {
  uint64_t v0, v1, v2, v3;
} nx_sip;

static inline uint64_t nx_rotl64(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

static inline void nx_sip_rounds(nx_sip *s, int rounds) {
  for (int i = 0; i < rounds; i++) {
    s->v0 += s->v1, s->v1 = nx_rotl64(s->v1, 13) ^ s->v0, s->v0 = nx_rotl64(s->v0, 32);
    s->v2 += s->v3, s->v3 = nx_rotl64(s->v3, 16) ^ s->v2;
    s->v0 += s->v3, s->v3 = nx_rotl64(s->v3, 21) ^ s->v0;
    s->v2 += s->v1, s->v1 = nx_rotl64(s->v1, 17) ^ s->v2, s->v2 = nx_rotl64(s->v2, 32);
  }
}

static inline void nx_sip_word(nx_sip *s, uint64_t word, int rounds) {
  s->v3 ^= word;
  nx_sip_rounds(s, rounds);
  s->v0 ^= word;
}

static inline uint64_t nx_siphash_rounds(nx_seed seed, const uint8_t *bytes, uint64_t length, int c, int d) {
  nx_sip s = {seed.k0 ^ 0x736f6d6570736575u, seed.k1 ^ 0x646f72616e646f6du, seed.k0 ^ 0x6c7967656e657261u,
              seed.k1 ^ 0x7465646279746573u};
  uint64_t i = 0;
  for (; i + 8 <= length; i += 8) nx_sip_word(&s, nx_load64(bytes + i), c);
  uint64_t last = length << 56;
  for (int shift = 0; i < length; i++, shift += 8) last |= (uint64_t)bytes[i] << shift;
  nx_sip_word(&s, last, c);
  s.v2 ^= 0xff;
  nx_sip_rounds(&s, d);
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static inline uint64_t nx_siphash(nx_seed seed, const uint8_t *bytes, uint64_t length) {
  return nx_siphash_rounds(seed, bytes, length, 1, 3);
}

#endif
