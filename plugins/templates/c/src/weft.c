#include "weft.h"

#include "manifest.h"

/* ---- memory: handed out in a row, and gone with the instance ---- */

extern unsigned char __heap_base;
static size_t next_free;

void *malloc(size_t size) {
  if (next_free == 0) next_free = (size_t)&__heap_base;
  size_t at = (next_free + 15) & ~(size_t)15;
  if (size > (size_t)-1 - 65535 - at) abort();
  next_free = at + size;
  size_t have = __builtin_wasm_memory_size(0) * 65536;
  if (next_free > have && __builtin_wasm_memory_grow(0, (next_free - have + 65535) / 65536) == (size_t)-1) abort();
  return (void *)at;
}

void *realloc(void *old, size_t size) {
  /* How long the old piece is nobody knows: what lies behind it is copied too, and is ours. */
  void *fresh = malloc(size);
  if (old != NULL) {
    size_t there = (size_t)fresh - (size_t)old;
    memmove(fresh, old, size < there ? size : there);
  }
  return fresh;
}

void free(void *pointer) { (void)pointer; }

_Noreturn void abort(void) { __builtin_trap(); }

void *memmove(void *to, const void *from, size_t size) {
  char *target = to;
  const char *source = from;
  if (target < source) {
    for (size_t i = 0; i < size; i++) target[i] = source[i];
  } else {
    for (size_t i = size; i > 0; i--) target[i - 1] = source[i - 1];
  }
  return to;
}

void *memcpy(void *to, const void *from, size_t size) { return memmove(to, from, size); }

void *memset(void *at, int byte, size_t size) {
  for (size_t i = 0; i < size; i++) ((char *)at)[i] = (char)byte;
  return at;
}

int memcmp(const void *one, const void *other, size_t size) {
  const unsigned char *a = one, *b = other;
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i]) return a[i] - b[i];
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != 0) length++;
  return length;
}

/* ---- texts ---- */

text_t text(const char *literal) { return (text_t){literal, strlen(literal)}; }

text_t text_of(plugin_string_t string) { return (text_t){(const char *)string.ptr, string.len}; }

bool text_equals(text_t one, text_t other) {
  return one.length == other.length && memcmp(one.at, other.at, one.length) == 0;
}

void add(builder_t *builder, text_t more) {
  if (builder->length + more.length > builder->room) {
    size_t room = (builder->length + more.length) * 2;
    builder->at = realloc(builder->at, room);
    builder->room = room;
  }
  memcpy(builder->at + builder->length, more.at, more.length);
  builder->length += more.length;
}

void add_number(builder_t *builder, uint64_t number) {
  char digits[20];
  size_t from = sizeof digits;
  do digits[--from] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  add(builder, (text_t){digits + from, sizeof digits - from});
}

plugin_string_t string(text_t from) {
  plugin_string_t copy = {malloc(from.length), from.length};
  memcpy(copy.ptr, from.at, from.length);
  return copy;
}

plugin_list_u8_t bytes(text_t from) {
  plugin_string_t copy = string(from);
  return (plugin_list_u8_t){copy.ptr, copy.len};
}

plugin_string_t built_string(builder_t *builder) { return (plugin_string_t){(uint8_t *)builder->at, builder->length}; }

bool fail(weft_plugin_types_failure_t *failure, weft_plugin_types_failure_kind_t kind, const char *message) {
  failure->kind = kind;
  failure->message = string(text(message));
  failure->retry_after_ms.is_some = false;
  return false;
}

weft_plugin_types_rejection_t rejection(const char *code, const char *message) {
  return (weft_plugin_types_rejection_t){string(text(code)), string(text(message))};
}

/* ---- JSON (RFC 8259), read where it stands. Each gives where it ends, or NULL where it is wrong. ---- */

enum { DEPTH_MAX = 128 };

static const char *space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
  return at;
}

static bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

static bool is_hex(char letter) {
  return is_digit(letter) || (letter >= 'a' && letter <= 'f') || (letter >= 'A' && letter <= 'F');
}

/* One character of UTF-8 (RFC 3629). */
static const char *letter(const char *at, const char *end) {
  unsigned char first = (unsigned char)*at;
  size_t more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 9;
  if (more > (size_t)(end - at - 1)) return NULL;
  for (size_t i = 1; i <= more; i++)
    if (((unsigned char)at[i] & 0xc0) != 0x80) return NULL;
  unsigned char second = more > 0 ? (unsigned char)at[1] : 0;
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return NULL;
  return at + 1 + more;
}

static const char *quoted(const char *at, const char *end) {
  if (at >= end || *at != '"') return NULL;
  for (at++; at < end && *at != '"';) {
    if ((unsigned char)*at < 0x20) return NULL;
    if (*at != '\\') {
      at = letter(at, end);
      if (at == NULL) return NULL;
      continue;
    }
    if (end - at < 2) return NULL;
    if (at[1] == 'u') {
      if (end - at < 6 || !is_hex(at[2]) || !is_hex(at[3]) || !is_hex(at[4]) || !is_hex(at[5])) return NULL;
      at += 6;
    } else {
      bool known = false;
      for (const char *one = "\"\\/bfnrt"; *one != 0; one++) known |= at[1] == *one;
      if (!known) return NULL;
      at += 2;
    }
  }
  return at < end ? at + 1 : NULL;
}

