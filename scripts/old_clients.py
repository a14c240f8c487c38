"""What scripts/old-clients does, with boto3: every operation of SQS, over the Query protocol."""

import json
import sys

import boto3

client = boto3.client("sqs", endpoint_url=sys.argv[1])
if client.meta.service_model.metadata["protocol"] != "query":
    sys.exit(f"old-clients: boto3 {boto3.__version__} does not speak the Query protocol")


def arn(url):
    return client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except client.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"want {code}")


dlq = client.create_queue(QueueName="old-dlq")["QueueUrl"]
redrive = json.dumps({"deadLetterTargetArn": arn(dlq), "maxReceiveCount": "1"})
queue = client.create_queue(QueueName="old-boto3", Attributes={"RedrivePolicy": redrive}, tags={"team": "a&b"})["QueueUrl"]
assert client.get_queue_url(QueueName="old-boto3")["QueueUrl"] == queue
assert client.list_queues(QueueNamePrefix="old-b")["QueueUrls"] == [queue]
assert client.list_dead_letter_source_queues(QueueUrl=dlq)["queueUrls"] == [queue]
assert client.list_queue_tags(QueueUrl=queue)["Tags"] == {"team": "a&b"}
client.tag_queue(QueueUrl=queue, Tags={"x": "1"})
client.untag_queue(QueueUrl=queue, TagKeys=["team"])
assert client.list_queue_tags(QueueUrl=queue)["Tags"] == {"x": "1"}
client.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "77"})
attributes = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
assert attributes["VisibilityTimeout"] == "77" and json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == 1, attributes

body = '{\r\n\t"x": "<ä&>\N{GRINNING FACE}"}'
binary = bytes(range(256))
trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
sent = client.send_message(
    QueueUrl=queue,
    MessageBody=body,
    MessageAttributes={"b": {"DataType": "Binary", "BinaryValue": binary}, "s": {"DataType": "String", "StringValue": "é"}},
    MessageSystemAttributes=trace,
)
(message,) = client.receive_message(QueueUrl=queue, AttributeNames=["All"], MessageAttributeNames=["All"], WaitTimeSeconds=1)["Messages"]
assert message["Body"] == body and message["MessageId"] == sent["MessageId"], message
assert message["MessageAttributes"]["b"]["BinaryValue"] == binary and message["MessageAttributes"]["s"]["StringValue"] == "é", message
assert message["Attributes"]["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"], message
client.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
assert "Messages" not in client.receive_message(QueueUrl=queue)  # dead-lettered
task = client.start_message_move_task(SourceArn=arn(dlq)) if hasattr(client, "start_message_move_task") else None
(dead,) = client.receive_message(QueueUrl=queue if task else dlq, AttributeNames=["All"])["Messages"]
client.delete_message(QueueUrl=queue if task else dlq, ReceiptHandle=dead["ReceiptHandle"])

batch = client.send_message_batch(
    QueueUrl=queue, Entries=[{"Id": str(i), "MessageBody": "x" if i else "\x01", "DelaySeconds": 0} for i in range(10)]
)
assert len(batch["Successful"]) == 9 and batch["Failed"][0]["Code"] == "InvalidMessageContents", batch
received = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(received)]
changed = client.change_message_visibility_batch(QueueUrl=queue, Entries=[{**e, "VisibilityTimeout": 100} for e in entries])
assert len(changed["Successful"]) == 9, changed
entries.append({"Id": "bad", "ReceiptHandle": "none"})
deleted = client.delete_message_batch(QueueUrl=queue, Entries=entries)
assert len(deleted["Successful"]) == 9 and deleted["Failed"][0]["Code"] == "ReceiptHandleIsInvalid", deleted

refused("AWS.SimpleQueueService.NonExistentQueue", client.get_queue_url, QueueName="none")
refused("AWS.SimpleQueueService.EmptyBatchRequest", client.send_message_batch, QueueUrl=queue, Entries=[])
refused("MissingParameter", client.send_message, QueueUrl=queue, MessageBody="")
refused("ReceiptHandleIsInvalid", client.delete_message, QueueUrl=queue, ReceiptHandle="none")
fifo = client.create_queue(QueueName="old.fifo", Attributes={"FifoQueue": "True", "ContentBasedDeduplication": "True"})["QueueUrl"]
first = client.send_message(QueueUrl=fifo, MessageBody="x", MessageGroupId="g")
assert first["SequenceNumber"] == client.send_message(QueueUrl=fifo, MessageBody="x", MessageGroupId="g")["SequenceNumber"]
client.purge_queue(QueueUrl=fifo)
for url in (queue, dlq, fifo):
    client.delete_queue(QueueUrl=url)
print(f"old-clients: boto3 {boto3.__version__} creates, sends, receives, deletes")
