/* The tables of GF(2^8): products, products with nibbles, logarithms to the base 3. Filled once, then read only. */
#include <pthread.h>

#include "gf8.h"

static uint8_t products[256 * 256];
static uint8_t nibble_products[256 * 32];
static uint8_t inverses[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint8_t carry_less(uint8_t a, uint8_t b) {
  uint32_t sum = 0, shifted = a;
  for (int bit = 0; bit < 8; bit++) {
    if (b >> bit & 1) sum ^= shifted;
    shifted = shifted << 1 ^ (shifted & 0x80 ? 0x11b : 0);
  }
  return (uint8_t)sum;
}

static void fill(void) {
  for (uint32_t a = 0; a < 256; a++) {
    for (uint32_t b = 0; b < 256; b++) {
      uint8_t product = carry_less((uint8_t)a, (uint8_t)b);
      products[a * 256 + b] = product;
      if (product == 1) inverses[a] = (uint8_t)b;
    }
    for (uint32_t nibble = 0; nibble < 16; nibble++) {
      nibble_products[a * 32 + nibble] = products[a * 256 + nibble];
      nibble_products[a * 32 + 16 + nibble] = products[a * 256 + nibble * 16];
    }
  }
}

const uint8_t *nx_gf8_products(void) {
  pthread_once(&once, fill);
  return products;
}

const uint8_t *nx_gf8_nibble_products(void) {
  pthread_once(&once, fill);
  return nibble_products;
}

uint8_t nx_gf8_multiply(uint8_t a, uint8_t b) { return nx_gf8_products()[a * 256u + b]; }

uint8_t nx_gf8_inverse(uint8_t a) {
  pthread_once(&once, fill);
  return inverses[a];
}
