/* The compressions of codec.h over other people's libraries. Contexts that are dear to make are kept. */
#include "codec.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <snappy-c.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "../bytes.h"

/* Decoding preset 9 takes 65 MiB; a stream that wants more is not one of ours. */
#define LZMA_MEMORY_MAX (UINT64_C(80) << 20)
#define GZIP_LEVEL_MAX 9
#define ZSTD_LEVEL_DEFAULT 1

struct nx_codec {
  ZSTD_CCtx *zstd_in;
  ZSTD_DCtx *zstd_out;
};

nx_codec *nx_codec_new(void) {
  nx_codec *codec = calloc(1, sizeof *codec);
  NX_ASSERT(codec != NULL);
  return codec;
}

void nx_codec_free(nx_codec *codec) {
  if (codec == NULL) return;
  ZSTD_freeCCtx(codec->zstd_in);
  ZSTD_freeDCtx(codec->zstd_out);
  free(codec);
}

/* At most this many bytes are needed to compress `length` bytes; snappy asks for all of it at once. */
static uint64_t bound_of(uint32_t id, uint64_t length) {
  return id == NX_CODEC_SNAPPY ? snappy_max_compressed_length(length) : length;
}

static uint64_t encode(nx_codec *codec, uint32_t id, int level, const uint8_t *in, uint64_t length, uint8_t *out,
                       uint64_t capacity) {
  switch (id) {
    case NX_CODEC_GZIP: {
      uLongf size = capacity;
      int chosen = level == 0 || level > GZIP_LEVEL_MAX ? Z_DEFAULT_COMPRESSION : level;
      return compress2(out, &size, in, length, chosen) == Z_OK ? size : 0;
    }
    case NX_CODEC_SNAPPY: {
      size_t size = capacity;
      return snappy_compress((const char *)in, length, (char *)out, &size) == SNAPPY_OK ? size : 0;
    }
    case NX_CODEC_LZMA: {
      size_t size = 0;
      uint32_t preset = level == 0 || level > 9 ? LZMA_PRESET_DEFAULT : (uint32_t)level;
      lzma_ret result = lzma_easy_buffer_encode(preset, LZMA_CHECK_CRC64, NULL, in, length, out, &size, capacity);
      return result == LZMA_OK ? size : 0;
    }
    case NX_CODEC_LZ4: {
      int size = LZ4_compress_default((const char *)in, (char *)out, (int)length, (int)capacity);
      return size > 0 ? (uint64_t)size : 0;
    }
    case NX_CODEC_ZSTD: {
      if (codec->zstd_in == NULL) codec->zstd_in = ZSTD_createCCtx();
      NX_ASSERT(codec->zstd_in != NULL);
      int chosen = level == 0 ? ZSTD_LEVEL_DEFAULT : level;
      size_t size = ZSTD_compressCCtx(codec->zstd_in, out, capacity, in, length, chosen);
      return ZSTD_isError(size) ? 0 : size;
    }
    default: return 0;
  }
}

uint64_t nx_codec_encode(nx_codec *codec, uint32_t id, uint32_t level, const uint8_t *content, uint64_t length,
                         nx_buffer *out) {
  NX_ASSERT(id < NX_CODEC_COUNT && length <= NX_CODEC_CONTENT_MAX);
  if (id == NX_CODEC_NONE || length == 0) return 0;
  uint64_t capacity = bound_of(id, length);
  nx_buffer_reserve(out, capacity);
  uint64_t size = encode(codec, id, (int)level, content, length, out->data + out->length, capacity);
  if (size == 0 || size >= length) return 0;
  out->length += size;
  return size;
}

uint64_t nx_codec_encode_always(nx_codec *codec, uint32_t id, uint32_t level, const uint8_t *content,
                                uint64_t length, nx_buffer *out) {
  NX_ASSERT(id < NX_CODEC_COUNT && length <= NX_CODEC_CONTENT_MAX);
  if (id == NX_CODEC_NONE) return 0;
  /* More than any of them needs for content that does not shrink. */
  uint64_t capacity = snappy_max_compressed_length(length) + 4096;
  nx_buffer_reserve(out, capacity);
  uint64_t size = encode(codec, id, (int)level, content, length, out->data + out->length, capacity);
  NX_ASSERT(size != 0);
  out->length += size;
  return size;
}

static bool decode(nx_codec *codec, uint32_t id, const uint8_t *in, uint64_t length, uint8_t *out,
                   uint64_t content_length) {
  switch (id) {
    case NX_CODEC_NONE:
      if (length != content_length) return false;
      nx_copy(out, in, length);
      return true;
    case NX_CODEC_GZIP: {
      uLongf size = content_length, taken = length;
      return uncompress2(out, &size, in, &taken) == Z_OK && size == content_length && taken == length;
    }
    case NX_CODEC_SNAPPY: {
      size_t size = 0;
      if (snappy_uncompressed_length((const char *)in, length, &size) != SNAPPY_OK || size != content_length)
        return false;
      return snappy_uncompress((const char *)in, length, (char *)out, &size) == SNAPPY_OK && size == content_length;
    }
    case NX_CODEC_LZMA: {
      uint64_t memory = LZMA_MEMORY_MAX;
      size_t taken = 0, size = 0;
      lzma_ret result = lzma_stream_buffer_decode(&memory, 0, NULL, in, &taken, length, out, &size, content_length);
      return result == LZMA_OK && size == content_length && taken == length;
    }
    case NX_CODEC_LZ4: {
      if (length > INT32_MAX) return false;
      int size = LZ4_decompress_safe((const char *)in, (char *)out, (int)length, (int)content_length);
      return size >= 0 && (uint64_t)size == content_length;
    }
    case NX_CODEC_ZSTD: {
      if (codec->zstd_out == NULL) codec->zstd_out = ZSTD_createDCtx();
      NX_ASSERT(codec->zstd_out != NULL);
      size_t size = ZSTD_decompressDCtx(codec->zstd_out, out, content_length, in, length);
      return !ZSTD_isError(size) && size == content_length;
    }
    default: return false;
  }
}

int nx_codec_decode(nx_codec *codec, uint32_t id, const uint8_t *stored, uint64_t length, uint8_t *content,
                    uint64_t content_length) {
  if (content_length == 0 || content_length > NX_CODEC_CONTENT_MAX || length == 0) return -EBADMSG;
  return decode(codec, id, stored, length, content, content_length) ? 0 : -EBADMSG;
}
