/**
 * The store behind the circuit: what a gateway asks of Postgres is refused at once while Postgres
 * is away. What only nodes ask passes through as it is; a gateway does not ask it.
 */
import type { Store } from "../../engine/store/port.ts";
import type { Circuit } from "./postgres-circuit.ts";
import type { Outward } from "../base/deps.ts";

type Guard = <A extends readonly unknown[], R>(
  ask: (...args: A) => Promise<R>,
) => (...args: A) => Promise<R>;
const guardOf =
  (circuit: Pick<Circuit, "run">): Guard =>
  (ask) =>
  (...args) =>
    circuit.run(() => ask(...args));

export function guardedStore(store: Store, circuit: Pick<Circuit, "run">): Store {
  const guard = guardOf(circuit);
  return {
    ...store,
    create: guard(store.create.bind(store)),
    accept: guard(store.accept.bind(store)),
    status: guard(store.status.bind(store)),
    cancel: guard(store.cancel.bind(store)),
    putCourier: guard(store.putCourier.bind(store)),
    storedAnswer: guard(store.storedAnswer.bind(store)),
    keepAnswer: guard(store.keepAnswer.bind(store)),
    delivery: guard(store.delivery.bind(store)),
    deliveryByTracking: guard(store.deliveryByTracking.bind(store)),
    deliveries: guard(store.deliveries.bind(store)),
    available: guard(store.available.bind(store)),
    courier: guard(store.courier.bind(store)),
    couriers: guard(store.couriers.bind(store)),
    activeOfCourier: guard(store.activeOfCourier.bind(store)),
    lastKnown: guard(store.lastKnown.bind(store)),
  };
}

/**
 * The same of partners and webhooks, as operations ask; what sends webhooks has patience of its
 * own.
 */
export function guardedOutward(outward: Outward, circuit: Pick<Circuit, "run">): Outward {
  const guard = guardOf(circuit);
  const { store } = outward;
  const { webhooks } = store;
  return {
    ...outward,
    store: {
      ...store,
      partners: guard(store.partners.bind(store)),
      changeDetails: guard(store.changeDetails.bind(store)),
      webhooks: {
        ...webhooks,
        all: guard(webhooks.all.bind(webhooks)),
        one: guard(webhooks.one.bind(webhooks)),
        add: guard(webhooks.add.bind(webhooks)),
        remove: guard(webhooks.remove.bind(webhooks)),
        rotate: guard(webhooks.rotate.bind(webhooks)),
        messages: guard(webhooks.messages.bind(webhooks)),
        resend: guard(webhooks.resend.bind(webhooks)),
      },
    },
  };
}
