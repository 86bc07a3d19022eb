/*
 * Fuzz target of LZO1X. The first byte chooses the capacity; the rest is decoded as a stream, and encoded
 * as content that must come back.
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -Inative \
 *     native/fuzz/lzo.c native/lzo.c native/nx.c
 *
 * With -DNX_FUZZ_FILES it has a main of its own that runs the files named on the command line (any compiler).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lzo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static nx_lzo_table table;
  if (size < 1) return 0;
  uint64_t length = size - 1, capacity = (uint64_t)data[0] * data[0];
  /* Copies of their own, so that the sanitizer sees a byte too many. */
  uint8_t *in = malloc(length + (length == 0)), *out = malloc(capacity + (capacity == 0));
  NX_ASSERT(in != NULL && out != NULL);
  memcpy(in, data + 1, length);
  NX_ASSERT(nx_lzo_decode(in, length, out, capacity) <= (int64_t)capacity);
  free(out);
  uint8_t *stream = malloc(nx_lzo_bound(length)), *again = malloc(length + (length == 0));
  NX_ASSERT(stream != NULL && again != NULL);
  uint64_t stream_length = nx_lzo_encode(in, length, stream, &table);
  NX_ASSERT(nx_lzo_decode(stream, stream_length, again, length) == (int64_t)length);
  NX_ASSERT(memcmp(in, again, length) == 0);
  free(in);
  free(stream);
  free(again);
  return 0;
}

#ifdef NX_FUZZ_FILES
#include "files.h"
#endif
