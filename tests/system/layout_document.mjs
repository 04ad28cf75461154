// Records as LAYOUT.md describes them: reads its tables, and turns bytes into fields and fields into bytes by them.
//
// It knows no offset, size or type of its own, so what the document gets wrong, the client that uses this gets wrong.
// Integers of up to 32 bits become numbers; wider ones decimal strings, since a JavaScript number holds 53 bits.

const HEADING = /^### (\w+) \((?:type (\d+), )?(\d+) bytes\)$/;
const ROW = /^\| (\d+) \| (\w+) \| `(\w+)` \|$/;
const DIGEST = /Layout digest: `(0x[0-9a-f]+)`/;
const WIDTH = { address: 20, hash: 32, pool_id: 32, uuid: 16 };
const NO_ID = "00".repeat(12); // behind the address of a pool that is named by one

export class Layouts {
  constructor(markdown) {
    this.digest = BigInt(markdown.match(DIGEST)[1]);
    this.byName = new Map();
    this.byType = new Map();
    let layout = null;
    for (const line of markdown.split("\n")) {
      const heading = line.match(HEADING);
      const row = line.match(ROW);
      if (heading) {
        layout = { name: heading[1], type: Number(heading[2] ?? 0), size: Number(heading[3]), fields: [] };
        this.byName.set(layout.name, layout);
        if (heading[2]) this.byType.set(layout.type, layout);
      } else if (line.startsWith("#")) {
        layout = null;
      } else if (row && layout) {
        layout.fields.push({ offset: Number(row[1]), kind: row[2], name: row[3] });
      }
    }
  }

  decode(layout, bytes) {
    return Object.fromEntries(layout.fields.map((field) => [field.name, readField(bytes, field)]));
  }

  encode(name, values) {
    const layout = this.byName.get(name);
    const bytes = Buffer.alloc(layout.size);
    for (const [field, value] of Object.entries(values)) {
      const described = layout.fields.find((candidate) => candidate.name === field);
      if (!described) throw new Error(`LAYOUT.md has no field ${field} in ${name}`);
      writeField(bytes, described, value);
    }
    return bytes;
  }
}

function shape(kind) {
  const integer = kind.match(/^([ui])(\d+)$/);
  if (integer) return { integer: true, signed: integer[1] === "i", width: Number(integer[2]) / 8 };
  const sized = kind.match(/^(text|bytes)(\d+)$/);
  if (sized) return { text: sized[1] === "text", width: Number(sized[2]) };
  if (kind in WIDTH) return { width: WIDTH[kind] };
  throw new Error(`LAYOUT.md has a kind that it does not explain: ${kind}`);
}

function readField(bytes, { offset, kind }) {
  const { integer, signed, text, width } = shape(kind);
  const raw = bytes.subarray(offset, offset + width);
  if (text) return raw.toString("utf8").replace(/\0+$/, "");
  if (!integer) {
    const hex = raw.toString("hex");
    return `0x${kind === "pool_id" && hex.endsWith(NO_ID) ? hex.slice(0, 40) : hex}`;
  }
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(raw[i]);
  if (signed) value = BigInt.asIntN(width * 8, value);
  return width <= 4 ? Number(value) : value.toString();
}

function writeField(bytes, { offset, kind }, value) {
  const { integer, text, width } = shape(kind);
  if (integer) {
    let rest = BigInt.asUintN(width * 8, BigInt(value));
    for (let i = 0; i < width; i++, rest >>= 8n) bytes[offset + i] = Number(rest & 255n);
    return;
  }
  const raw = text ? Buffer.from(value, "utf8") : Buffer.from(value.replace(/^0x/, ""), "hex");
  if (raw.length > width) throw new Error(`${raw.length} bytes do not fit ${kind}`);
  raw.copy(bytes, offset);
}
