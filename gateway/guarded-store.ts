/**
 * The store behind the circuit: what a gateway asks of Postgres is refused at once while Postgres is away. What only nodes
 * ask passes through as it is; a gateway does not ask it.
 */
import type { Store } from "../engine/store/port.ts";
import type { Circuit } from "./circuit.ts";

export function guardedStore(store: Store, circuit: Pick<Circuit, "run">): Store {
  const guard =
    <A extends readonly unknown[], R>(ask: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      circuit.run(() => ask(...args));
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
