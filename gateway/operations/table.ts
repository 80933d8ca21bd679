/**
 * The table of operations: everything that a client can ask for, by its name. The doors bind to
 * these names (`rest/binding.ts`, `partners/binding.ts`, `frame-service.ts`); OpenAPI, AsyncAPI and
 * the parity test are made from the same rows. A new operation is a row here, its function in the
 * file of its noun, and one line in the binding of each door that offers it.
 */
import * as couriers from "./couriers.ts";
import * as deliveries from "./deliveries.ts";
import type { Operation } from "./operation.ts";
import * as operators from "./operators.ts";
import * as webhooks from "./webhooks.ts";

const TABLE = {
  quoteDelivery: deliveries.quoteDelivery,
  createDelivery: deliveries.createDelivery,
  getDelivery: deliveries.getDelivery,
  listDeliveries: deliveries.listDeliveries,
  changeDelivery: deliveries.changeDelivery,
  cancelDelivery: deliveries.cancelDelivery,
  availableDeliveries: couriers.availableDeliveries,
  acceptDelivery: couriers.acceptDelivery,
  declineDelivery: couriers.declineDelivery,
  reportStatus: couriers.reportStatus,
  setShift: couriers.setShift,
  reportLocation: couriers.reportLocation,
  putCourier: operators.putCourier,
  listCouriers: operators.listCouriers,
  getLedger: operators.getLedger,
  revoke: operators.revoke,
  listWebhooks: webhooks.listWebhooks,
  addWebhook: webhooks.addWebhook,
  removeWebhook: webhooks.removeWebhook,
  rotateWebhook: webhooks.rotateWebhook,
  listWebhookMessages: webhooks.listWebhookMessages,
  resendWebhookMessages: webhooks.resendWebhookMessages,
} as const;

export type OperationName = keyof typeof TABLE;
export const OPERATIONS: Readonly<Record<OperationName, Operation>> = TABLE;
/** Order of the table: that of the descriptions. */
export const OPERATION_NAMES = Object.keys(TABLE) as readonly OperationName[];
