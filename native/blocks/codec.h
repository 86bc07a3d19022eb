/*
 * The six compressions of the WalB formats, by the numbers that files and packets carry.
 *
 *   0 none    1 gzip (a zlib stream, RFC 1950)    2 snappy (raw block)    3 lzma (an xz stream with CRC-64)
 *   4 lz4 (raw block)    5 zstd (a frame)
 *
 * None of them tells the content's size; who stores a block also stores that. Decoding never writes past the size
 * that was announced and accepts no other.
 */
#ifndef NX_BLOCKS_CODEC_H
#define NX_BLOCKS_CODEC_H
#include <stdint.h>

#include "../buffer.h"
#include "../nx.h"

enum { NX_CODEC_NONE, NX_CODEC_GZIP, NX_CODEC_SNAPPY, NX_CODEC_LZMA, NX_CODEC_LZ4, NX_CODEC_ZSTD, NX_CODEC_COUNT };

/* Longest content of one block. A log record has at most 65535 blocks of 512 bytes. */
#define NX_CODEC_CONTENT_MAX (UINT64_C(64) << 20)

/* What the libraries keep between two blocks; used by one thread at a time. */
typedef struct nx_codec nx_codec;
NX_API nx_codec *nx_codec_new(void);
NX_API void nx_codec_free(nx_codec *codec);

/* Appends the compressed `content` to `out` and returns its length. Returns 0 and appends nothing when it would not be
 * shorter than the content. `level` 0 is the library's default. */
NX_API uint64_t nx_codec_encode(nx_codec *codec, uint32_t id, uint32_t level, const uint8_t *content,
                                uint64_t length, nx_buffer *out);

/* The same, but kept even when it is longer; for streams that have no mark for raw content. 0 only for none. */
NX_API uint64_t nx_codec_encode_always(nx_codec *codec, uint32_t id, uint32_t level, const uint8_t *content,
                                       uint64_t length, nx_buffer *out);

/* Writes exactly `content_length` bytes; -EBADMSG when the stored bytes do not hold exactly that. */
NX_API int nx_codec_decode(nx_codec *codec, uint32_t id, const uint8_t *stored, uint64_t length, uint8_t *content,
                           uint64_t content_length);

#endif
