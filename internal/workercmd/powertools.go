package workercmd

import (
	"cmp"
	"fmt"
	"time"

	"github.com/sqsonce/sqsonce/powertools"
)

// powertools returns the configuration of the reader of Powertools' records.
func (c queueSettings) powertools(now func() time.Time) powertools.Config {
	return powertools.Config{
		Table: cmp.Or(c.PowertoolsTable, c.Table), Language: c.PowertoolsLanguage, Prefix: c.PowertoolsPrefix, Key: c.PowertoolsKey,
		Hash: c.PowertoolsHash, SortKeyAttr: c.PowertoolsSortKey, PartitionValue: c.PowertoolsPartition, Hold: c.OnUnknown == "hold", Now: now,
	}
}

// powertoolsProblems returns the problems of the --powertools flags.
func (c powertoolsConfig) powertoolsProblems() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.PowertoolsPrefix == "" {
		for flag, value := range map[string]string{
			"language": c.PowertoolsLanguage, "key": c.PowertoolsKey, "table": c.PowertoolsTable, "sort-key": c.PowertoolsSortKey, "partition": c.PowertoolsPartition,
		} {
			if value != "" {
				bad("--powertools-%s %s: needs --powertools-prefix", flag, value)
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
		bad("--powertools-partition %s: needs --powertools-sort-key", c.PowertoolsPartition)
	}
	if len(problems) > 0 {
		return problems
	}
	if _, err := powertools.New(unread{}, queueSettings{queueConfig: queueConfig{Table: "table", powertoolsConfig: c}}.powertools(nil)); err != nil {
		return joinedTexts(err)
	}
	return nil
}

// unread is a client that is never called.
type unread struct{ powertools.API }