static const char *number(const char *at, const char *end) {
  if (at < end && *at == '-') at++;
  if (at >= end || !is_digit(*at)) return NULL;
  bool zero = *at++ == '0';
  while (!zero && at < end && is_digit(*at)) at++;
  if (at < end && *at == '.') {
    const char *from = ++at;
    while (at < end && is_digit(*at)) at++;
    if (at == from) return NULL;
  }
  if (at < end && (*at == 'e' || *at == 'E')) {
    at++;
    if (at < end && (*at == '+' || *at == '-')) at++;
    const char *from = at;
    while (at < end && is_digit(*at)) at++;
    if (at == from) return NULL;
  }
  return at;
}

static const char *word(const char *at, const char *end, const char *wanted) {
  size_t length = strlen(wanted);
  return (size_t)(end - at) >= length && memcmp(at, wanted, length) == 0 ? at + length : NULL;
}

static const char *value(const char *at, const char *end, int depth) {
  at = space(at, end);
  if (at >= end || depth > DEPTH_MAX) return NULL;
  if (*at == '"') return quoted(at, end);
  if (*at == 't') return word(at, end, "true");
  if (*at == 'f') return word(at, end, "false");
  if (*at == 'n') return word(at, end, "null");
  if (*at != '{' && *at != '[') return number(at, end);
  char close = *at == '{' ? '}' : ']';
  bool is_object = *at == '{';
  at = space(at + 1, end);
  if (at < end && *at == close) return at + 1;
  for (;;) {
    if (is_object) {
      at = quoted(space(at, end), end);
      if (at == NULL) return NULL;
      at = space(at, end);
      if (at >= end || *at != ':') return NULL;
      at++;
    }
    at = value(at, end, depth + 1);
    if (at == NULL) return NULL;
    at = space(at, end);
    if (at >= end) return NULL;
    if (*at == close) return at + 1;
    if (*at++ != ',') return NULL;
  }
}

bool json_is_object(text_t json) {
  const char *end = json.at + json.length, *at = space(json.at, end);
  if (at >= end || *at != '{') return false;
  at = value(at, end, 0);
  return at != NULL && space(at, end) == end;
}

bool json_is_string(text_t value) { return value.length > 0 && value.at[0] == '"'; }

bool json_item(text_t list, const char **after, text_t *item) {
  const char *end = list.at + list.length;
  const char *at = space(*after == NULL ? list.at + 1 : *after, end);
  if (at < end && *at == ',') at = space(at + 1, end);
  if (at >= end || *at == ']' || *at == '}') return false;
  const char *past = value(at, end, 0);
  if (past == NULL) return false;
  *item = (text_t){at, (size_t)(past - at)};
  *after = past;
  return true;
}

bool json_next(text_t object, const char **after, member_t *member) {
  const char *end = object.at + object.length;
  const char *from = *after == NULL ? space(object.at, end) + 1 : *after;
  if (!json_item((text_t){from - 1, (size_t)(end - from) + 1}, &from, &member->key)) return false;
  const char *at = space(from, end);
  if (at >= end || *at != ':') return false;
  at = space(at + 1, end);
  const char *past = value(at, end, 0);
  if (past == NULL) return false;
  member->value = (text_t){at, (size_t)(past - at)};
  *after = past;
  return true;
}

bool json_find(text_t object, const char *name, text_t *found) {
  member_t member;
  for (const char *after = NULL; json_next(object, &after, &member);) {
    if (json_says(member.key, text(name))) {
      *found = member.value;
      return true;
    }
  }
  return false;
}

static unsigned hex(const char *at) {
  unsigned code = 0;
  for (int i = 0; i < 4; i++) {
    char digit = at[i];
    code = code * 16 + (unsigned)(is_digit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10);
  }
  return code;
}

text_t json_plain(text_t string) {
  builder_t out = {0};
  for (const char *at = string.at + 1, *end = string.at + string.length - 1; at < end;) {
    if (*at != '\\') {
      add(&out, (text_t){at++, 1});
      continue;
    }
    if (at[1] != 'u') {
      const char *known = "bfnrt", *means = "\b\f\n\r\t";
      char one = at[1];
      for (int i = 0; i < 5; i++)
        if (at[1] == known[i]) one = means[i];
      add(&out, (text_t){&one, 1});
      at += 2;
      continue;
    }
    unsigned code = hex(at + 2);
    at += 6;
    if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
      unsigned low = hex(at + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    char utf8[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6) utf8[i] = (char)(0x80 | (code & 0x3f));
    utf8[0] = (char)(length == 1 ? code : (0xf00u >> length & 0xf0) | code);
    add(&out, (text_t){utf8, length});
  }
  return (text_t){out.at, out.length};
}

bool json_says(text_t string, text_t plain) {
  bool is_escaped = false;
  for (size_t i = 0; i < string.length; i++) is_escaped |= string.at[i] == '\\';
  if (is_escaped) return text_equals(json_plain(string), plain);
  return string.length == plain.length + 2 && memcmp(string.at + 1, plain.at, plain.length) == 0;
}

/* ---- what every plugin answers alike ---- */

text_t config;

void exports_weft_plugin_plugin_describe(exports_weft_plugin_plugin_json_t *ret) {
  *ret = string((text_t){(const char *)MANIFEST, sizeof MANIFEST});
}

bool exports_weft_plugin_plugin_open(exports_weft_plugin_plugin_json_t *opened, exports_weft_plugin_plugin_failure_t *err) {
  config = text_of(*opened);
  if (json_is_object(config)) return true;
  return fail(err, WEFT_PLUGIN_TYPES_FAILURE_KIND_CONFIG, "the configuration is no JSON object");
}
