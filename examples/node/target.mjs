// A target for sqsonce from Node's standard library.
//
//   TARGET_SECRET=whsec_... node target.mjs PORT
//
// Each POST is one attempt on one message. The name of the message is the key of the effect, so a
// repeated attempt finds it done. The fence grows with each attempt on a name: a request with a
// lower fence than one seen before is late, and another attempt is at work.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const tolerance = 300; // seconds that a signature is good for
const maxBody = 1 << 20; // bytes; the largest message of SQS

// keyOf is the key behind a secret: base64 after whsec_, or the text itself.
function keyOf(secret) {
  return secret.startsWith("whsec_") ? Buffer.from(secret.slice("whsec_".length), "base64") : Buffer.from(secret);
}

// isSigned checks a signature of Standard Webhooks: an HMAC over id, timestamp and body.
function isSigned(headers, body, key) {
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) return false;
  const mac = createHmac("sha256", key).update(`${headers["webhook-id"]}.${timestamp}.`).update(body).digest("base64");
  const want = Buffer.from(`v1,${mac}`);
  // Several while a secret is changed.
  return (headers["webhook-signature"] ?? "").split(" ").some((each) => {
    const given = Buffer.from(each);
    return given.length === want.length && timingSafeEqual(given, want);
  });
}

// The effect: an order is booked once. A real program keeps it in a database, and changes fence and
// booking in one transaction.
const fences = new Map();
const bookings = new Map();

function book(name, fence, total) {
  if ((fences.get(name) ?? 0n) > fence) return null;
  fences.set(name, fence);
  const fresh = !bookings.has(name);
  if (fresh) bookings.set(name, total);
  return { order: name, total: bookings.get(name), new: fresh };
}

// nameOf is the name in an Idempotency-Key: a string as in RFC 8941,
// percent-encoded; null when it is none.
function nameOf(key) {
  if (!/^"([ !#-[\]-~]|\\["\\])*"$/.test(key)) return null;
  return decode(key.slice(1, -1).replace(/\\(.)/g, "$1"));
}

// decode undoes percent-encoding; a % that encodes nothing stands for itself.
function decode(value) {
  return value.replace(/(%[0-9A-Fa-f]{2})+/g, decodeURIComponent);
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    if ((size += chunk.length) > maxBody) throw new Error("body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function answer(response, status, document) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(document));
}

const key = process.env.TARGET_SECRET ? keyOf(process.env.TARGET_SECRET) : null;

const server = createServer(async (request, response) => {
  if (request.method === "GET" && request.url === "/healthz") return answer(response, 200, {});
  if (request.method !== "POST" || request.url !== "/work") return answer(response, 404, { error: "POST to /work" });
  let body;
  try {
    body = await read(request);
  } catch (error) {
    return answer(response, 413, { error: error.message });
  }
  if (key && !isSigned(request.headers, body, key)) {
    return answer(response, 401, { error: "signature is missing, wrong or old" });
  }
  const name = nameOf(request.headers["idempotency-key"] ?? "");
  if (name === null) return answer(response, 400, { error: "Idempotency-Key: want a string in quotes" });
  const fence = BigInt(request.headers["x-sqsonce-fence"]);
  let total;
  try {
    total = JSON.parse(body).total;
  } catch {
    total = undefined;
  }
  if (!Number.isInteger(total)) return answer(response, 422, { error: "total: want a number" }); // no retry can help
  const booked = book(name, fence, total);
  if (!booked) return answer(response, 409, { error: "a later attempt is at work" });
  return answer(response, 200, booked); // recorded as the result
});

server.listen(Number(process.argv[2] ?? 5000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
