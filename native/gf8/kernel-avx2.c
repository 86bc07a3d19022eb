/*
 * The kernel with AVX2: a product is looked up by nibbles, 16 entries each, in two byte shuffles (Plank, Greenan and
 * Miller, "Screaming Fast Galois Field Arithmetic Using Intel SIMD Instructions", 2013).
 */
#include <string.h>

#include "gf8.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define KERNEL_TARGET __attribute__((target("avx2")))

typedef struct {
  __m256i low, high;
} pair;

KERNEL_TARGET static inline pair coefficient_of(const uint8_t *nibbles, uint8_t byte) {
  const __m128i *entries = (const __m128i *)(nibbles + byte * 32u);
  return (pair){_mm256_broadcastsi128_si256(_mm_loadu_si128(entries)),
                _mm256_broadcastsi128_si256(_mm_loadu_si128(entries + 1))};
}

KERNEL_TARGET static inline pair operand_of(__m256i v) {
  __m256i mask = _mm256_set1_epi8(15);
  return (pair){_mm256_and_si256(v, mask), _mm256_and_si256(_mm256_srli_epi16(v, 4), mask)};
}

KERNEL_TARGET static inline __m256i add_product(__m256i sum, pair coefficient, pair operand) {
  __m256i low = _mm256_shuffle_epi8(coefficient.low, operand.low);
  return _mm256_xor_si256(sum, _mm256_xor_si256(low, _mm256_shuffle_epi8(coefficient.high, operand.high)));
}

#define VECTOR __m256i
#define VECTOR_BYTES 32
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define ZERO() _mm256_setzero_si256()
#define XOR(a, b) _mm256_xor_si256(a, b)
#define COEFFICIENT pair
#define COEFFICIENT_OF(byte) coefficient_of(nibbles, byte)
#define OPERAND pair
#define OPERAND_OF(v) operand_of(v)
#define ADD_PRODUCT(sum, coefficient, operand) add_product(sum, coefficient, operand)
#define GROUP 4
#define WIDTH 2
#define SINGLE_ROWS 4
#define SETUP const uint8_t *nibbles = nx_gf8_nibble_products();
#include "kernel-template.h"

const nx_gf8_kernel nx_gf8_avx2 = {GROUP, group_sum, single_sum};
#else
const nx_gf8_kernel nx_gf8_avx2 = {0};
#endif
