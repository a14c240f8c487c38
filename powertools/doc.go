// Package powertools reads the records of the idempotency utility of Powertools for AWS Lambda, of
// its Python and TypeScript versions, so that names which it has completed are not run again.
//
// A [Reader] is set as sqsonce.Config.Earlier. The guard asks it once the name is held and before
// the work's first attempt: one read, and only for a name without a record of its own. A completed
// record is the answer, which is then recorded for the name. One that is in progress is waited for.
// The reader never writes. Its facts about Powertools are from its documentation and source:
//
//   - https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/
//   - https://github.com/aws-powertools/powertools-lambda-python/tree/develop/aws_lambda_powertools/utilities/idempotency
//   - https://docs.aws.amazon.com/powertools/typescript/latest/features/idempotency/
//   - https://github.com/aws-powertools/powertools-lambda-typescript/tree/main/packages/idempotency/src
//
// Powertools does not know of the guard's records. Its function has to be off the queue, but for
// invocations under way, before work begins here.
package powertools
