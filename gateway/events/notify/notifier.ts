/**
 * The port through which customers are told: what a provider of texts or pushes must do. Adapters
 * live beside it.
 */

/** What happened, in the words of the event; a provider has its own text for each. */
export const NOTICE_KINDS = [
  "assigned",
  "reassigned",
  "picked_up",
  "delivered",
  "canceled",
  "unfilled",
  "returned",
] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

export type Notice = {
  /** The same for every attempt: a provider that takes idempotency keys is given this. */
  readonly id: string;
  readonly kind: NoticeKind;
  /**
   * Telephone numbers as they were given: the customer's, and the recipient's where there is one.
   */
  readonly to: readonly string[];
  readonly deliveryId: string;
  readonly externalId: string | null;
  /** The courier's first name, while it carries the delivery. */
  readonly courier: string | null;
  /** A sentence in English, for providers without texts of their own. */
  readonly text: string;
  /** RFC 3339. */
  readonly at: string;
};

/** Why a notice did not go out. `isFinal`: no later attempt can do better. */
export class NoticeError extends Error {
  override readonly name = "NoticeError";
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean, cause?: unknown) {
    super(message, { cause });
    this.isFinal = isFinal;
  }
}

export type Notifier = {
  /**
   * Resolves when the provider has taken it. Rejects with NoticeError, or anything else for "try
   * again".
   */
  readonly send: (notice: Notice) => Promise<void>;
};
