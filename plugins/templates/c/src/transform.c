/* A transform: events in, events out. It must be pure: the same event with the same configuration always comes to the same outcome. */
#include "weft.h"

bool exports_weft_plugin_plugin_validate(exports_weft_plugin_plugin_json_t *given, exports_weft_plugin_plugin_list_config_problem_t *err) {
  /* What the schema cannot say; this one says it all. */
  (void)given, (void)err;
  return true;
}

bool exports_weft_plugin_plugin_check(exports_weft_plugin_plugin_failure_t *err) {
  /* There is nothing outside to ask. */
  (void)err;
  return true;
}

/* Whether the configuration names a property. */
static bool is_named(text_t key) {
  text_t names, name;
  if (!json_find(config, "properties", &names)) return false;
  for (const char *after = NULL; json_item(names, &after, &name);)
    if (json_says(key, json_plain(name))) return true;
  return false;
}

/* The properties without those that are named; false where there is none of them. */
static bool without(text_t properties, builder_t *out) {
  member_t member;
  bool changed = false;
  add(out, text("{"));
  for (const char *after = NULL; json_next(properties, &after, &member);) {
    if (is_named(member.key)) {
      changed = true;
      continue;
    }
    if (out->at[out->length - 1] != '{') add(out, text(","));
    add(out, member.key);
    add(out, text(":"));
    add(out, member.value);
  }
  add(out, text("}"));
  return changed;
}

/* Takes properties out of an event. An outcome is keep, drop, replace, split or reject. */
static exports_weft_plugin_transform_outcome_t outcome(text_t event) {
  exports_weft_plugin_transform_outcome_t outcome = {.tag = EXPORTS_WEFT_PLUGIN_TRANSFORM_OUTCOME_KEEP};
  if (!json_is_object(event)) {
    outcome.tag = EXPORTS_WEFT_PLUGIN_TRANSFORM_OUTCOME_REJECT;
    outcome.val.reject = rejection("not_json", "the event is no JSON object");
    return outcome;
  }
  text_t properties;
  builder_t left = {0};
  if (!json_find(event, "properties", &properties) || properties.at[0] != '{' || !without(properties, &left)) return outcome;
  /* What stands before, what is left, and what stands behind: every other byte stays as it was. */
  const char *behind = properties.at + properties.length;
  builder_t whole = {0};
  add(&whole, (text_t){event.at, (size_t)(properties.at - event.at)});
  add(&whole, (text_t){left.at, left.length});
  add(&whole, (text_t){behind, (size_t)(event.at + event.length - behind)});
  outcome.tag = EXPORTS_WEFT_PLUGIN_TRANSFORM_OUTCOME_REPLACE;
  outcome.val.replace = (plugin_list_u8_t){(uint8_t *)whole.at, whole.length};
  return outcome;
}

bool exports_weft_plugin_transform_apply(plugin_list_list_u8_t *records, exports_weft_plugin_transform_list_outcome_t *ret,
                                         exports_weft_plugin_transform_failure_t *err) {
  (void)err;
  ret->len = records->len;
  ret->ptr = malloc(records->len * sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) ret->ptr[i] = outcome((text_t){(const char *)records->ptr[i].ptr, records->ptr[i].len});
  return true;
}
