/*
 * CRC-32C two ways: slicing by 8 (Kounavis and Berry, Intel, 2005) in software; with SSE4.2, three
 * independent streams that hide the latency of the crc32 instruction, joined by carry-less multiplication
 * (Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011). Written
 * from the papers.
 */
#include "crc32c.h"

#include <pthread.h>

#include "bytes.h"

#define POLYNOMIAL 0x82f63b78u

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    tables[0][byte] = crc;
  }
  for (int slice = 1; slice < 8; slice++) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = before >> 8 ^ tables[0][before & 0xff];
    }
  }
}

uint32_t nx_crc32c_software(uint32_t crc, const void *bytes, uint64_t length) {
  pthread_once(&tables_once, fill_tables);
  const uint8_t *at = bytes;
  crc = ~crc;
  for (; length >= 8; at += 8, length -= 8) {
    uint64_t word = nx_load64(at) ^ crc;
    crc = 0;
    for (int i = 0; i < 8; i++) crc ^= tables[7 - i][word >> (8 * i) & 0xff];
  }
  for (; length != 0; at++, length--) crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define HARDWARE __attribute__((target("sse4.2,pclmul")))

bool nx_crc32c_has_hardware(void) {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

/* crc after `n` more zero bytes, given x^(8n-33) modulo the polynomial, reflected. The crc32 instruction
 * reduces. */
HARDWARE static uint64_t shifted(uint64_t crc, uint32_t power) {
  __m128i product =
      _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int32_t)power), 0);
  return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Three stretches of `stride` bytes side by side; the powers shift by one and by two strides. */
HARDWARE static inline uint64_t three_streams(uint64_t crc, const uint8_t *at, uint64_t stride, uint32_t one,
                                              uint32_t two) {
  uint64_t second = 0, third = 0;
  for (const uint8_t *end = at + stride; at != end; at += 8) {
    crc = _mm_crc32_u64(crc, nx_load64(at));
    second = _mm_crc32_u64(second, nx_load64(at + stride));
    third = _mm_crc32_u64(third, nx_load64(at + 2 * stride));
  }
  return shifted(crc, two) ^ shifted(second, one) ^ third;
}

/* POWER_n is x^(8n-33) modulo the polynomial, reflected. */
#define LONG_STRIDE 2048u
#define POWER_2048 0xa51b6135u
#define POWER_4096 0x82f89c77u
#define SHORT_STRIDE 128u
#define POWER_128 0x0d3b6092u
#define POWER_256 0xb9e02b86u

HARDWARE uint32_t nx_crc32c_hardware(uint32_t crc, const void *bytes, uint64_t length) {
  const uint8_t *at = bytes;
  uint64_t state = ~crc;
  for (; length >= 3 * LONG_STRIDE; at += 3 * LONG_STRIDE, length -= 3 * LONG_STRIDE) {
    state = three_streams(state, at, LONG_STRIDE, POWER_2048, POWER_4096);
  }
  for (; length >= 3 * SHORT_STRIDE; at += 3 * SHORT_STRIDE, length -= 3 * SHORT_STRIDE) {
    state = three_streams(state, at, SHORT_STRIDE, POWER_128, POWER_256);
  }
  for (; length >= 8; at += 8, length -= 8) state = _mm_crc32_u64(state, nx_load64(at));
  for (; length != 0; at++, length--) state = _mm_crc32_u8((uint32_t)state, *at);
  return ~(uint32_t)state;
}
#else
bool nx_crc32c_has_hardware(void) { return false; }

uint32_t nx_crc32c_hardware(uint32_t crc, const void *bytes, uint64_t length) {
  return nx_crc32c_software(crc, bytes, length);
}
#endif

uint32_t nx_crc32c(uint32_t crc, const void *bytes, uint64_t length) {
  return nx_crc32c_has_hardware() ? nx_crc32c_hardware(crc, bytes, length)
                                  : nx_crc32c_software(crc, bytes, length);
}

uint32_t nx_crc32c_part(uint32_t crc, const void *bytes, uint64_t start, uint64_t end) {
  NX_ASSERT(start <= end);
  return nx_crc32c(crc, (const uint8_t *)bytes + start, end - start);
}
