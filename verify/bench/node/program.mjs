// The common part of the subjects on Node: settings from the environment, and clients with as many
// connections as there are calls at a time. The SDK's default is 50.
export function setting(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set`)
  return value
}

export const queueUrl = setting('QUEUE_URL')
export const concurrency = Number(setting('CONCURRENCY'))

// Ten messages a receive: as many consumers as fill the slots.
export const batchSize = 10
export const consumers = Math.ceil(concurrency / batchSize)

export function client(Client, endpoint, more) {
  const httpAgent = { keepAlive: true, maxSockets: 2 * concurrency + consumers }
  return new Client({ endpoint: setting(endpoint), requestHandler: { httpAgent }, ...more })
}

export const work = async (message) => ({ name: message.name })
