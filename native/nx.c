/* The library's own identity, and the last words of a failed assertion. */
#include "nx.h"

#include <stdio.h>
#include <stdlib.h>

NX_API uint32_t nx_abi(void);
uint32_t nx_abi(void) { return NX_ABI; }

_Noreturn void nx_assert_failed(const char *file, int line, const char *condition) {
  fprintf(stderr, "node-x: assertion failed in the C library: %s (%s:%d)\n", condition, file, line);
  abort();
}
