/**
 * For tests on the wire: reads HTTP answers off a byte stream, strictly. It is a reader for tests,
 * of what our door or a proxy in front of it sends; nothing in the product parses HTTP by hand.
 */
export type WireAnswer = {
  readonly version: string;
  readonly status: number;
  /** By lower-case name; repeated ones joined with a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
};
/**
 * What stands at the beginning: an answer and how many bytes it took, nothing whole yet, or no
 * HTTP.
 */
export type Read =
  | { readonly answer: WireAnswer; readonly size: number }
  | "more"
  | { readonly wrong: string };

const HEAD_END = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");

/**
 * `method`: of the request that is answered. `isEnd`: the other side has ended, so a body without a
 * length is whole.
 */
export function readAnswer(bytes: Buffer, method: string, isEnd: boolean): Read {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return "more";
  const [first = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const parts = /^HTTP\/(\d\.\d) (\d{3}) /.exec(`${first} `);
  if (parts === null) return { wrong: `no status line: ${JSON.stringify(first.slice(0, 80))}` };
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) return { wrong: `no header field: ${JSON.stringify(line)}` };
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]},${value}`;
  }
  const head = { version: parts[1] as string, status: Number(parts[2]), headers };
  const start = end + HEAD_END.length;
  const body = readBody(bytes.subarray(start), head, method, isEnd);
  if (body === "more" || "wrong" in body) return body;
  return { answer: { ...head, body: body.content }, size: start + body.size };
}

type Body = { readonly content: Buffer; readonly size: number } | "more" | { wrong: string };

function readBody(
  rest: Buffer,
  { status, headers }: Omit<WireAnswer, "body">,
  method: string,
  isEnd: boolean,
): Body {
  const length = headers["content-length"];
  const isBodyless = status === 204 || status === 304 || status < 200;
  if (status === 204 && length !== undefined) return { wrong: `a 204 of ${length} bytes` };
  if (isBodyless || method === "HEAD") return { content: Buffer.alloc(0), size: 0 };
  if (headers["transfer-encoding"] !== undefined) return readChunks(rest);
  if (length === undefined) return isEnd ? { content: rest, size: rest.length } : "more";
  const size = Number(length);
  if (!Number.isSafeInteger(size)) return { wrong: `a length of ${length}` };
  return rest.length < size ? "more" : { content: rest.subarray(0, size), size };
}

function readChunks(rest: Buffer): Body {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const end = rest.indexOf(LINE_END, at);
    if (end < 0) return "more";
    const size = Number.parseInt(rest.subarray(at, end).toString("latin1"), 16);
    if (!(size >= 0)) return { wrong: "no chunk size" };
    const next = end + 2 + size + 2;
    if (rest.length < next) return "more";
    if (size === 0) return { content: Buffer.concat(chunks), size: next };
    chunks.push(rest.subarray(end + 2, end + 2 + size));
    at = next;
  }
}
