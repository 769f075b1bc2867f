// What a server in Node sends through Segment's SDK or RudderStack's, from the package index.
//
//     story.mjs segment|rudder HOST WRITE_KEY PREFIX
//
// The SDK is looked for from the working folder. Every name begins with PREFIX. It is the same story as story.py and story.html, call for call;
// peers.rs says what must come of it. It leaves with 1 where the SDK gave up a batch.

import { createRequire } from 'node:module'

const require = createRequire(`${process.cwd()}/`)
const [sdk, host, writeKey, prefix] = process.argv.slice(2)
const failures = []
const client = { segment, rudder }[sdk]()

function segment() {
  const { Analytics } = require('@segment/analytics-node')
  const client = new Analytics({ writeKey, host, path: '/segment/v1/batch', maxEventsInBatch: 7, flushInterval: 200, maxRetries: 10 })
  client.on('error', (error) => failures.push(`${error.code}: ${error.reason ?? ''}`))
  client.end = () => client.closeAndFlush({ timeout: 60_000 })
  return client
}

function rudder() {
  const Analytics = require('@rudderstack/rudder-sdk-node')
  const errorHandler = (error) => failures.push(`${error.message}`)
  const options = { flushAt: 7, flushInterval: 200, retryCount: 10, logLevel: 'none', errorHandler }
  const client = new Analytics(writeKey, { dataPlaneUrl: `${host}/segment`, ...options })
  client.end = () => client.flush()
  return client
}

const [ann, bob, bobby, carl, laptop] = ['ann', 'bob', 'bobby', 'carl', 'laptop'].map((name) => `${prefix}-${name}`)

client.page({ anonymousId: laptop, category: 'Shop', name: 'Home', properties: { url: 'https://shop.example/' } })
client.screen({ anonymousId: laptop, category: 'App', name: 'Welcome' })
client.track({ anonymousId: laptop, event: 'Product Viewed', properties: { product_id: 'p-102', price: 19.95 } })
client.identify({
  userId: ann,
  anonymousId: laptop,
  traits: { name: 'Änn Doe', email: ` ${prefix}-Ann@Example.COM`, phone: '030 23125 001', plan: null, vip: true },
  context: { locale: 'de-DE' },
})
client.track({
  userId: ann,
  event: 'Order Completed',
  properties: { order_id: 'o-1', total: 29.9, products: [{ product_id: 'p-102', price: 14.95, quantity: 2 }] },
  timestamp: new Date('2026-03-01T12:00:00Z'),
})
client.group({ userId: ann, groupId: `${prefix}-acme`, traits: { employees: 12 } })

client.identify({ userId: bob, traits: { email: `${prefix}-bob@example.com` } })
for (let number = 0; number < 3; number += 1) {
  client.track({ userId: bob, event: 'Product Viewed', properties: { number } })
}
client.alias({ previousId: bob, userId: bobby })
client.page({ userId: bobby, name: 'Account' })

for (let number = 0; number < 20; number += 1) {
  client.track({ userId: carl, event: 'Clicked', properties: { number } })
}

await client.end()
if (failures.length > 0) {
  console.error(failures.join('\n'))
  process.exit(1)
}
