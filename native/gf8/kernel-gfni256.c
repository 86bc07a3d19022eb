/* The kernel with GF2P8MULB on 256-bit vectors: four queries by 64 bytes. */
#include <string.h>

#include "gf8.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define KERNEL_TARGET __attribute__((target("gfni,avx,avx2")))
#define VECTOR __m256i
#define VECTOR_BYTES 32
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define ZERO() _mm256_setzero_si256()
#define XOR(a, b) _mm256_xor_si256(a, b)
#define COEFFICIENT __m256i
#define COEFFICIENT_OF(byte) _mm256_set1_epi8((char)(byte))
#define OPERAND __m256i
#define OPERAND_OF(v) (v)
#define ADD_PRODUCT(sum, coefficient, operand) _mm256_xor_si256(sum, _mm256_gf2p8mul_epi8(operand, coefficient))
#define GROUP 4
#define WIDTH 2
#define SINGLE_ROWS 8
#define SETUP
#include "kernel-template.h"

const nx_gf8_kernel nx_gf8_gfni256 = {GROUP, group_sum, single_sum};
#else
const nx_gf8_kernel nx_gf8_gfni256 = {0};
#endif
