/* The kernel for AArch64: as kernel-avx2.c, with table lookups of 16 bytes. */
#include <string.h>

#include "gf8.h"

#if defined(__aarch64__)
#include <arm_neon.h>

typedef struct {
  uint8x16_t low, high;
} pair;

static inline pair coefficient_of(const uint8_t *nibbles, uint8_t byte) {
  return (pair){vld1q_u8(nibbles + byte * 32u), vld1q_u8(nibbles + byte * 32u + 16)};
}

static inline pair operand_of(uint8x16_t v) { return (pair){vandq_u8(v, vdupq_n_u8(15)), vshrq_n_u8(v, 4)}; }

static inline uint8x16_t add_product(uint8x16_t sum, pair coefficient, pair operand) {
  uint8x16_t low = vqtbl1q_u8(coefficient.low, operand.low);
  return veorq_u8(sum, veorq_u8(low, vqtbl1q_u8(coefficient.high, operand.high)));
}

#define KERNEL_TARGET
#define VECTOR uint8x16_t
#define VECTOR_BYTES 16
#define LOAD(p) vld1q_u8(p)
#define STORE(p, v) vst1q_u8(p, v)
#define ZERO() vdupq_n_u8(0)
#define XOR(a, b) veorq_u8(a, b)
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

const nx_gf8_kernel nx_gf8_neon = {GROUP, group_sum, single_sum};
#else
const nx_gf8_kernel nx_gf8_neon = {0};
#endif
