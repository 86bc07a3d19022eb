/* The kernel in plain C: one row of the product table for each coefficient. */
#include "gf8.h"

static void add_scaled(uint8_t *out, const uint8_t *products, const uint8_t *row, uint64_t length) {
  for (uint64_t i = 0; i < length; i++) out[i] ^= products[row[i]];
}

static void group_sum(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                      const uint8_t *coefficients, uint32_t count, uint8_t *out, uint64_t out_stride) {
  const uint8_t *products = nx_gf8_products();
  for (uint64_t row = 0; row < rows; row++) {
    for (uint32_t k = 0; k < count; k++) {
      add_scaled(out + k * out_stride, products + coefficients[row * 4 + k] * 256u, table + row * stride, row_len);
    }
  }
}

static void single_sum(const uint8_t *table, uint64_t rows, uint64_t row_len, uint64_t stride,
                       const uint8_t *coefficients, uint8_t *out) {
  const uint8_t *products = nx_gf8_products();
  for (uint64_t row = 0; row < rows; row++) {
    add_scaled(out, products + coefficients[row] * 256u, table + row * stride, row_len);
  }
}

const nx_gf8_kernel nx_gf8_portable = {4, group_sum, single_sum};
