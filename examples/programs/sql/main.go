// Command sql books each payment once in a database of your own, whose transaction knows
// nothing of the records of the guard.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	_ "modernc.org/sqlite" // the driver

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	store, err := dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{Table: os.Getenv("TABLE")})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	db, err := open(ctx, os.Getenv("DATABASE"))
	if err != nil {
		log.Fatal(err)
	}
	guard, err := dedupe.New[receipt](store, dedupe.Config{Scope: "payments", Now: store.Now, Wait: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, order := range []struct {
		name   string
		amount int
	}{{"order-17", 30}, {"order-17", 30}, {"order-18", 12}} {
		res, err := guard.Do(ctx, dedupe.Key{Name: order.name}, func(ctx context.Context) (receipt, error) {
			return book(ctx, db, order.amount, func(context.Context) error { return nil })
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%+v, replayed %t\n", res.Value, res.Replayed)
	}
}

// A payment has one row, by its name; fence is that of the last attempt that has begun.
const schema = `
CREATE TABLE IF NOT EXISTS payments (name TEXT PRIMARY KEY, fence INTEGER NOT NULL, amount INTEGER);
CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, balance INTEGER NOT NULL);
INSERT OR IGNORE INTO accounts VALUES ('till', 0);`

func open(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", path+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, schema)
	return db, err
}

type receipt struct{ Amount int }

var errLate = errors.New("a later attempt has begun")

// book books a payment in one transaction. The name as unique key makes it happen once,
// even if the process dies before the guard has recorded it. The fence as condition
// refuses an attempt that has lost its lease without knowing it. check is what is slow, or
// calls others: a later attempt may begin meanwhile.
func book(ctx context.Context, db *sql.DB, amount int, check func(context.Context) error) (receipt, error) {
	attempt, _ := dedupe.AttemptFrom(ctx)
	if err := begin(ctx, db, attempt); err != nil {
		return receipt{}, err
	}
	if err := check(ctx); err != nil {
		return receipt{}, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return receipt{}, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	done, err := tx.ExecContext(ctx, `UPDATE payments SET amount = ? WHERE name = ? AND fence = ? AND amount IS NULL`,
		amount, attempt.Name, int64(attempt.Fence))
	if err != nil {
		return receipt{}, err
	}
	if n, err := done.RowsAffected(); err != nil {
		return receipt{}, err
	} else if n == 0 {
		return earlier(ctx, tx, attempt)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE accounts SET balance = balance + ? WHERE id = 'till'`, amount); err != nil {
		return receipt{}, err
	}
	return receipt{amount}, tx.Commit()
}

// begin puts down that an attempt has begun, unless a later one has.
func begin(ctx context.Context, db *sql.DB, attempt dedupe.Attempt) error {
	done, err := db.ExecContext(ctx, `INSERT INTO payments (name, fence) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= payments.fence`, attempt.Name, int64(attempt.Fence))
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errLate
}

// earlier returns the receipt of an attempt that has booked the payment, if one has.
func earlier(ctx context.Context, tx *sql.Tx, attempt dedupe.Attempt) (receipt, error) {
	var amount sql.NullInt64
	if err := tx.QueryRowContext(ctx, `SELECT amount FROM payments WHERE name = ?`, attempt.Name).Scan(&amount); err != nil {
		return receipt{}, err
	}
	if !amount.Valid {
		return receipt{}, errLate
	}
	return receipt{int(amount.Int64)}, nil
}
