/**
 * Binds operations to NATS, for partners: an action of the subject for each name. A request is one
 * body, so the delivery's id and a list's parameters stand in it; `input` takes them apart.
 */
import type { z } from "zod";
import type { OperationName } from "../operations/table.ts";
import {
  createBody,
  partnerCancelBody,
  partnerGetBody,
  partnerListBody,
} from "../operations/schemas.ts";
import { partnerUpdateBody, quotedCreateBody } from "../operations/schemas.ts";
import type { PartnerAction } from "../../proto/subjects.ts";

/** The parts of a body that passed the binding's schema. */
export type PartnerInput = {
  readonly id: string;
  readonly body: unknown;
  readonly query: unknown;
  /** Whether the body as it came stands for the operation's own, in the fingerprint of a key. */
  readonly isWhole: boolean;
};

export type PartnerBinding = {
  readonly operation: OperationName;
  readonly body: z.ZodType;
  readonly input: (body: unknown) => PartnerInput;
};

const binding = <B extends z.ZodType>(
  operation: OperationName,
  body: B,
  input: (body: z.infer<B>) => Partial<PartnerInput>,
): PartnerBinding => ({
  operation,
  body,
  input: (value) => {
    const nothing = { id: "", body: null, query: null, isWhole: false };
    return { ...nothing, ...input(value as z.infer<B>) };
  },
});

const whole = (body: unknown): Partial<PartnerInput> => ({ body, isWhole: true });

export const PARTNER_BINDINGS: Readonly<Record<PartnerAction, PartnerBinding>> = {
  quote: binding("quoteDelivery", createBody, whole),
  create: binding("createDelivery", quotedCreateBody, whole),
  update: binding("changeDelivery", partnerUpdateBody, ({ delivery_id: id, ...body }) => ({
    id,
    body,
  })),
  cancel: binding("cancelDelivery", partnerCancelBody, ({ delivery_id: id, ...body }) => ({
    id,
    body,
  })),
  get: binding("getDelivery", partnerGetBody, ({ delivery_id: id }) => ({ id })),
  list: binding("listDeliveries", partnerListBody, ({ limit, ...query }) => ({
    query: limit === undefined ? query : { ...query, limit: String(limit) },
  })),
};
