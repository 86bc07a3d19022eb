/*
 * What every C file of the library shares: visibility, the ABI number and assertions.
 *
 * Assertions stay on in release: a broken assumption about bytes on their way to disk or network must end the
 * process, loudly, before it spreads.
 */
#ifndef NX_H
#define NX_H
#include <stdint.h>

#define NX_API __attribute__((visibility("default")))

/* Raised with every change of an exported signature or of a block shared with TypeScript (src/native/library.ts). */
#define NX_ABI 1u

_Noreturn void nx_assert_failed(const char *file, int line, const char *condition);

#define NX_ASSERT(condition) \
  do { \
    if (__builtin_expect(!(condition), 0)) nx_assert_failed(__FILE__, __LINE__, #condition); \
  } while (0)

#endif
