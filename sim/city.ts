/** Who lives in the simulated city and where: settings, places, what customers ask for. */
import { DOOR_DEFAULTS } from "../engine/door-limits.ts";
import type { Config } from "../engine/config.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import { DISPATCH_DEFAULTS, SERVICE_AREA_DEFAULT } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { NewDelivery } from "../sdk/rest.ts";
import type { SeededRandom } from "./random.ts";

/**
 * Deadlines are shorter than in life, so that minutes see all of them; the city is small, so its
 * shards are, too.
 */
export const SIM_SETTINGS: DispatchSettings = {
  ...DISPATCH_DEFAULTS,
  SEARCH_DEADLINE_MS: 120_000,
  WARN_MS: 20_000,
  STILL_MS: 60_000,
  DARK_MS: 60_000,
  REMIND_MS: 30_000,
  SHARD_RESOLUTION: 7,
  // Half as often as in life: heartbeats would be most of the work, and no shorter fault is drawn
  // than these see.
  BEAT_MS: 200,
  SUSPECT_MS: 1_000,
  JOIN_MS: 1_200,
  POSITIONS_MS: 2_000,
};

export const SHARDS = 8;
const VEHICLES: readonly Vehicle[] = ["walk", "bike", "bike", "scooter", "car"];
const AREA = { west: -122.45, south: 37.74, east: -122.39, north: 37.79 } as const;

export const SIM_CONFIG: Config = {
  natsUrl: "",
  natsCredentials: null,
  natsPrefix: "sim",
  natsReplicas: 1,
  streamBytes: { CELLS: 1_048_576, LEDGER: 1_048_576, EVENTS: 1_048_576, INTAKE: 1_048_576 },
  postgresUrl: "",
  postgresConnections: 4,
  publicHost: "",
  publicPort: 0,
  portShared: false,
  drainMs: 0,
  listener: "node",
  adminHost: "",
  adminPort: 0,
  nodeAdminPort: 0,
  authKey: "",
  authKeyPrevious: null,
  trustedProxies: "",
  doors: DOOR_DEFAULTS,
  cityDir: null,
  serviceArea: SERVICE_AREA_DEFAULT,
  shards: SHARDS,
  logLevel: "silent",
  publicUrl: "http://sim",
  webhookTargets: "public",
  courierPhone: "shown",
  notify: { kind: "off", url: "", token: null },
  settings: SIM_SETTINGS,
};

/** FNV-1a, 32 bits. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

export const vehicleFor = (random: SeededRandom): Vehicle => random.pick(VEHICLES);

export const placeIn = (random: SeededRandom): LngLat => ({
  lng: random.between(AREA.west, AREA.east),
  lat: random.between(AREA.south, AREA.north),
});

/** From somewhere to somewhere not too far. */
export function wishOf(random: SeededRandom): NewDelivery {
  const [origin, far] = [placeIn(random), placeIn(random)];
  return {
    origin,
    destination: {
      lng: origin.lng + (far.lng - origin.lng) / 3,
      lat: origin.lat + (far.lat - origin.lat) / 3,
    },
    package_size: random.chance(0.1) ? "large" : "small",
    phone: "+1 415 555 0100",
  };
}
