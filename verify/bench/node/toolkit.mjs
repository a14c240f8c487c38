// The consumer of message-queue-toolkit with its deduplication in Redis.
import { MessageHandlerConfigBuilder } from '@message-queue-toolkit/core'
import { RedisMessageDeduplicationStore } from '@message-queue-toolkit/redis-message-deduplication-store'
import { AbstractSqsConsumer } from '@message-queue-toolkit/sqs'
import { SQSClient } from '@aws-sdk/client-sqs'
import { Redis } from 'ioredis'
import { z } from 'zod'
import { batchSize, client, consumers, queueUrl, setting, work } from './program.mjs'

const schema = z.object({ name: z.string(), pad: z.string() })
const logger = { ...console, fatal: console.error, trace: () => {}, debug: () => {}, isLevelEnabled: () => false, child: () => logger }
const redis = new Redis(setting('REDIS_SOCKET'))

class Orders extends AbstractSqsConsumer {
  constructor() {
    super(
      {
        sqsClient: client(SQSClient, 'AWS_ENDPOINT_URL_SQS', { useQueueUrlAsEndpoint: false }),
        logger,
        errorReporter: { report: ({ error }) => console.error(error) },
        consumerErrorResolver: { processError: (error) => error },
        transactionObservabilityManager: { start: () => {}, stop: () => {} },
      },
      {
        locatorConfig: { queueUrl },
        messageTypeResolver: { literal: 'order' },
        messageIdField: 'name',
        handlers: new MessageHandlerConfigBuilder()
          .addConfig(
            schema,
            async (message) => {
              await work(message)
              return { result: 'success' }
            },
            { messageType: 'order' },
          )
          .build(),
        enableConsumerDeduplication: true,
        messageDeduplicationIdField: 'name',
        messageDeduplicationConfig: { deduplicationStore: new RedisMessageDeduplicationStore({ redis }) },
        concurrentConsumersAmount: consumers,
        consumerOverrides: { batchSize },
      },
      {},
    )
  }
}

await new Orders().start()
