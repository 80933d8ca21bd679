/**
 * Walks untrusted MessagePack bytes without building anything, and says whether they are exactly
 * one value within bounds. It runs before msgpackr, because a decoder that trusts a length header
 * can be made to take gigabytes by a kilobyte. Format:
 * https://github.com/msgpack/msgpack/blob/master/spec.md
 */
type Bounds = { readonly bytesMax: number; readonly depthMax: number; readonly itemsMax: number };

/**
 * True when `bytes` is one complete value: no extension types, no trailing bytes, within the
 * bounds.
 */
export function isWellFormed(bytes: Uint8Array, bounds: Bounds): boolean {
  if (bytes.length === 0 || bytes.length > bounds.bytesMax) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const remaining: number[] = [1]; // items still to come at each open depth
  let at = 0;
  let items = 0;
  while (remaining.length > 0) {
    const depth = remaining.length - 1;
    if (remaining[depth] === 0) {
      remaining.pop();
      continue;
    }
    (remaining[depth] as number)--;
    if (at >= bytes.length || ++items > bounds.itemsMax) return false;
    const head = header(view, at);
    if (head === null) return false;
    at += head.size;
    if (at > bytes.length) return false;
    if (head.children === 0) continue;
    // Each child takes a byte at least: a header that promises more than is left is a lie.
    if (head.children > bytes.length - at || remaining.length > bounds.depthMax) return false;
    remaining.push(head.children);
  }
  return at === bytes.length;
}

/** `size`: bytes of the head and of its own payload; `children`: values that must follow. */
type Head = { readonly size: number; readonly children: number };

function header(view: DataView, at: number): Head | null {
  const byte = view.getUint8(at);
  if (byte <= 0x7f || byte >= 0xe0) return { size: 1, children: 0 };
  if (byte <= 0x8f) return { size: 1, children: (byte & 0x0f) * 2 };
  if (byte <= 0x9f) return { size: 1, children: byte & 0x0f };
  if (byte <= 0xbf) return { size: 1 + (byte & 0x1f), children: 0 };
  return longHeader(view, at, byte);
}

const FIXED_SIZE: Readonly<Record<number, number>> = {
  0xc0: 1,
  0xc2: 1,
  0xc3: 1,
  0xca: 5,
  0xcb: 9,
  0xcc: 2,
  0xcd: 3,
  0xce: 5,
  0xcf: 9,
  0xd0: 2,
  0xd1: 3,
  0xd2: 5,
  0xd3: 9,
};

/** Width in bytes of the length that follows, and what the length counts. */
const SIZED: Readonly<Record<number, { width: 1 | 2 | 4; of: "bytes" | "items" | "pairs" }>> = {
  0xc4: { width: 1, of: "bytes" },
  0xc5: { width: 2, of: "bytes" },
  0xc6: { width: 4, of: "bytes" },
  0xd9: { width: 1, of: "bytes" },
  0xda: { width: 2, of: "bytes" },
  0xdb: { width: 4, of: "bytes" },
  0xdc: { width: 2, of: "items" },
  0xdd: { width: 4, of: "items" },
  0xde: { width: 2, of: "pairs" },
  0xdf: { width: 4, of: "pairs" },
};

function longHeader(view: DataView, at: number, byte: number): Head | null {
  const fixed = FIXED_SIZE[byte];
  if (fixed !== undefined) return { size: fixed, children: 0 };
  const sized = SIZED[byte];
  if (sized === undefined || at + 1 + sized.width > view.byteLength) return null;
  const length =
    sized.width === 1
      ? view.getUint8(at + 1)
      : sized.width === 2
        ? view.getUint16(at + 1)
        : view.getUint32(at + 1);
  if (sized.of === "bytes") return { size: 1 + sized.width + length, children: 0 };
  return { size: 1 + sized.width, children: sized.of === "pairs" ? length * 2 : length };
}
