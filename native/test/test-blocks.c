/*
 * Blocks of the WalB formats: what is visible of many writes, and the merge of many diffs, beside the plain model that
 * paints every block; the codecs; a damaged byte anywhere.
 */
#include <string.h>

#include "../blocks/checksum.h"
#include "../blocks/codec.h"
#include "../blocks/hash.h"
#include "../blocks/log-reader.h"
#include "../blocks/merge.h"
#include "../blocks/pieces.h"
#include "../bytes.h"
#include "tap.h"

#define BLOCKS 400u
#define DIFFS 5u

static void checksums_are_those_of_the_specification(void) {
  uint8_t bytes[512];
  for (uint32_t i = 0; i < 512; i++) bytes[i] = (uint8_t)i;
  CHECK(nx_salted_checksum((const uint8_t *)"a", 1, 0) == 0xffffff9f);
  CHECK(nx_salted_checksum((const uint8_t *)"abcdefg", 7, 1) == 0x9b353739);
  CHECK(nx_salted_checksum(bytes, 512, 0) == 0x3fc04100);
  CHECK(nx_salted_checksum(bytes, 512, 0x12345678) == 0x2d8bea88);
  uint8_t hash[16];
  nx_murmur3_128(bytes, 512, 0x12345678, hash);
  CHECK(memcmp(hash, "\x14\x0e\x50\x5c\x5c\x4e\x98\xb0\xf2\xdf\x54\x35\xa4\xe2\x3b\x81", 16) == 0);
  uint8_t zeros[600] = {0};
  CHECK(nx_is_zero(zeros, 600));
  for (uint32_t i = 0; i < 600; i++) {
    zeros[i] = 1;
    CHECK(!nx_is_zero(zeros, 600));
    zeros[i] = 0;
  }
}

static void every_codec_gives_back_what_it_took(void) {
  uint64_t seed = 1;
  nx_codec *codec = nx_codec_new();
  static uint8_t content[40000], again[40000];
  for (uint32_t id = 1; id < NX_CODEC_COUNT; id++) {
    for (uint32_t round = 0; round < (id == NX_CODEC_LZMA ? 2 : 8); round++) {
      uint64_t length = 1 + test_random(&seed) % sizeof content;
      for (uint64_t i = 0; i < length; i++) content[i] = round == 0 ? (uint8_t)test_random(&seed) : (uint8_t)(i / 100);
      nx_buffer out = {0};
      uint64_t size = nx_codec_encode(codec, id, 0, content, length, &out);
      CHECK(size == out.length && size < length);
      if (size != 0) {
        CHECK(nx_codec_decode(codec, id, out.data, size, again, length) == 0);
        CHECK(memcmp(content, again, length) == 0);
        CHECK(nx_codec_decode(codec, id, out.data, size - 1, again, length) != 0);
        CHECK(nx_codec_decode(codec, id, out.data, size, again, length - 1) != 0);
        CHECK(length == sizeof again || nx_codec_decode(codec, id, out.data, size, again, length + 1) != 0);
      }
      nx_buffer_free(&out);
    }
  }
  nx_codec_free(codec);
}

/* By block, the write that is visible there, and which of its blocks. */
typedef struct {
  int32_t owner[BLOCKS];
  uint32_t part[BLOCKS];
  uint64_t end; /* of the last piece */
} painting;

static void paint(void *context, const nx_diff_record *piece, uint32_t write) {
  painting *made = context;
  CHECK(piece->address >= made->end && piece->blocks != 0);
  made->end = piece->address + piece->blocks;
  for (uint32_t i = 0; i < piece->blocks; i++) {
    made->owner[piece->address + i] = (int32_t)write;
    made->part[piece->address + i] = piece->image_start + i;
  }
}

static void pieces_are_those_of_the_painted_model(void) {
  uint64_t seed = 2;
  for (uint32_t round = 0; round < 3000; round++) {
    nx_diff_record writes[40];
    uint32_t count = (uint32_t)(test_random(&seed) % 40);
    painting model, made;
    memset(&model, 0xff, sizeof model);
    memset(&made, 0xff, sizeof made);
    made.end = 0;
    for (uint32_t w = 0; w < count; w++) {
      uint32_t blocks = 1 + (uint32_t)(test_random(&seed) % 60);
      uint64_t address = test_random(&seed) % (BLOCKS - blocks);
      writes[w] = (nx_diff_record){.address = address, .blocks = blocks};
      for (uint32_t i = 0; i < blocks; i++) model.owner[address + i] = (int32_t)w, model.part[address + i] = i;
    }
    nx_visible_pieces(writes, count, paint, &made);
    CHECK(memcmp(model.owner, made.owner, sizeof model.owner) == 0);
    CHECK(memcmp(model.part, made.part, sizeof model.part) == 0);
  }
}

