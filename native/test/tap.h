/* The Test Anything Protocol in a few lines: each test file is a program that prints TAP and exits 1 on a
 * failure; with TAP_STOPS in the environment at the first one. */
#ifndef NX_TAP_H
#define NX_TAP_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      if (tap_failed_here++ < 5) printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      if (getenv("TAP_STOPS") != NULL) exit(1); \
    } \
  } while (0)

static int tap_failed_here;

#define TEST(claim, function) \
  do { \
    tap_failed_here = 0; \
    function(); \
    tap_count += 1; \
    tap_failed += tap_failed_here != 0; \
    printf("%s %d - %s\n", tap_failed_here ? "not ok" : "ok", tap_count, claim); \
  } while (0)

#define TAP_END() \
  do { \
    printf("1..%d\n", tap_count); \
    return tap_failed != 0; \
  } while (0)

/* A repeatable sequence (splitmix64, Steele, Lea and Flood 2014). */
static inline uint64_t test_random(uint64_t *state) {
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

#endif
