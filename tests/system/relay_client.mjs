// A relay client in another language: plain Node, no packages, written from consumers/relay/RELAY.md and LAYOUT.md
// alone. It shares nothing with the Python client, so what the two agree on is what the documents say.
//
//   node relay_client.mjs --socket PATH --layout LAYOUT.md [--start latest|oldest|sequence|acknowledged] [--from N]
//                         [--name NAME] [--at-least-once] [--types 11,16] [--pool 0x..] [--until SEQUENCE]
//
// Prints one line of JSON for everything the relay says: {"kind": "ring" | "message" | "gap" | "replaced" |
// "heartbeat" | "farewell"}.
// A named client acknowledges each batch after its lines were written, so what was printed and what the relay believes
// to be handled can only differ in the safe direction. It does not connect again: whoever started it does.
// Exit code: 0 the sequence of --until was reached, 1 the relay broke the protocol, 2 it hung up.

import { readFileSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { parseArgs } from "node:util";
import { Layouts } from "./layout_document.mjs";

const MAGIC = 0xdeadbeef;
const VERSION = 1;
const DOMAIN_SYSTEM = 4;
const SOURCE_RELAY = 80;
const SOURCE_CLIENT = 81;
const MAX_MESSAGE = 65536;
const SILENCE_MS = 5000;
const STARTS = { latest: 1, oldest: 2, sequence: 3, acknowledged: 4 };
const FILTER_POOL = 2;

const { values: options } = parseArgs({
  options: {
    socket: { type: "string" },
    layout: { type: "string" },
    start: { type: "string", default: "oldest" },
    from: { type: "string" },
    name: { type: "string", default: "" },
    "at-least-once": { type: "boolean", default: false },
    types: { type: "string", default: "" },
    pool: { type: "string" },
    until: { type: "string" },
  },
});
const layouts = new Layouts(readFileSync(options.layout, "utf8"));
const HEADER = layouts.byName.get("Header");
const CHECKSUM_OFFSET = HEADER.fields.find((field) => field.name === "checksum").offset;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  return remainder;
});

function crc32(...parts) {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}

class ProtocolError extends Error {}

function require_(condition, message) {
  if (!condition) throw new ProtocolError(message);
}

function* splitRecords(payload) {
  let at = 0;
  while (at < payload.length) {
    require_(payload.length - at >= 2, `half a TLV at ${at}`);
    let [type, length, head] = [payload[at], payload[at + 1], 2];
    if (type === 255) {
      require_(length === 0 && payload.length - at >= 5, `bad extended TLV at ${at}`);
      [type, length, head] = [payload[at + 2], payload.readUInt16LE(at + 3), 5];
    }
    require_(payload.length - at - head >= length, `TLV ${type} at ${at} ends beyond its message`);
    yield { type, bytes: payload.subarray(at + head, at + head + length) };
    at += head + length;
  }
}

function decodeRecords(payload) {
  const records = [];
  for (const { type, bytes } of splitRecords(payload)) {
    const layout = layouts.byType.get(type);
    if (!layout) continue;
    require_(bytes.length === layout.size, `${layout.name} of ${bytes.length} bytes, expected ${layout.size}`);
    records.push({ record: layout.name, ...layouts.decode(layout, bytes) });
  }
  return records;
}

function encodeMessage(...records) {
  const payload = Buffer.concat(
    records.map(([name, fields]) => {
      const value = layouts.encode(name, fields);
      return Buffer.concat([Buffer.from([layouts.byName.get(name).type, value.length]), value]);
    }),
  );
  const fields = { magic: MAGIC, domain: DOMAIN_SYSTEM, version: VERSION, source: SOURCE_CLIENT };
  const header = layouts.encode("Header", { ...fields, payload_size: payload.length });
  header.writeUInt32LE(crc32(header.subarray(0, CHECKSUM_OFFSET), payload), CHECKSUM_OFFSET);
  return Buffer.concat([header, payload]);
}

function helloMessage() {
  let types = 0n;
  for (const type of options.types.split(",").filter(Boolean)) types |= 1n << BigInt(type);
  const start = options.from ? STARTS.sequence : STARTS[options.start];
  const at_least_once = Number(options["at-least-once"]);
  const records = [["Subscribe", { layout_digest: layouts.digest, types, start, at_least_once, name: options.name }]];
  if (options.from) records.push(["Resume", { sequence: options.from }]);
  if (options.pool) records.push(["Filter", { kind: FILTER_POOL, address: options.pool }]);
  return encodeMessage(...records);
}

// What this connection was told so far: the rings by index, each with the next sequence it must speak of, and the
// batch whose messages are still coming.
class Stream {
  constructor(send, print) {
    this.send = send;
    this.print = print;
    this.rings = new Map();
    this.batch = null;
  }

