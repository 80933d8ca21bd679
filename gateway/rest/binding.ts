/**
 * Binds operations to REST: a method and a path for each name. A path has one variable segment at
 * most, the second: `/deliveries/{id}/accept`; it is what the operation is about.
 */
import type { OperationName } from "../operations/table.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type Binding = {
  readonly method: Method;
  readonly path: string;
  /** Only where the gateway has partners and webhooks (`Deps.outward`). */
  readonly isOutward?: true;
};

export const REST: Readonly<Record<OperationName, Binding>> = {
  quoteDelivery: { method: "POST", path: "/quotes" },
  createDelivery: { method: "POST", path: "/deliveries" },
  getDelivery: { method: "GET", path: "/deliveries/{id}" },
  listDeliveries: { method: "GET", path: "/deliveries" },
  changeDelivery: { method: "PATCH", path: "/deliveries/{id}" },
  cancelDelivery: { method: "POST", path: "/deliveries/{id}/cancel" },
  availableDeliveries: { method: "GET", path: "/deliveries/available" },
  acceptDelivery: { method: "POST", path: "/deliveries/{id}/accept" },
  declineDelivery: { method: "POST", path: "/deliveries/{id}/decline" },
  reportStatus: { method: "POST", path: "/deliveries/{id}/status" },
  setShift: { method: "POST", path: "/couriers/me/shift" },
  reportLocation: { method: "POST", path: "/couriers/me/location" },
  putCourier: { method: "PUT", path: "/couriers/{id}" },
  listCouriers: { method: "GET", path: "/couriers" },
  getLedger: { method: "GET", path: "/deliveries/{id}/ledger" },
  revoke: { method: "POST", path: "/revocations" },
  listWebhooks: { method: "GET", path: "/webhooks", isOutward: true },
  addWebhook: { method: "POST", path: "/webhooks", isOutward: true },
  removeWebhook: { method: "DELETE", path: "/webhooks/{id}", isOutward: true },
  rotateWebhook: { method: "POST", path: "/webhooks/{id}/rotate", isOutward: true },
  listWebhookMessages: { method: "GET", path: "/webhooks/{id}/messages", isOutward: true },
  resendWebhookMessages: { method: "POST", path: "/webhooks/{id}/resend", isOutward: true },
};
