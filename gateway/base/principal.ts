/**
 * Who calls, as every part behind the doors sees it: made by `auth.ts` out of a checked credential
 * and by nothing else.
 */
import type { CourierId, DeliveryId, Millis, PrincipalId } from "../../proto/ids.ts";

/** Who calls. `expiresAt`: from then on the credential says nothing any more. */
export type Principal = (
  | { readonly role: "courier"; readonly subject: CourierId; readonly expiresAt: Millis }
  | {
      readonly role: "customer" | "partner" | "operator";
      readonly subject: PrincipalId;
      readonly expiresAt: Millis;
    }
  /** A tracking link: its subject is the one delivery that it may read. */
  | { readonly role: "tracking"; readonly subject: DeliveryId; readonly expiresAt: Millis }
) & {
  /**
   * When the credential was made, and its name: what a revocation goes by. Without the first it is
   * as old as can be.
   */
  readonly issuedAt?: Millis;
  readonly jti?: string;
};

/** A principal's name in limits and revocations: roles share no names. */
export const nameOf = ({ role, subject }: Pick<Principal, "role" | "subject">): string =>
  `${role}:${subject}`;
