/**
 * The opaque cursor of a list: where the last page ended. It carries nothing that the caller has
 * not seen, and the query is always restricted to what the caller may see, so it is checked but not
 * signed.
 */
import { isDeliveryId } from "../../proto/ids.ts";
import type { DeliveryId, Millis } from "../../proto/ids.ts";

export type Position = { readonly createdAt: Millis; readonly id: DeliveryId };

const CURSOR_MAX_CHARS = 80;
const CONTENT = /^(\d{1,14})\.(del_[0-9a-z]{23})$/;

/** The cursor after a row. */
export const encodeCursor = ({ createdAt, id }: Position): string =>
  Buffer.from(`${createdAt}.${id}`).toString("base64url");

/** The position of a cursor; null when it is none of ours. */
export function decodeCursor(text: string): Position | null {
  if (text.length > CURSOR_MAX_CHARS) return null;
  const match = CONTENT.exec(Buffer.from(text, "base64url").toString("latin1"));
  if (match === null) return null;
  const [, createdAt, id] = match as unknown as [string, string, string];
  if (!isDeliveryId(id)) return null;
  const position = { createdAt: Number(createdAt), id };
  // Other texts decode to the same bytes (trailing bits); only the one that we made counts.
  return encodeCursor(position) === text ? position : null;
}
