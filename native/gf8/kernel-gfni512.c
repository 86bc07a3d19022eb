/* The kernel with GF2P8MULB on 512-bit vectors: eight queries by 128 bytes in sixteen registers. */
#include <string.h>

#include "gf8.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define KERNEL_TARGET __attribute__((target("gfni,avx512f,avx512bw,avx512vl")))
#define VECTOR __m512i
#define VECTOR_BYTES 64
#define LOAD(p) _mm512_loadu_si512((const void *)(p))
#define STORE(p, v) _mm512_storeu_si512((void *)(p), v)
#define ZERO() _mm512_setzero_si512()
#define XOR(a, b) _mm512_xor_si512(a, b)
#define COEFFICIENT __m512i
#define COEFFICIENT_OF(byte) _mm512_set1_epi8((char)(byte))
#define OPERAND __m512i
#define OPERAND_OF(v) (v)
#define ADD_PRODUCT(sum, coefficient, operand) _mm512_xor_si512(sum, _mm512_gf2p8mul_epi8(operand, coefficient))
#define GROUP 8
#define WIDTH 2
#define SINGLE_ROWS 8
#define SETUP
#include "kernel-template.h"

const nx_gf8_kernel nx_gf8_gfni512 = {GROUP, group_sum, single_sum};
#else
const nx_gf8_kernel nx_gf8_gfni512 = {0};
#endif
