/* A source: requests in, events out, and an answer to the sender. The engine answers only once the events are durable. */
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

static bool answer(exports_weft_plugin_source_received_t *ret, uint16_t status, const char *body) {
  *ret = (exports_weft_plugin_source_received_t){0};
  plugin_tuple2_string_string_t *header = malloc(sizeof *header);
  *header = (plugin_tuple2_string_string_t){string(text("content-type")), string(text("application/json"))};
  ret->response.status = status;
  ret->response.headers = (plugin_list_tuple2_string_string_t){header, 1};
  ret->response.body = bytes(text(body));
  return true;
}

/* Keeps what a known sender posted, with the reason why it is no event: it can be looked at and given again. */
static bool refuse(exports_weft_plugin_source_received_t *ret, const char *code, const char *message) {
  answer(ret, 200, "{\"ok\":true}");
  exports_weft_plugin_source_refused_t *refused = malloc(sizeof *refused);
  *refused = (exports_weft_plugin_source_refused_t){.rejection = rejection(code, message), .bytes = {.is_some = false}};
  ret->refused = (exports_weft_plugin_source_list_refused_t){refused, 1};
  return true;
}

/* Whether the sender knows the token. The token itself never comes in here: the engine compares. */
static bool is_known(exports_weft_plugin_source_request_t *request) {
  text_t handle, bearer = text("Bearer ");
  if (!json_find(config, "token", &handle)) return false;
  for (size_t i = 0; i < request->headers.len; i++) {
    text_t name = text_of(request->headers.ptr[i].f0), given = text_of(request->headers.ptr[i].f1);
    if (!text_equals(name, text("authorization")) || given.length < bearer.length || memcmp(given.at, bearer.at, bearer.length) != 0) continue;
    plugin_string_t secret = string(json_plain(handle));
    plugin_list_u8_t candidate = bytes((text_t){given.at + bearer.length, given.length - bearer.length});
    return weft_plugin_crypto_equals(&secret, &candidate);
  }
  return false;
}

/* A JSON string that says something; its quotes are part of it. */
static bool find_string(text_t object, const char *name, text_t *found) {
  return json_find(object, name, found) && json_is_string(*found) && found->length > 2;
}

/* A canonical event: docs/events.md of Weft. What the sender wrote is copied as it is escaped. */
static plugin_list_u8_t event(text_t posted, text_t name) {
  text_t found;
  builder_t out = {0};
  add(&out, text("{\"type\":\"track\",\"name\":"));
  add(&out, name);
  if (find_string(posted, "id", &found)) {
    /* The sender's own id, so that the same event sent twice counts once; prefixed, since other sources count too. */
    add(&out, text(",\"message_id\":\"my-plugin/"));
    add(&out, (text_t){found.at + 1, found.length - 1});
  }
  if (find_string(posted, "email", &found)) {
    add(&out, text(",\"claims\":[{\"type\":\"email\",\"value\":"));
    add(&out, found);
    add(&out, text("}]"));
  }
  if (json_find(posted, "properties", &found) && found.at[0] == '{') {
    add(&out, text(",\"properties\":"));
    add(&out, found);
  }
  add(&out, text("}"));
  return (plugin_list_u8_t){(uint8_t *)out.at, out.length};
}

bool exports_weft_plugin_source_receive(exports_weft_plugin_source_request_t *request, exports_weft_plugin_source_received_t *ret,
                                        exports_weft_plugin_source_failure_t *err) {
  (void)err;
  /* First of all: nothing of a stranger's is kept. */
  if (!is_known(request)) return answer(ret, 401, "{\"error\":\"unauthorized\"}");
  if (request->body.tag == EXPORTS_WEFT_PLUGIN_SOURCE_BODY_UNREADABLE) return answer(ret, 400, "{\"error\":\"unreadable\"}");
  text_t posted = {(const char *)request->body.val.bytes.ptr, request->body.val.bytes.len}, name;
  if (!json_is_object(posted)) return refuse(ret, "not_json", "the body is no JSON object");
  if (!find_string(posted, "event", &name)) return refuse(ret, "no_event", "the event has no name");
  answer(ret, 200, "{\"ok\":true}");
  plugin_list_u8_t *made = malloc(sizeof *made);
  *made = event(posted, name);
  ret->events = (plugin_list_list_u8_t){made, 1};
  return true;
}

/* This source has no use for these two; its manifest says so (`reads`), and they are never called. */
bool exports_weft_plugin_source_poll(exports_weft_plugin_source_json_t *state, exports_weft_plugin_source_failure_t *err) {
  (void)state, (void)err;
  return true;
}

bool exports_weft_plugin_source_decode(plugin_list_u8_t *chunk, bool last, exports_weft_plugin_source_json_t *state,
                                       exports_weft_plugin_source_option_json_t *ret, exports_weft_plugin_source_failure_t *err) {
  (void)chunk, (void)last, (void)state, (void)err;
  ret->is_some = false;
  return true;
}
