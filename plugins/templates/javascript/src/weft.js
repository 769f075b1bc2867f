// What every plugin in JavaScript needs: bytes to JSON and back, and words for what the contract calls otherwise.
import manifest from './manifest.js';

const decoder = new TextDecoder('utf-8', { fatal: true });
const encoder = new TextEncoder();

/** Why a whole call failed. `kind`: config, credentials, rate-limited, unavailable, rejected, cancelled, internal. */
export function failure(kind, message, retryAfterMs) {
  return { kind, message, retryAfterMs: retryAfterMs === undefined ? undefined : BigInt(Math.round(retryAfterMs)) };
}

/** Bytes as a JSON object; throws where they are none. */
export function parse(bytes) {
  const value = JSON.parse(decoder.decode(bytes));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it is no JSON object');
  return value;
}

/** A value, or a text as it is, as bytes. */
export function bytes(value) {
  return encoder.encode(typeof value === 'string' ? value : JSON.stringify(value));
}

export function header(headers, name) {
  return headers.find(([known]) => known.toLowerCase() === name)?.[1];
}

/** The plugin's interface for what every plugin answers alike. `validate(config)` gives a list of { path, message, hint }; `open(config)` takes it. */
export function plugin({ open, validate = () => [], check = () => {} }) {
  return {
    describe: () => manifest,
    validate(config) {
      const problems = validate(JSON.parse(config));
      // Of an answer that is a list of problems, throwing is the way to say no.
      if (problems.length > 0) throw problems;
    },
    open: (config) => open(JSON.parse(config)),
    check,
  };
}