static void check_aligned(void *context, const nx_diff_record *piece, uint32_t write) {
  nx_diff_record *expected = context;
  CHECK(write == 7 && piece->blocks <= 16 && (piece->blocks & (piece->blocks - 1)) == 0);
  CHECK(piece->address % piece->blocks == 0 && piece->address == expected->address);
  CHECK(piece->image_start == expected->image_start);
  expected->address += piece->blocks;
  expected->image_start += piece->blocks;
}

static void aligned_pieces_cover_and_are_powers_of_two(void) {
  for (uint32_t start = 0; start < 70; start++) {
    for (uint32_t blocks = 1; blocks < 70; blocks++) {
      nx_diff_record piece = {.address = start, .blocks = blocks, .image_start = 3}, at = piece;
      nx_aligned_pieces(&piece, 7, 16, check_aligned, &at);
      CHECK(at.address == start + blocks);
    }
  }
}

/* Any codec but lzma, which takes 100 MB for each block. */
static uint32_t quick_codec(uint32_t random) {
  static const uint32_t codecs[] = {NX_CODEC_NONE, NX_CODEC_GZIP, NX_CODEC_SNAPPY, NX_CODEC_LZ4, NX_CODEC_ZSTD};
  return codecs[random % 5];
}

/* A diff made of random writes, indexed; `image` is painted with them. */
static void make_diff(uint64_t *seed, nx_buffer *file, uint8_t *image, uint32_t blocks_max) {
  static uint8_t content[60 * 512];
  uint8_t uuid[16] = {1};
  uint32_t codec = quick_codec((uint32_t)test_random(seed));
  nx_log_reader *reader = nx_log_reader_new(codec, 0, NX_WDIFF_HEADER_BYTES);
  for (uint32_t w = 0; w < 8; w++) {
    uint32_t blocks = 1 + (uint32_t)(test_random(seed) % 60);
    uint64_t address = test_random(seed) % (BLOCKS - blocks);
    uint8_t kind = (uint8_t)(test_random(seed) % 3);
    for (uint32_t i = 0; i < blocks * 512; i++)
      content[i] = kind == 0 ? 0 : kind == 1 ? (uint8_t)test_random(seed) : (uint8_t)(i / 512 + w);
    nx_log_add_image(reader, address, content, blocks * 512u, 60);
    memcpy(image + address * 512, content, blocks * 512u);
  }
  nx_log_index(reader, blocks_max);
  nx_buffer *out = nx_log_reader_out(reader);
  nx_buffer_reserve(file, NX_WDIFF_HEADER_BYTES);
  nx_wdiff_header_write(file->data, NX_WDIFF_INDEXED, uuid);
  file->length = NX_WDIFF_HEADER_BYTES;
  nx_buffer_append(file, out->data, out->length);
  nx_log_reader_free(reader);
}

/* Runs a merge to its end or to the damage; what comes out goes to `file` (packs) or is painted. */
static uint32_t run_merge(nx_merge *merge, nx_buffer *files, nx_buffer *file, uint8_t *image) {
  nx_merge_state *state = nx_merge_state_of(merge);
  for (;;) {
    uint32_t step = nx_merge_step(merge);
    if (step == NX_MERGE_NEED) {
      const nx_buffer *from = &files[state->input];
      CHECK(state->offset + state->length <= from->length && state->minimum <= state->length);
      memcpy((uint8_t *)(uintptr_t)state->address, from->data + state->offset, state->length);
      nx_merge_filled(merge, state->length);
    } else if (step == NX_MERGE_READY) {
      nx_buffer *out = nx_merge_out(merge), *runs = nx_merge_runs(merge);
      if (file != NULL) nx_buffer_append(file, out->data, out->length);
      for (uint64_t at = 0; at < runs->length; at += sizeof(nx_run)) {
        const nx_run *run = (const nx_run *)(const void *)(runs->data + at);
        if (image == NULL) continue;
        if (run->kind == NX_KIND_NORMAL) memcpy(image + run->address * 512, out->data + run->data, run->blocks * 512);
        else memset(image + run->address * 512, 0, run->blocks * 512);
      }
    } else {
      return step;
    }
  }
}

static void add_input(nx_merge *merge, uint32_t index, const nx_buffer *file) {
  uint64_t offset, records;
  if (nx_wdiff_header_read(file->data) == NX_WDIFF_SORTED) {
    nx_merge_sorted(merge, index, file->length);
  } else {
    const uint8_t *trailer = file->data + file->length - NX_WDIFF_TRAILER_BYTES;
    CHECK(nx_wdiff_trailer_read(trailer, &offset, &records) == 0);
    nx_merge_indexed(merge, index, file->length, offset, records);
  }
}

