/*
 * Which records a reader wants: all, those that contain some bytes, or those that a regular expression matches.
 *
 * Expressions are PCRE2's, over bytes. One match may take so many steps and no more, so an expression that
 * explodes ends its own request and nothing else. Where an expression cannot match without some literal bytes,
 * these are searched for first, over all values of a page at once: most records are then never looked at.
 */
#ifndef NX_LOGFILES_MATCH_H
#define NX_LOGFILES_MATCH_H
#include "page.h"

enum { NX_MATCH_ALL = 0, NX_MATCH_SUBSTRING = 1, NX_MATCH_REGEX = 2, NX_MATCH_REGEX_NO_CASE = 3 };

typedef struct nx_matcher nx_matcher;

/* NULL when the expression is malformed or too large; `error` then says why. */
nx_matcher *nx_matcher_new(uint32_t mode, const uint8_t *pattern, uint64_t length, nx_buffer *error);
void nx_matcher_free(nx_matcher *matcher);

#define NX_MATCH_LIMIT UINT64_MAX
/* The first record from `index` on that is wanted, page->count when there is none, or NX_MATCH_LIMIT when
 * looking at a record took too many steps. */
uint64_t nx_matcher_next(nx_matcher *matcher, const nx_page *page, uint64_t index);

/* The longest run of bytes that every match of the expression holds; its length, 0 when none is known. `out` has
 * room for `length` bytes. */
uint64_t nx_required_literal(const uint8_t *pattern, uint64_t length, uint8_t *out);

#endif
