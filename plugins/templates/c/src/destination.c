/* A destination: batches of records in, a receipt for each record out. The connection that its stage names has the address and the credentials. */
#include "weft.h"

bool exports_weft_plugin_plugin_validate(exports_weft_plugin_plugin_json_t *given, exports_weft_plugin_plugin_list_config_problem_t *err) {
  /* What the schema cannot say; this one says it all. */
  (void)given, (void)err;
  return true;
}

bool exports_weft_plugin_plugin_check(exports_weft_plugin_plugin_failure_t *err) {
  /* Of this API nothing is known that could be asked without writing. */
  (void)err;
  return true;
}

static plugin_tuple2_string_string_t header(text_t name, plugin_string_t value) { return (plugin_tuple2_string_string_t){string(name), value}; }

/* How long an answer asks to be waited for. */
static uint64_t patience_ms(weft_plugin_http_response_t *answer) {
  for (size_t i = 0; i < answer->headers.len; i++) {
    text_t name = text_of(answer->headers.ptr[i].f0), value = text_of(answer->headers.ptr[i].f1);
    if (!text_equals(name, text("retry-after")) || value.length == 0 || value.length > 6) continue;
    uint64_t seconds = 0;
    bool is_number = true;
    for (size_t digit = 0; digit < value.length; digit++) {
      is_number &= value.at[digit] >= '0' && value.at[digit] <= '9';
      seconds = seconds * 10 + (uint64_t)(value.at[digit] - '0');
    }
    if (is_number) return seconds * 1000;
  }
  return 10000;
}

/* Posts one record; false with a failure where it concerns all of them. */
static bool post(text_t record, text_t stream, uint64_t position, exports_weft_plugin_destination_receipt_t *receipt,
                 weft_plugin_types_failure_t *failure) {
  text_t target;
  if (!json_find(config, "target", &target)) return fail(failure, WEFT_PLUGIN_TYPES_FAILURE_KIND_CONFIG, "there is no target");
  /* Stream and position name a record for ever: an API that honours the key takes it once, however often it comes. */
  builder_t key = {0};
  add(&key, stream);
  add(&key, text("-"));
  add_number(&key, position);
  plugin_tuple2_string_string_t headers[2] = {
      header(text("content-type"), string(text("application/json"))),
      header(text("idempotency-key"), built_string(&key)),
  };
  weft_plugin_http_request_t request = {
      .method = string(text("POST")),
      .target = string(json_plain(target)),
      .headers = {headers, 2},
      .body = bytes(record),
      .timeout_ms = {.is_some = false},
  };
  weft_plugin_http_response_t answer;
  if (!weft_plugin_http_send(&request, &answer, failure)) return false;
  if (answer.status >= 200 && answer.status < 300) {
    receipt->tag = EXPORTS_WEFT_PLUGIN_DESTINATION_RECEIPT_OK;
    return true;
  }
  if (answer.status == 401 || answer.status == 403) return fail(failure, WEFT_PLUGIN_TYPES_FAILURE_KIND_CREDENTIALS, "the API does not let us in");
  if (answer.status == 429) {
    fail(failure, WEFT_PLUGIN_TYPES_FAILURE_KIND_RATE_LIMITED, "the API asks for patience");
    failure->retry_after_ms = (plugin_option_u64_t){true, patience_ms(&answer)};
    return false;
  }
  if (answer.status >= 500) return fail(failure, WEFT_PLUGIN_TYPES_FAILURE_KIND_UNAVAILABLE, "the API has trouble of its own");
  receipt->tag = EXPORTS_WEFT_PLUGIN_DESTINATION_RECEIPT_REJECT;
  receipt->val.reject = rejection("refused", "the API refuses the event");
  return true;
}

bool exports_weft_plugin_destination_deliver(exports_weft_plugin_destination_batch_t *batch, exports_weft_plugin_destination_list_receipt_t *ret,
                                             exports_weft_plugin_destination_failure_t *err) {
  size_t count = batch->records.len;
  ret->len = count;
  ret->ptr = malloc(count * sizeof *ret->ptr);
  for (size_t i = 0; i < count; i++) {
    text_t record = {(const char *)batch->records.ptr[i].ptr, batch->records.ptr[i].len};
    if (post(record, text_of(batch->stream), batch->positions.ptr[i], &ret->ptr[i], err)) continue;
    /* Nothing is delivered yet: the whole batch waits, for as long as it takes. */
    if (i == 0) return false;
    /* What was delivered stays so; this record and those behind it come again, in order. */
    uint64_t wait = err->retry_after_ms.is_some ? err->retry_after_ms.val : 1000;
    for (; i < count; i++) {
      ret->ptr[i].tag = EXPORTS_WEFT_PLUGIN_DESTINATION_RECEIPT_RETRY;
      ret->ptr[i].val.retry = wait;
    }
  }
  return true;
}
