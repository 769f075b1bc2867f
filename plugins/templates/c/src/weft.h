/* What every plugin in C needs: texts, JSON that is read where it stands, and words for what the contract calls otherwise. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "plugin.h"

/* Bytes that somebody else holds. */
typedef struct {
  const char *at;
  size_t length;
} text_t;

text_t text(const char *literal);
text_t text_of(plugin_string_t string);
bool text_equals(text_t one, text_t other);

/* A member of a JSON object, where it stands in it. */
typedef struct {
  text_t key;   /* with its quotes */
  text_t value;
} member_t;

/* Whether this is one JSON object in UTF-8, at most 128 levels deep. Everything below wants one that is. */
bool json_is_object(text_t json);
/* The next member of an object; `after` is where the last one ended, at first NULL. False after the last. */
bool json_next(text_t object, const char **after, member_t *member);
/* The first member of this name; false where there is none. */
bool json_find(text_t object, const char *name, text_t *value);
/* Whether a JSON string (with its quotes) says this, however it is escaped. */
bool json_says(text_t string, text_t plain);
bool json_is_string(text_t value);
/* What a JSON string says, without its quotes and escapes. */
text_t json_plain(text_t string);
/* The next item of a list, as with json_next. */
bool json_item(text_t list, const char **after, text_t *item);

/* A text that grows. */
typedef struct {
  char *at;
  size_t length, room;
} builder_t;

void add(builder_t *builder, text_t more);
void add_number(builder_t *builder, uint64_t number);

/* What the contract takes: copies, since the bindings give them away. */
plugin_string_t string(text_t from);
plugin_list_u8_t bytes(text_t from);
plugin_string_t built_string(builder_t *builder);

bool fail(weft_plugin_types_failure_t *failure, weft_plugin_types_failure_kind_t kind, const char *message);
weft_plugin_types_rejection_t rejection(const char *code, const char *message);

/* The configuration that `open` took. */
extern text_t config;
