/* See match.h. */
#include "match.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Steps of one match. With the compiled form some tens of milliseconds at most. */
#define MATCH_STEPS_MAX 1000000u
#define MATCH_DEPTH_MAX 100000u
#define MATCH_HEAP_KIBIBYTES_MAX 16384u
#define PATTERN_BYTES_MAX 65536u
#define STACK_BYTES_MIN 32768u
#define STACK_BYTES_MAX (1u << 20)

struct nx_matcher {
  uint32_t mode;
  uint8_t *literal; /* that a wanted record holds; NULL: none is known */
  uint64_t literal_length;
  pcre2_code *code;
  pcre2_match_data *data;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
};

static void append_text(nx_buffer *to, const char *text) { nx_buffer_append(to, text, strlen(text)); }

static bool compile(nx_matcher *matcher, const uint8_t *pattern, uint64_t length, nx_buffer *error) {
  int number;
  PCRE2_SIZE offset;
  uint32_t options = PCRE2_NEVER_BACKSLASH_C;
  if (matcher->mode == NX_MATCH_REGEX_NO_CASE) options |= PCRE2_CASELESS;
  matcher->code = pcre2_compile((PCRE2_SPTR)pattern, length, options, &number, &offset, NULL);
  if (matcher->code == NULL) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(number, message, sizeof message);
    append_text(error, (const char *)message);
    return false;
  }
  /* Without the compiled form (a kernel that forbids such memory) the interpreter does the same, slower. */
  pcre2_jit_compile(matcher->code, PCRE2_JIT_COMPLETE);
  matcher->data = pcre2_match_data_create(1, NULL);
  matcher->context = pcre2_match_context_create(NULL);
  matcher->stack = pcre2_jit_stack_create(STACK_BYTES_MIN, STACK_BYTES_MAX, NULL);
  NX_ASSERT(matcher->data != NULL && matcher->context != NULL);
  pcre2_set_match_limit(matcher->context, MATCH_STEPS_MAX);
  pcre2_set_depth_limit(matcher->context, MATCH_DEPTH_MAX);
  pcre2_set_heap_limit(matcher->context, MATCH_HEAP_KIBIBYTES_MAX);
  pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
  return true;
}

nx_matcher *nx_matcher_new(uint32_t mode, const uint8_t *pattern, uint64_t length, nx_buffer *error) {
  if (mode > NX_MATCH_REGEX_NO_CASE || length > PATTERN_BYTES_MAX) {
    append_text(error, mode > NX_MATCH_REGEX_NO_CASE ? "unknown mode" : "the pattern is too long");
    return NULL;
  }
  nx_matcher *matcher = calloc(1, sizeof *matcher);
  NX_ASSERT(matcher != NULL);
  matcher->mode = mode;
  matcher->literal = malloc(length + 1);
  NX_ASSERT(matcher->literal != NULL);
  if (mode == NX_MATCH_SUBSTRING) {
    memcpy(matcher->literal, pattern, length);
    matcher->literal_length = length;
  } else if (mode == NX_MATCH_REGEX) {
    matcher->literal_length = nx_required_literal(pattern, length, matcher->literal);
  }
  if (mode >= NX_MATCH_REGEX && !compile(matcher, pattern, length, error)) {
    nx_matcher_free(matcher);
    return NULL;
  }
  return matcher;
}

void nx_matcher_free(nx_matcher *matcher) {
  pcre2_jit_stack_free(matcher->stack);
  pcre2_match_context_free(matcher->context);
  pcre2_match_data_free(matcher->data);
  pcre2_code_free(matcher->code);
  free(matcher->literal);
  free(matcher);
}

/* The first record from `index` on that holds the literal. */
static uint64_t next_with_literal(const nx_matcher *matcher, const nx_page *page, uint64_t index) {
  const uint8_t *end = page->values + page->ends[page->count - 1];
  const uint8_t *from = page->values + nx_page_value_start(page, index);
  while (index < page->count) {
    const uint8_t *hit = memmem(from, (size_t)(end - from), matcher->literal, matcher->literal_length);
    if (hit == NULL) return page->count;
    uint64_t at = (uint64_t)(hit - page->values);
    while (page->ends[index] <= at) index += 1;
    if (at + matcher->literal_length <= page->ends[index]) return index;
    /* It begins in this record and ends in a later one. */
    from = hit + 1;
  }
  return page->count;
}

/* 1, 0, or -1 when it took too many steps. */
static int is_match(nx_matcher *matcher, const uint8_t *value, uint64_t length) {
  int found = pcre2_match(matcher->code, (PCRE2_SPTR)value, length, 0, 0, matcher->data, matcher->context);
  if (found >= 0) return 1;
  return found == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

uint64_t nx_matcher_next(nx_matcher *matcher, const nx_page *page, uint64_t index) {
  if (index >= page->count || matcher->mode == NX_MATCH_ALL) return index;
  if (matcher->mode == NX_MATCH_SUBSTRING)
    return matcher->literal_length == 0 ? page->count : next_with_literal(matcher, page, index);
  for (; index < page->count; index++) {
    if (matcher->literal_length > 0) {
      index = next_with_literal(matcher, page, index);
      if (index == page->count) break;
    }
    uint64_t start = nx_page_value_start(page, index);
    int found = is_match(matcher, page->values + start, page->ends[index] - start);
    if (found < 0) return NX_MATCH_LIMIT;
    if (found > 0) return index;
  }
  return page->count;
}
