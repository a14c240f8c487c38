package prices

// Use is the use of AWS by a message, and by the tasks that handle it.
type Use struct {
	Requests float64 // SQS requests, of at most [RequestBytes] each
	FIFO     bool    // the queue is a FIFO queue

	Writes, Reads float64 // DynamoDB units
	Provisioned   float64 // share of the provisioned capacity that is used; 0: on demand

	Record   float64 // bytes of a record
	Days     float64 // days for which a record is kept
	Recovery bool    // point-in-time recovery

	Tasks Tasks
	Daily float64 // millions of messages a day; divides the price of tasks and endpoints
}

// Tasks is a number of Fargate tasks that always run, and their interface endpoints.
type Tasks struct {
	Count, CPU, Memory float64 // vCPU and GB of each
	X86, Spot          bool
	EndpointZones      float64 // endpoints, each counted once for a zone
	Traffic            float64 // bytes a message through the endpoints
}

const (
	million  = 1e6
	gigabyte = 1e9
	month    = Hours / 24.0 // days
)

// Calls is the price of the calls of a million messages: SQS and DynamoDB, without storage.
func (u Use) Calls() float64 {
	request, write, read := StandardMillion, WriteMillion, ReadMillion
	if u.FIFO {
		request = FIFOMillion
	}
	if u.Provisioned > 0 {
		units := 3600 * u.Provisioned // used in an hour by one unit of capacity
		write, read = WriteCapacityHour*million/units, ReadCapacityHour*million/units
	}
	return u.Requests*request + u.Writes*write + u.Reads*read
}

// Million is the price of a million messages: calls, records, tasks and endpoints.
func (u Use) Million() float64 {
	stored := StorageGigabyte
	if u.Recovery {
		stored += RecoveryGigabyte
	}
	return u.Calls() + u.Record*million/gigabyte*u.Days/month*stored + u.Tasks.million(u.Daily)
}

func (t Tasks) million(daily float64) float64 {
	if daily == 0 {
		return 0
	}
	cpu, memory := CPUHourARM, MemoryHourARM
	if t.X86 {
		cpu, memory = CPUHourX86, MemoryHourX86
	}
	task := t.CPU*cpu + t.Memory*memory
	if t.Spot {
		task *= SpotShare
	}
	day := 24 * (t.Count*task + t.EndpointZones*EndpointHour)
	return day/daily + t.Traffic*million/gigabyte*EndpointGigabyte
}
