/**
 * Webhooks: an owner's addresses, what became of the messages to them, and sending the dead ones
 * again. Operators see all of them, a partner its own; another's does not exist for it. A secret
 * is shown when it is made.
 */
import { randomUUID } from "node:crypto";
import type { WebhookMessageRow, WebhookRow } from "../../engine/store/webhooks.ts";
import { DispatchError } from "../../proto/errors.ts";
import {
  PAGE_MAX_ROWS,
  WEBHOOKS_PER_OWNER_MAX,
  WEBHOOK_OLD_SECRET_MS,
} from "../../proto/limits.ts";
import type { Outward } from "../base/deps.ts";
import type { Principal } from "../base/principal.ts";
import { fieldProblem } from "../base/problem.ts";
import { removedAnswer, resentAnswer, webhookMessagesAnswer } from "./answers.ts";
import { webhookSecretAnswer, webhooksAnswer } from "./answers.ts";
import { nothing, resendBody, webhookBody, webhookMessagesQuery } from "./schemas.ts";
import { timeText } from "../views/delivery-view.ts";
import { newSecret } from "../events/webhooks/signature.ts";
import { TargetError, targetOf } from "../events/webhooks/target.ts";
import { operation, outwardOf } from "./operation.ts";
import type { Call } from "./operation.ts";

const ROLES = ["operator", "partner"] as const;

export const listWebhooks = operation({
  summary: "Webhook addresses.",
  answers: { 200: webhooksAnswer },
  errors: [],
  roles: ROLES,
  kind: "read",
  body: null,
  query: null,
  keyed: null,
  async run(parts, { principal }) {
    const { store } = outwardOf(parts);
    const rows = await store.webhooks.all(ownerOf(principal));
    return { status: 200, body: { webhooks: rows.map(viewOf) } };
  },
});

export const addWebhook = operation({
  summary:
    "Have the events of an owner's deliveries posted to an address. The secret is shown once.",
  answers: { 201: webhookSecretAnswer },
  errors: ["invalid_field", "identity_mismatch", "limit_reached"],
  roles: ROLES,
  kind: "command",
  body: webhookBody,
  query: null,
  keyed: { how: "kept", scope: "POST /webhooks" },
  async run(parts, { principal, body }) {
    const { store } = outwardOf(parts);
    const own = ownerOf(principal);
    const owner = own ?? body.owner;
    if (owner === undefined) throw fieldProblem("/owner", "invalid_field", "Say whose deliveries.");
    if (body.owner !== undefined && body.owner !== owner) {
      throw fieldProblem("/owner", "identity_mismatch");
    }
    checkUrl(body.url, outwardOf(parts).webhookTargets);
    const others = await store.webhooks.all(owner);
    if (others.length >= WEBHOOKS_PER_OWNER_MAX) throw new DispatchError("limit_reached");
    const id = `whk_${randomUUID().replaceAll("-", "")}`;
    await store.webhooks.add({ id, owner, url: body.url, secret: newSecret() });
    return { status: 201, body: await withSecret(store, id) };
  },
});

export const removeWebhook = operation({
  summary: "Remove an address, with what waits for it.",
  answers: { 200: removedAnswer },
  errors: ["not_found"],
  roles: ROLES,
  kind: "command",
  body: null,
  query: null,
  keyed: null,
  async run(parts, call) {
    const { store } = outwardOf(parts);
    const { id } = await ownOne(store, call);
    await store.webhooks.remove(id);
    return { status: 200, body: { removed: true } };
  },
});

export const rotateWebhook = operation({
  summary: "A new secret; the one so far signs as well for a day.",
  answers: { 200: webhookSecretAnswer },
  errors: ["not_found"],
  roles: ROLES,
  kind: "command",
  body: nothing,
  query: null,
  keyed: { how: "kept", scope: "POST /webhooks/{id}/rotate" },
  async run(parts, call) {
    const { store } = outwardOf(parts);
    const { id } = await ownOne(store, call);
    await store.webhooks.rotate(id, newSecret(), WEBHOOK_OLD_SECRET_MS);
    return { status: 200, body: await withSecret(store, id) };
  },
});

export const listWebhookMessages = operation({
  summary: "What was given up (`dead`, the default), waits, or was sent; newest first.",
  answers: { 200: webhookMessagesAnswer },
  errors: ["not_found"],
  roles: ROLES,
  kind: "read",
  body: null,
  query: webhookMessagesQuery,
  keyed: null,
  async run(parts, call) {
    const { store } = outwardOf(parts);
    const { id } = await ownOne(store, call);
    const state = call.query.state ?? "dead";
    const rows = await store.webhooks.messages(id, state, PAGE_MAX_ROWS);
    return { status: 200, body: { messages: rows.map(messageView) } };
  },
});

export const resendWebhookMessages = operation({
  summary: "Send what was given up once more: of one delivery, or all.",
  answers: { 200: resentAnswer },
  errors: ["not_found"],
  roles: ROLES,
  kind: "command",
  body: resendBody,
  query: null,
  keyed: { how: "kept", scope: "POST /webhooks/{id}/resend" },
  async run(parts, call) {
    const { store } = outwardOf(parts);
    const { id } = await ownOne(store, call);
    const resent = await store.webhooks.resend(id, call.body.delivery_id ?? null);
    return { status: 200, body: { resent } };
  },
});

/** Whose addresses the caller may touch; null: everybody's. */
function ownerOf(principal: Principal): string | null {
  if (principal.role === "operator") return null;
  if (principal.role === "partner") return principal.subject;
  throw new DispatchError("forbidden");
}

async function ownOne(store: Outward["store"], call: Call): Promise<WebhookRow> {
  const owner = ownerOf(call.principal);
  const row = await store.webhooks.one(call.id);
  if (row === null || (owner !== null && row.owner !== owner)) throw new DispatchError("not_found");
  return row;
}

function checkUrl(url: string, targets: Outward["webhookTargets"]): void {
  try {
    targetOf(url, targets);
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    throw fieldProblem("/url", "invalid_field", error.message);
  }
}

const viewOf = ({ id, owner, url, created_at, disabled_reason }: WebhookRow) => ({
  id,
  owner,
  url,
  created_at: timeText(created_at),
  disabled_reason,
});

async function withSecret(store: Outward["store"], id: string) {
  const row = await store.webhooks.one(id);
  if (row === null) throw new DispatchError("not_found");
  if (row.secret === null) throw new Error("a secret just made cannot be opened");
  return { ...viewOf(row), secret: row.secret };
}

const messageView = (row: WebhookMessageRow) => ({
  ...row,
  created_at: timeText(row.created_at),
  due_at: timeText(row.due_at),
  ended_at: row.ended_at === null ? null : timeText(row.ended_at),
});