  take(header, records) {
    if (header.source !== SOURCE_RELAY) return this.takeFromRing(header, records);
    for (const record of records) {
      if (record.record === "Farewell") return this.print({ kind: "farewell", ...record });
      require_(!this.batch?.missing, `${record.record} inside the run of a Batch`);
      if (record.record === "SubscribeAck") this.startRing(record);
      if (record.record === "Batch") this.startBatch(record);
      if (record.record === "Gap") this.takeGap(record);
      if (record.record === "RingReplaced") this.print({ kind: "replaced", ...record });
      if (record.record === "Heartbeat") this.print({ kind: "heartbeat" });
    }
  }

  startRing({ ring_index, ring_name, ring_uuid, first_sequence, layout_digest }) {
    require_(BigInt(layout_digest) === layouts.digest, `the ring ${ring_name} has layouts ${layout_digest}`);
    this.rings.set(ring_index, { name: ring_name, uuid: ring_uuid, next: BigInt(first_sequence) });
    this.print({ kind: "ring", ring: ring_name, uuid: ring_uuid, first: first_sequence });
  }

  startBatch({ ring_index, first, last, count }) {
    const ring = this.rings.get(ring_index);
    require_(ring, `Batch of ring ${ring_index}, which no SubscribeAck named`);
    const span = BigInt(last) - BigInt(first) + 1n;
    require_(BigInt(count) <= span, `Batch of ${count} messages for ${first} to ${last}`);
    this.advance(ring, first, last);
    this.batch = { ring, next: BigInt(first), last: BigInt(last), missing: count, dense: BigInt(count) === span };
    if (count === 0) this.finishBatch();
  }

  takeFromRing(header, records) {
    require_(this.batch?.missing, `message ${header.sequence} of source ${header.source} outside of any Batch`);
    const { batch } = this;
    const sequence = batch.dense ? batch.next.toString() : header.sequence;
    const { source, flags } = header;
    this.print({ kind: "message", ring: batch.ring.name, sequence, source, flags, records });
    batch.next += 1n;
    batch.missing -= 1;
    if (batch.missing === 0) this.finishBatch();
  }

  takeGap({ first, last, reason }) {
    require_(this.batch, "Gap before any Batch");
    const { ring } = this.batch;
    this.advance(ring, first, last);
    this.print({ kind: "gap", ring: ring.name, first, last, reason });
    this.acknowledge(ring, last);
  }

  finishBatch() {
    this.acknowledge(this.batch.ring, this.batch.last);
  }

  advance(ring, first, last) {
    require_(BigInt(first) === ring.next, `${ring.name} goes on at ${first}, expected ${ring.next}`);
    ring.next = BigInt(last) + 1n;
  }

  acknowledge(ring, sequence) {
    if (options.name) this.send(encodeMessage(["Ack", { sequence, ring_uuid: ring.uuid }]));
    if (options.until && ring.next > BigInt(options.until)) leave(0);
  }
}

// Not through process.stdout, which may still hold lines in memory when it is left.
function printLine(line) {
  let bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  while (bytes.length) bytes = bytes.subarray(writeSync(1, bytes));
}

const socket = connect(options.socket);
const stream = new Stream(
  (bytes) => socket.write(bytes),
  (line) => {
    printLine(line);
    if (line.kind === "farewell") leave(2);
  },
);
let buffered = Buffer.alloc(0);

function leave(code, reason) {
  if (reason) console.error(reason);
  process.exitCode = code;
  socket.removeAllListeners("data");
  socket.end(() => process.exit(code));
}

function takeBytes(chunk) {
  buffered = buffered.length ? Buffer.concat([buffered, chunk]) : chunk;
  while (buffered.length >= HEADER.size && process.exitCode === undefined) {
    const header = layouts.decode(HEADER, buffered);
    require_(header.magic === MAGIC && header.version === VERSION, `magic ${header.magic}, version ${header.version}`);
    const size = HEADER.size + header.payload_size;
    require_(size <= MAX_MESSAGE, `message of ${size} bytes`);
    if (buffered.length < size) return;
    const payload = buffered.subarray(HEADER.size, size);
    const found = crc32(buffered.subarray(0, CHECKSUM_OFFSET), payload);
    require_(found === header.checksum, `checksum ${header.checksum}, expected ${found}, sequence ${header.sequence}`);
    buffered = buffered.subarray(size);
    stream.take(header, decodeRecords(payload));
  }
}

socket.setTimeout(SILENCE_MS, () => leave(2, "the relay said nothing for 5 seconds"));
socket.on("connect", () => socket.write(helloMessage()));
socket.on("error", (error) => leave(2, error.message));
socket.on("close", () => process.exit(process.exitCode ?? 2));
socket.on("data", (chunk) => {
  try {
    takeBytes(chunk);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    leave(1, error.message);
  }
});
