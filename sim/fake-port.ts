/**
 * The store in memory behind the port, for the contract suite and for whoever awaits. Unlike the
 * real one it never fails.
 */
import type { Store } from "../engine/store/port.ts";
import type { FakeStore } from "./fake-store.ts";

export const asStore = (fake: FakeStore): Store => ({
  create: async (command) => fake.create(command),
  accept: async (command) => fake.accept(command),
  status: async (command) => fake.status(command),
  cancel: async (command) => fake.cancel(command),
  putCourier: async (courier) => fake.putCourier(courier),
  storedAnswer: async (key) => fake.storedAnswer(key),
  keepAnswer: async (key, status, body) => fake.keepAnswer(key, status, body),
  delivery: async (id) => fake.delivery(id),
  deliveryByTracking: async (hash) => fake.deliveryByTracking(hash),
  deliveries: async (query) => fake.deliveries(query),
  available: async (near, radiusM, max, vehicle) => fake.available(near, radiusM, max, vehicle),
  courier: async (id) => fake.courier(id),
  couriers: async () => fake.couriers(),
  activeOfCourier: async (id) => fake.activeOfCourier(id),
  lastKnown: async (id) => fake.lastKnown(id),
  takeShards: async (node, expected) => fake.takeShards(node, expected),
  shardOwners: async () => fake.shardOwners(),
  write: async (write, shard, epoch) => fake.write(write, shard, epoch),
  openDeliveries: async (shards, after, limit) => fake.openDeliveries(shards, after, limit),
  due: async (shards, now, limit) => fake.due(shards, now, limit),
  snapshot: async (id) => fake.snapshot(id),
  courierSnapshot: async (id) => fake.courierSnapshot(id),
  courierSnapshots: async (shards, after, limit) => fake.courierSnapshots(shards, after, limit),
  outboxBatch: async (limit) => fake.outboxBatch(limit),
  outboxDone: async (ids) => fake.outboxDone(ids),
  saveLastKnown: async (positions) => fake.saveLastKnown(positions),
  appendHistory: async () => undefined,
  ping: async () => undefined,
  close: async () => undefined,
});
