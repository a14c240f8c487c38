package partiql

import (
	"errors"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		statement  string
		parameters int
		wellFormed bool
	}{
		// The examples of the pages.
		"insert":                 {`INSERT INTO "Music" value {'Artist' : 'Acme Band','SongTitle' : 'PartiQL Rocks'}`, 0, true},
		"insert with parameters": {`INSERT INTO Music VALUE {'Artist':?,'SongTitle':?}`, 2, true},
		"set twice":              {"UPDATE \"Music\" \nSET AwardsWon=1 \nSET AwardDetail={'Grammys':[2020, 2018]}  \nWHERE Artist='Acme Band' AND SongTitle='PartiQL Rocks'", 0, true},
		"set a list":             {`UPDATE Music SET AwardsWon=1, AwardDetail={'Grammys':[2020, 2018]} WHERE Artist='Acme Band' AND SongTitle='PartiQL Rocks'`, 0, true},
		"append":                 {`UPDATE "Music" SET AwardDetail.Grammys =list_append(AwardDetail.Grammys,[2016]) WHERE Artist='Acme Band'`, 0, true},
		"remove":                 {`UPDATE "Music" REMOVE AwardDetail.Grammys[2] WHERE Artist='Acme Band' AND SongTitle='PartiQL Rocks'`, 0, true},
		"a set":                  {`UPDATE "Music" SET BandMembers =set_add(BandMembers, <<'newbandmember'>>) WHERE Artist='Acme Band'`, 0, true},
		"returning":              {`UPDATE "Music" SET AwardsWon=1 WHERE Artist='Acme Band' RETURNING MODIFIED NEW *`, 0, true},
		"delete":                 {`DELETE FROM "Music" WHERE "Artist" = 'Acme Band' AND "SongTitle" = 'PartiQL Rocks' RETURNING ALL OLD *`, 0, true},
		"remove twice":           {`UPDATE t SET a=? REMOVE b REMOVE c WHERE id=?`, 2, true},
		// Forms that no page shows.
		"a list to remove":            {`UPDATE t SET a=? REMOVE b, c WHERE id=?`, 2, false},
		"no condition":                {`UPDATE t SET a=?`, 1, false},
		"nothing to do":               {`UPDATE t WHERE id=?`, 1, false},
		"a comma after the last":      {`UPDATE t SET a=?, WHERE id=?`, 2, false},
		"no comma":                    {`UPDATE t SET a=? b=? WHERE id=?`, 3, false},
		"several items":               {`INSERT INTO t VALUES {'id':?}`, 1, false},
		"a name in double quotes":     {`INSERT INTO t VALUE {"id":?}`, 1, false},
		"one parameter too few":       {`INSERT INTO t VALUE {'id':?,'a':?}`, 1, false},
		"one parameter too many":      {`INSERT INTO t VALUE {'id':?}`, 2, false},
		"something after it":          {`INSERT INTO t VALUE {'id':?} WHERE id=?`, 2, false},
		"another language":            {`UPSERT INTO t VALUE {'id':?}`, 1, false},
		"an open quote":               {`UPDATE t SET a='x WHERE id=1`, 0, false},
		"a semicolon":                 {`INSERT INTO t VALUE {'id':1};`, 0, false},
		"an update returning nothing": {`UPDATE t SET a=1 WHERE id=1 RETURNING`, 0, false},
		"nothing":                     {``, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(tc.statement, tc.parameters)
			if (err == nil) != tc.wellFormed || err != nil && !errors.Is(err, ErrNotWellFormed) {
				t.Errorf("%s: %v", tc.statement, err)
			}
		})
	}
}
