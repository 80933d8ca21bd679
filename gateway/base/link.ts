/**
 * A verified connection as the parts behind it see it: who it is and how to write to it. What may
 * not be lost ends the connection when it is dropped, so that the client comes back and asks again;
 * positions may be skipped.
 */
import type { SessionId } from "../../proto/ids.ts";
import type { ServerFrame } from "../../proto/frames.ts";
import type { Principal } from "./principal.ts";

export type Link = {
  readonly id: SessionId;
  readonly principal: Principal;
  /** False once it has ended: whoever waited for something must not begin anything for it. */
  readonly isOpen: () => boolean;
  /** A frame that may not be lost. */
  readonly send: (frame: ServerFrame) => void;
  /** The same, encoded once for several readers. */
  readonly sendBytes: (bytes: Uint8Array) => void;
  /** What may be skipped: false when it was, because the reader is behind. */
  readonly offer: (bytes: Uint8Array) => boolean;
};
