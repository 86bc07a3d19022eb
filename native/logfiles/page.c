/* The codec of pages; see page.h. */
#include "page.h"

#include <errno.h>
#include <stdlib.h>

#include "bytes.h"

#define VARINT_BYTES_MAX 10u
#define HEADER_BYTES 16u

static void append_varint(nx_buffer *to, uint64_t value) {
  nx_buffer_reserve(to, VARINT_BYTES_MAX);
  uint8_t *at = to->data + to->length;
  while (value >= 0x80) {
    *at++ = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  *at++ = (uint8_t)value;
  to->length = (uint64_t)(at - to->data);
}

/* The varint at *at, which moves behind it; false when there is none before `end`. */
static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
  uint64_t result = 0;
  for (uint32_t shift = 0; *at < end && shift < 64; shift += 7) {
    uint8_t byte = *(*at)++;
    if (shift == 63 && byte > 1) return false;
    result |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return true;
    }
  }
  return false;
}

static uint64_t zigzag(uint64_t difference) {
  return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static uint64_t unzigzag(uint64_t value) { return value >> 1 ^ (0 - (value & 1)); }

void nx_page_builder_add(nx_page_builder *builder, uint64_t key, const uint8_t *value, uint64_t length) {
  if (builder->records == 0) {
    builder->key_min = builder->key_max = key;
    builder->previous_key = 0;
  }
  if (key < builder->key_min) builder->key_min = key;
  if (key > builder->key_max) builder->key_max = key;
  append_varint(&builder->keys, zigzag(key - builder->previous_key));
  append_varint(&builder->lengths, length);
  nx_buffer_append(&builder->values, value, length);
  builder->previous_key = key;
  builder->records += 1;
}

void nx_page_builder_finish(nx_page_builder *builder, nx_buffer *out) {
  out->length = 0;
  if (builder->records == 0) return;
  NX_ASSERT(builder->values.length <= UINT32_MAX && builder->records <= UINT32_MAX);
  nx_buffer_reserve(out, nx_page_builder_bytes(builder));
  nx_store32(out->data, (uint32_t)builder->records);
  nx_store32(out->data + 4, (uint32_t)builder->keys.length);
  nx_store32(out->data + 8, (uint32_t)builder->lengths.length);
  nx_store32(out->data + 12, (uint32_t)builder->values.length);
  out->length = HEADER_BYTES;
  nx_buffer_append(out, builder->keys.data, builder->keys.length);
  nx_buffer_append(out, builder->lengths.data, builder->lengths.length);
  nx_buffer_append(out, builder->values.data, builder->values.length);
  builder->keys.length = builder->lengths.length = builder->values.length = builder->records = 0;
}

void nx_page_builder_free(nx_page_builder *builder) {
  nx_buffer_free(&builder->keys);
  nx_buffer_free(&builder->lengths);
  nx_buffer_free(&builder->values);
  *builder = (nx_page_builder){0};
}

static void reserve_records(nx_page *page, uint64_t count) {
  if (count <= page->capacity) return;
  page->keys = realloc(page->keys, count * sizeof *page->keys);
  page->ends = realloc(page->ends, count * sizeof *page->ends);
  NX_ASSERT(page->keys != NULL && page->ends != NULL);
  page->capacity = count;
}

/* Fills keys and ends; false when the columns do not fit each other or the order is not a page's. */
static bool decode(nx_page *page, const uint8_t *keys, uint64_t keys_length, uint64_t lengths_length,
                   uint64_t values_length) {
  const uint8_t *lengths = keys + keys_length, *lengths_end = lengths + lengths_length;
  const uint8_t *keys_end = lengths;
  uint64_t key = 0, bucket = 0, end = 0;
  for (uint64_t i = 0; i < page->count; i++) {
    uint64_t difference, length;
    if (!read_varint(&keys, keys_end, &difference) || !read_varint(&lengths, lengths_end, &length))
      return false;
    key += unzigzag(difference);
    if (key >> NX_BUCKET_SHIFT < bucket || length > values_length - end) return false;
    bucket = key >> NX_BUCKET_SHIFT;
    end += length;
    page->keys[i] = key;
    page->ends[i] = end;
  }
  page->values = lengths;
  return keys == keys_end && lengths == lengths_end && end == values_length;
}

int nx_page_load(nx_page *page, const uint8_t *bytes, uint64_t length) {
  page->count = page->at = 0;
  page->bytes.length = 0;
  if (length < HEADER_BYTES) return -EBADMSG;
  uint64_t count = nx_load32(bytes), keys = nx_load32(bytes + 4), lengths = nx_load32(bytes + 8),
           values = nx_load32(bytes + 12);
  /* Each record takes a byte of either column, so `count` is bounded by what is there. */
  if (HEADER_BYTES + keys + lengths + values != length || count == 0 || count > keys || count > lengths)
    return -EBADMSG;
  nx_buffer_append(&page->bytes, bytes, length);
  reserve_records(page, count);
  page->count = count;
  if (decode(page, page->bytes.data + HEADER_BYTES, keys, lengths, values)) return 0;
  page->count = 0;
  return -EBADMSG;
}

void nx_page_free(nx_page *page) {
  nx_buffer_free(&page->bytes);
  free(page->keys);
  free(page->ends);
  *page = (nx_page){0};
}
