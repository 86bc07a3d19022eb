/* CRC-32C against RFC 3720's vectors and a bit-by-bit reference, both ways of computing it. */
#include <stdint.h>

#include "../crc32c.h"
#include "tap.h"

typedef uint32_t (*crc_fn)(uint32_t, const void *, uint64_t);

static uint32_t reference(uint32_t crc, const uint8_t *bytes, uint64_t length) {
  crc = ~crc;
  for (uint64_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

static void check_vectors(crc_fn crc32c) {
  uint8_t bytes[32];
  memset(bytes, 0, 32);
  CHECK(crc32c(0, bytes, 32) == 0x8a9136aau);
  memset(bytes, 0xff, 32);
  CHECK(crc32c(0, bytes, 32) == 0x62a8ab43u);
  for (uint8_t i = 0; i < 32; i++) bytes[i] = i;
  CHECK(crc32c(0, bytes, 32) == 0x46dd794eu);
  for (uint8_t i = 0; i < 32; i++) bytes[i] = (uint8_t)(31 - i);
  CHECK(crc32c(0, bytes, 32) == 0x113fdb5cu);
  CHECK(crc32c(0, "123456789", 9) == 0xe3069283u);
  CHECK(crc32c(0, NULL, 0) == 0);
}

/* Exact malloc sizes, so that AddressSanitizer sees a read past the end. */
static void check_lengths(crc_fn crc32c) {
  uint64_t state = 1;
  static const uint64_t lengths[] = {383, 384, 385, 767, 768, 769, 6143, 6144, 6145, 6528, 12288, 20000};
  for (uint64_t i = 0; i < 400 + sizeof lengths / sizeof *lengths; i++) {
    uint64_t length = i < 400 ? i : lengths[i - 400];
    uint8_t *bytes = malloc(length == 0 ? 1 : length);
    for (uint64_t at = 0; at < length; at++) bytes[at] = (uint8_t)test_random(&state);
    uint32_t wanted = reference(0, bytes, length);
    CHECK(crc32c(0, bytes, length) == wanted);
    uint64_t cut = length == 0 ? 0 : test_random(&state) % length;
    CHECK(crc32c(crc32c(0, bytes, cut), bytes + cut, length - cut) == wanted);
    CHECK(nx_crc32c_part(nx_crc32c_part(0, bytes, 0, cut), bytes, cut, length) == wanted);
    free(bytes);
  }
}

static void software_vectors(void) { check_vectors(nx_crc32c_software); }
static void software_lengths(void) { check_lengths(nx_crc32c_software); }
static void hardware_vectors(void) { check_vectors(nx_crc32c_hardware); }
static void hardware_lengths(void) { check_lengths(nx_crc32c_hardware); }
static void chosen_vectors(void) { check_vectors(nx_crc32c); }

int main(void) {
  TEST("software gives RFC 3720's vectors", software_vectors);
  TEST("software agrees with bit by bit at every length and cut", software_lengths);
  if (nx_crc32c_has_hardware()) {
    TEST("hardware gives RFC 3720's vectors", hardware_vectors);
    TEST("hardware agrees with bit by bit at every length and cut", hardware_lengths);
  } else {
    printf("# this processor has no SSE4.2: the hardware way is not tested here\n");
  }
  TEST("the chosen way gives RFC 3720's vectors", chosen_vectors);
  TAP_END();
}
