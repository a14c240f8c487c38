package workercmd

import (
	"cmp"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/powertools"
)

// powertools is where Powertools keeps its records, by the worker's clock.
func (c queueSettings) powertools(now func() time.Time) powertools.Config {
	return powertools.Config{
		Table: cmp.Or(c.PowertoolsTable, c.Table), Language: c.PowertoolsLanguage, Prefix: c.PowertoolsPrefix, Key: c.PowertoolsKey,
		Hash: c.PowertoolsHash, SortKeyAttr: c.PowertoolsSortKey, PartitionValue: c.PowertoolsPartition, Hold: c.OnUnknown == "hold", Now: now,
	}
}

// powertoolsProblems reports settings of Powertools that do not belong together.
func (c powertoolsConfig) powertoolsProblems() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.PowertoolsPrefix == "" {
		for flag, value := range map[string]string{
			"language": c.PowertoolsLanguage, "key": c.PowertoolsKey, "table": c.PowertoolsTable, "sort-key": c.PowertoolsSortKey, "partition": c.PowertoolsPartition,
		} {
			if value != "" {
				bad("--powertools-%s %s: has no effect without --powertools-prefix", flag, value)
			}
		}
		return problems
	}
	if c.PowertoolsLanguage == "" {
		bad("--powertools-language (SQSONCE_POWERTOOLS_LANGUAGE) is missing: --powertools-prefix needs it")
	}
	if c.PowertoolsKey == "" {
		bad("--powertools-key (SQSONCE_POWERTOOLS_KEY) is missing: --powertools-prefix needs it")
	}
	if c.PowertoolsPartition != "" && c.PowertoolsSortKey == "" {
		bad("--powertools-partition %s: has no effect without --powertools-sort-key", c.PowertoolsPartition)
	}
	if len(problems) > 0 {
		return problems
	}
	if _, err := powertools.New(unread{}, queueSettings{queueConfig: queueConfig{Table: "table", powertoolsConfig: c}}.powertools(nil)); err != nil {
		return leaves(err)
	}
	return nil
}

// unread is a client of which only the settings are checked.
type unread struct{ powertools.API }
