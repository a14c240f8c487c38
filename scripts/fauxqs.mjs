// Starts fauxqs on the loopback interface only (its own command line listens
// on every interface) and prints the address once it accepts connections.
//
//   node scripts/fauxqs.mjs PORT [--with-stdin]
//
// PORT 0 takes a free one. With --with-stdin the server ends when its standard
// input does, so that it cannot outlive the process that holds the other end.
import { buildApp } from "fauxqs";

const port = Number(process.argv[2] ?? 0);
const app = await buildApp({ logger: false, host: "127.0.0.1", defaultRegion: "us-east-1" });
await app.listen({ port, host: "127.0.0.1" });
console.log(`fauxqs listening on http://127.0.0.1:${app.server.address().port}`);

if (process.argv.includes("--with-stdin")) {
  process.stdin.on("end", () => process.exit(0)).resume();
}
