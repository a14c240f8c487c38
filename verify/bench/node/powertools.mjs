// sqs-consumer, and the idempotency utility of AWS Lambda Powertools around the work. MODE is single,
// in which each message is deleted by its own call, or batch.
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency'
import { DynamoDBPersistenceLayer } from '@aws-lambda-powertools/idempotency/dynamodb'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SQSClient } from '@aws-sdk/client-sqs'
import { Consumer } from 'sqs-consumer'
import { batchSize, client, consumers, queueUrl, setting, work } from './program.mjs'

const sqs = client(SQSClient, 'AWS_ENDPOINT_URL_SQS', { useQueueUrlAsEndpoint: false })
const config = new IdempotencyConfig({ eventKeyJmesPath: 'name', throwOnNoIdempotencyKey: true, expiresAfterSeconds: 30 * 24 * 3600 })
// Outside of Lambda, a record in progress ends only with such a context.
config.registerLambdaContext({ getRemainingTimeInMillis: () => 30_000 })
const persistenceStore = new DynamoDBPersistenceLayer({
  tableName: setting('TABLE'),
  awsSdkV3Client: client(DynamoDBClient, 'AWS_ENDPOINT_URL_DYNAMODB'),
})
const once = makeIdempotent(work, { persistenceStore, config })
const handle = (message) => once(JSON.parse(message.Body))

const modes = {
  single: {
    handleMessage: async (message) => {
      await handle(message)
      return message
    },
  },
  batch: {
    handleMessageBatch: async (messages) => {
      const ended = await Promise.allSettled(messages.map(handle))
      for (const { reason } of ended) if (reason) console.error(reason)
      return messages.filter((_, i) => ended[i].status === 'fulfilled')
    },
  },
}
const mode = modes[setting('MODE')]
if (!mode) throw new Error(`MODE=${setting('MODE')}: want ${Object.keys(modes).join(' or ')}`)

for (let i = 0; i < consumers; i++) {
  const consumer = Consumer.create({ sqs, queueUrl, batchSize, ...mode })
  consumer.on('error', (err) => console.error(err))
  consumer.on('processing_error', (err) => console.error(err))
  consumer.start()
}