static void merges_are_those_of_the_painted_model(void) {
  static uint8_t model[BLOCKS * 512], made[BLOCKS * 512];
  uint64_t seed = 3;
  for (uint32_t round = 0; round < 120; round++) {
    nx_buffer files[DIFFS] = {{0}};
    uint8_t uuid[16] = {0};
    memset(model, 0xee, sizeof model);
    memset(made, 0xee, sizeof made);
    for (uint32_t i = 0; i < DIFFS; i++) make_diff(&seed, &files[i], model, round % 2 == 0 ? 0 : 2048);
    /* The first two become one sorted diff, which is then merged with the others. */
    nx_buffer sorted = {0};
    nx_merge *first = nx_merge_new(NX_MERGE_PACKS, 2, quick_codec(round), 0, round % 3 * 5, round % 2 * 4096, 4096);
    for (uint32_t i = 0; i < 2; i++) add_input(first, i, &files[i]);
    nx_buffer_reserve(&sorted, NX_WDIFF_HEADER_BYTES);
    nx_wdiff_header_write(sorted.data, NX_WDIFF_SORTED, uuid);
    sorted.length = NX_WDIFF_HEADER_BYTES;
    CHECK(run_merge(first, files, &sorted, NULL) == NX_MERGE_END);
    nx_pack_end(&sorted);
    nx_merge_free(first);
    nx_buffer_free(&files[1]);
    files[1] = sorted;
    nx_merge *second = nx_merge_new(NX_MERGE_RUNS, DIFFS - 1, 0, 0, 0, round % 2 * 10000, 4096 << round % 3);
    for (uint32_t i = 1; i < DIFFS; i++) add_input(second, i - 1, &files[i]);
    CHECK(run_merge(second, files + 1, NULL, made) == NX_MERGE_END);
    CHECK(memcmp(model, made, sizeof model) == 0);
    nx_merge_free(second);
    for (uint32_t i = 0; i < DIFFS; i++) nx_buffer_free(&files[i]);
  }
}

static void headers_are_compared_with_their_checksums(void) {
  uint8_t bytes[NX_WDIFF_INDEX_BYTES];
  nx_diff_record record = {.address = 5, .blocks = 3, .kind = NX_KIND_ZERO}, read;
  nx_wdiff_index_write(bytes, &record);
  CHECK(nx_wdiff_index_read(bytes, &read) == 0 && read.address == 5);
  bytes[0] ^= 2;
  CHECK(nx_wdiff_index_read(bytes, &read) != 0);
  nx_buffer out = {0};
  nx_pack_writer writer = {0};
  nx_wdiff_pack pack;
  nx_pack_add(&writer, &out, &record, NULL);
  nx_pack_close(&writer, &out);
  CHECK(nx_wdiff_pack_read(out.data, 5, &pack) == 0 && pack.records == 1);
  CHECK(nx_wdiff_pack_read(out.data, 6, &pack) != 0);
  out.data[16] ^= 2;
  CHECK(nx_wdiff_pack_read(out.data, 0, &pack) != 0);
  nx_buffer_free(&out);
}

static void a_flipped_bit_is_found(void) {
  static uint8_t model[BLOCKS * 512], made[BLOCKS * 512];
  uint64_t seed = 4;
  nx_buffer file = {0};
  memset(model, 0, sizeof model);
  make_diff(&seed, &file, model, 2048);
  uint64_t index_offset, records;
  CHECK(nx_wdiff_trailer_read(file.data + file.length - NX_WDIFF_TRAILER_BYTES, &index_offset, &records) == 0);
  for (uint64_t at = 0; at < file.length; at += 1 + at / 50) {
    file.data[at] ^= (uint8_t)(1u << at % 8);
    bool is_found = at < NX_WDIFF_HEADER_BYTES ? nx_wdiff_header_read(file.data) < 0 : false;
    if (at >= file.length - NX_WDIFF_TRAILER_BYTES) {
      uint64_t offset, count;
      is_found = nx_wdiff_trailer_read(file.data + file.length - NX_WDIFF_TRAILER_BYTES, &offset, &count) != 0;
    } else if (!is_found) {
      nx_merge *merge = nx_merge_new(NX_MERGE_RUNS, 1, 0, 0, 0, 1 << 20, 4096);
      nx_merge_indexed(merge, 0, file.length, index_offset, records);
      memset(made, 0, sizeof made);
      is_found = run_merge(merge, &file, NULL, made) == NX_MERGE_DAMAGED;
      /* Damage in data that nobody sees, or in the fill before the index, changes nothing. */
      is_found = is_found || memcmp(made, model, sizeof made) == 0;
      nx_merge_free(merge);
    }
    CHECK(is_found);
    file.data[at] ^= (uint8_t)(1u << at % 8);
  }
  nx_buffer_free(&file);
}

int main(void) {
  TEST("checksums and hashes are those of the specification", checksums_are_those_of_the_specification);
  TEST("every codec gives back what it took, and nothing else", every_codec_gives_back_what_it_took);
  TEST("visible pieces are those of the painted model", pieces_are_those_of_the_painted_model);
  TEST("aligned pieces cover a piece and are powers of two", aligned_pieces_cover_and_are_powers_of_two);
  TEST("merges are those of the painted model", merges_are_those_of_the_painted_model);
  TEST("headers are compared with their checksums", headers_are_compared_with_their_checksums);
  TEST("a flipped bit is found", a_flipped_bit_is_found);
  TAP_END();
}
