// A transform: events in, events out. It must be pure: the same event with the same configuration always comes to the same outcome.
import * as weft from './weft.js';

let config;

export const plugin = weft.plugin({
  open(opened) {
    config = opened;
  },
});

export const transform = {
  apply: (records) => records.map(outcome),
};

/** Takes properties out of an event. An outcome is keep, drop, replace, split or reject. */
function outcome(record) {
  let event;
  try {
    event = weft.parse(record);
  } catch (error) {
    return { tag: 'reject', val: { code: 'not_json', message: `the event cannot be read: ${error.message}` } };
  }
  let changed = false;
  for (const name of config.properties) {
    if (event.properties && Object.hasOwn(event.properties, name)) {
      delete event.properties[name];
      changed = true;
    }
  }
  // Keeping copies nothing, and leaves every digit of every number as it was.
  return changed ? { tag: 'replace', val: weft.bytes(event) } : { tag: 'keep' };
}
