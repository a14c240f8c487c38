.PHONY: soak-consumer
soak-consumer: deps ## the seeded tests of the worker pool, ten times as many: stops at any moment, FIFO lanes
	SQSONCE_TEST_SCALE=10 go test -timeout 60m -run 'TestStop/stop_at_any|TestFIFO/group_keeps_its_order' ./consumer
