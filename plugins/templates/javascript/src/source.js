// A source: requests in, events out, and an answer to the sender. The engine answers only once the events are durable.
import { equals } from 'weft:plugin/crypto@1.0.0';
import * as weft from './weft.js';

let config;

export const plugin = weft.plugin({
  open(opened) {
    config = opened;
  },
});

export const source = {
  receive(request) {
    // First of all: nothing of a stranger's is kept.
    const authorization = weft.header(request.headers, 'authorization') ?? '';
    const token = authorization.startsWith('Bearer ') ? authorization.slice('Bearer '.length) : '';
    if (!equals(config.token, weft.bytes(token))) return answer(401, { error: 'unauthorized' });
    if (request.body.tag === 'unreadable') return answer(400, { error: 'unreadable' });
    let posted;
    try {
      posted = weft.parse(request.body.val);
    } catch (error) {
      return refuse('not_json', `the body cannot be read: ${error.message}`);
    }
    if (typeof posted.event !== 'string' || posted.event === '') return refuse('no_event', 'the event has no name');
    return answer(200, { ok: true }, [weft.bytes(event(posted))]);
  },
  // This source has no use for these two; its manifest says so (`reads`), and they are never called.
  poll() {},
  decode() {
    return undefined;
  },
};

/** A canonical event: docs/events.md of Weft. */
function event(posted) {
  const made = { type: 'track', name: posted.event };
  // The sender's own id, so that the same event sent twice counts once; prefixed, since other sources count too.
  if (typeof posted.id === 'string') made.message_id = `my-plugin/${posted.id}`;
  if (typeof posted.email === 'string' && posted.email !== '') made.claims = [{ type: 'email', value: posted.email }];
  const { properties } = posted;
  if (typeof properties === 'object' && properties !== null && !Array.isArray(properties)) made.properties = properties;
  return made;
}

function answer(status, body, events = [], refused = []) {
  return { response: { status, headers: [['content-type', 'application/json']], body: weft.bytes(body) }, events, refused };
}

/** Keeps what a known sender posted, with the reason why it is no event: it can be looked at and given again. */
function refuse(code, message) {
  return answer(200, { ok: true }, [], [{ rejection: { code, message }, bytes: undefined }]);
}
