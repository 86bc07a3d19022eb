/*
 * Stretches of two files, read or copied many at a time: what the disk seam uses where one call into the runtime for
 * each would cost more than the work (src/core/seams/file-pair.ts). Descriptors are the caller's, and open.
 */
#ifndef NX_STRETCHES_H
#define NX_STRETCHES_H
#include <stdint.h>

#include "nx.h"

/* Where the bytes come from: the second file, the first file, nowhere (zeros); NX_SOURCE_LATE marks a stretch that
 * nx_stretches_read_now did not fill. NX_SOURCE_SOON: whoever copies it syncs soon, so the disk begins while the copy goes on. */
enum { NX_SOURCE_DATA, NX_SOURCE_LOG, NX_SOURCE_ZERO, NX_SOURCE_LATE = 0x100, NX_SOURCE_SOON = 0x200 };

/* 64-bit words, in bytes. */
typedef struct {
  uint64_t source;
  uint64_t from;
  uint64_t length;
  uint64_t to;
} nx_stretch;

/* Fills the stretches into `out` as far as the page cache has them, without waiting for a disk. What it could not is
 * marked; returns how many. */
NX_API uint64_t nx_stretches_read_now(int32_t log, int32_t data, nx_stretch *stretches, uint64_t count, uint8_t *out,
                                      uint64_t out_length);

/* Copies stretches of the first file into the second; zeros become holes where the file system has them. 0 or -errno. */
NX_API int32_t nx_stretches_copy(int32_t log, int32_t data, const nx_stretch *stretches, uint64_t count);

/* Writes stretches of `bytes` into a file; zeros become holes where the file system has them. 0 or -errno. */
NX_API int32_t nx_stretches_write(int32_t file, const uint8_t *bytes, uint64_t length, const nx_stretch *stretches,
                                  uint64_t count);

/* Where the data or the hole that begins at `offset` ends; `is_hole` says which. The file has `size` bytes. */
NX_API uint64_t nx_extent_end(int32_t file, uint64_t offset, uint64_t size, uint8_t *is_hole);

#endif
