// What a server in Node sends through mParticle's own SDK (mparticle, from the package index).
//
//     batches.mjs HOST KEY SECRET PREFIX
//
// The SDK is looked for from the working folder. It sends once and tells what was answered; whoever uses it sends the same batch again after
// 503 and 429, as the documentation of the API asks. It is the same story as batches.py, call for call; peers.rs says what must come of it.
// It leaves with 1 where a batch was not taken.

import { createRequire } from 'node:module'

const mParticle = createRequire(`${process.cwd()}/`)('mparticle')
const [host, key, secret, prefix] = process.argv.slice(2)
const api = new mParticle.EventsApi(new mParticle.Configuration(key, secret))
api.apiClient.basePath = `${host}/mparticle/v2`

const call = (method, body) => new Promise((resolve) => api[method](body, (error) => resolve(error)))

async function send(method, body) {
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const error = await call(method, body)
    if (!error) return
    if (error.status !== 503 && error.status !== 429) throw error
    await new Promise((resolve) => setTimeout(resolve, Number(error.response.headers['retry-after'] ?? 0.1) * 1000))
  }
  throw new Error('refused ten times')
}

const name = (of) => `${prefix}-${of}`
const at = Date.UTC(2026, 2, 1, 12)

function batch(fields, events) {
  const batch = new mParticle.Batch(mParticle.Batch.Environment.production)
  Object.assign(batch, fields)
  for (const event of events) batch.addEvent(event)
  return batch
}

function who(fields) {
  return Object.assign(new mParticle.UserIdentities(), fields)
}

function custom(event_name, fields) {
  return Object.assign(new mParticle.AppEvent(mParticle.AppEvent.CustomEventType.other, event_name), fields)
}

function screen(screen_name, fields) {
  return Object.assign(new mParticle.ScreenViewEvent(), { screen_name }, fields)
}

function commerce(action, fields, products) {
  const product_action = Object.assign(new mParticle.ProductAction(action), fields)
  product_action.products = products.map((product) => Object.assign(new mParticle.Product(), product))
  return Object.assign(new mParticle.CommerceEvent(), { product_action, currency_code: 'EUR', timestamp_unixtime_ms: at })
}

// Somebody on a laptop, whom nobody knows yet. Each event has an id of its own.
await send('uploadEvents', batch({ mp_deviceid: name('laptop') }, [
  Object.assign(new mParticle.SessionStartEvent(), { source_message_id: name('m-1') }),
  screen('Home', { source_message_id: name('m-2') }),
  custom('Product Searched', { custom_attributes: { query: 'board games' }, source_message_id: name('m-3') }),
]))
// It is Ann, who buys. The batch has an id.
const consent = new mParticle.ConsentState()
consent.gdpr = { marketing: Object.assign(new mParticle.GDPRConsentState(), { consented: true, timestamp_unixtime_ms: at }) }
await send('uploadEvents', batch({
  source_request_id: name('r-1'),
  mp_deviceid: name('laptop'),
  user_identities: who({ customerid: name('ann'), email: ` ${prefix}-Ann@Example.COM`, mobile_number: '030 23125 001' }),
  user_attributes: { $firstname: 'Änn', vip: 'true' },
  consent_state: consent,
}, [
  commerce('purchase', { transaction_id: 'o-1', total_amount: 29.9 }, [{ id: 'p-102', price: 14.95, quantity: 2 }]),
  screen('Thanks', {}),
]))
// Bob and Carl, together. Nothing has an id, and everything a time.
await send('bulkUploadEvents', [
  batch({ user_identities: who({ customerid: name('bob'), email: name('bob@example.com') }) },
    [0, 1, 2].map((number) => commerce('view_detail', {}, [{ id: `p-${number}`, category: 'Games', price: 9.95 }]))),
  batch({ user_identities: who({ customerid: name('carl') }) }, Array.from({ length: 20 }, (_, number) =>
    custom('Clicked', { custom_attributes: { number: `${number}` }, timestamp_unixtime_ms: at + number }))),
])
// What became of Bob, without an event.
await send('bulkUploadEvents', [
  batch({ source_request_id: name('r-2'), user_identities: who({ customerid: name('bob') }), user_attributes: { plan: 'pro' } }, []),
])
