// A destination: batches of records in, a receipt for each record out. The connection that its stage names has the address and the credentials.
import { send } from 'weft:plugin/http@1.0.0';
import * as weft from './weft.js';

let config;

export const plugin = weft.plugin({
  open(opened) {
    config = opened;
  },
});

export const destination = {
  deliver(batch) {
    const receipts = [];
    for (const [place, record] of batch.records.entries()) {
      let receipt;
      try {
        // Stream and position name a record for ever: an API that honours the key takes it once, however often it comes.
        receipt = post(record, `${batch.stream}-${batch.positions[place]}`);
      } catch (thrown) {
        const failure = thrown.payload ?? thrown;
        // Nothing is delivered yet: the whole batch waits, for as long as it takes.
        if (receipts.length === 0) throw failure;
        // What was delivered stays so; this record and those behind it come again, in order.
        const wait = failure.retryAfterMs ?? 1000n;
        while (receipts.length < batch.records.length) receipts.push({ tag: 'retry', val: wait });
        break;
      }
      receipts.push(receipt);
    }
    return receipts;
  },
};

/** Posts one record; throws a failure where it concerns all of them. */
function post(record, key) {
  const headers = [['content-type', 'application/json'], ['idempotency-key', key]];
  const answer = send({ method: 'POST', target: config.target, headers, body: record, timeoutMs: undefined });
  const said = `the API answers ${answer.status}`;
  if (answer.status >= 200 && answer.status < 300) return { tag: 'ok' };
  if (answer.status === 401 || answer.status === 403) throw weft.failure('credentials', said);
  if (answer.status === 429) {
    const seconds = Number(weft.header(answer.headers, 'retry-after') ?? 10);
    throw weft.failure('rate-limited', 'the API asks for patience', (Number.isFinite(seconds) ? Math.max(seconds, 0) : 10) * 1000);
  }
  if (answer.status >= 500) throw weft.failure('unavailable', said);
  return { tag: 'reject', val: { code: 'refused', message: said } };
}
