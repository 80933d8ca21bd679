/**
 * Secrets at rest: what must be read again (a webhook's secret signs) and so cannot be a hash is
 * kept sealed, by AES-256-GCM under a key that is derived from the signing key of the settings
 * (HKDF, RFC 5869). Whoever reads the database or a dump of it reads no secret. The context, such
 * as the row's id, is authenticated: a sealed text that was moved to another row does not open.
 *
 * While signing keys are exchanged, both open and the current one seals; `webhooks/sealed.ts` seals
 * anew what is under the key before. A text that was never sealed opens as it is: rows of before.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { systemRandom } from "../../engine/io/random.ts";
import { keyId } from "../token.ts";

export type SecretBox = {
  readonly seal: (text: string, context: string) => string;
  /** Null: sealed under a key that is not here, for another context, or damaged. */
  readonly open: (text: string, context: string) => string | null;
  /** Whether it is sealed, and under the current key. */
  readonly isCurrent: (text: string) => boolean;
};

const MARK = "sealed1";
const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const derive = (key: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", key, "", "hexdispatch secrets at rest", KEY_BYTES));

/** `keys`: as in `createAuth`. */
export function createSecretBox([current, previous]: readonly [string, string?]): SecretBox {
  const byId = new Map([[keyId(current), derive(current)]]);
  if (previous !== undefined) byId.set(keyId(previous), derive(previous));
  const currentId = keyId(current);
  return {
    seal(text, context) {
      const nonce = systemRandom(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, byId.get(currentId) as Uint8Array, nonce);
      cipher.setAAD(Buffer.from(context));
      const sealed = [nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()];
      return `${MARK}.${currentId}.${Buffer.concat(sealed).toString("base64url")}`;
    },
    open(text, context) {
      const [mark, id = "", data = ""] = text.split(".");
      if (mark !== MARK) return text;
      const key = byId.get(id);
      const bytes = Buffer.from(data, "base64url");
      if (key === undefined || bytes.length < NONCE_BYTES + TAG_BYTES) return null;
      return decipher(key, bytes, context);
    },
    isCurrent: (text) => text.startsWith(`${MARK}.${currentId}.`),
  };
}

function decipher(key: Uint8Array, bytes: Buffer, context: string): string | null {
  const cipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES));
  cipher.setAAD(Buffer.from(context));
  cipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    const text = cipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
    return Buffer.concat([text, cipher.final()]).toString();
  } catch {
    return null; // Not what was sealed, or not for here.
  }
}
