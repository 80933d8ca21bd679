/**
 * What the parts of a gateway share, made once in `gateway/gateway.ts` and handed down: ports and
 * settings, no state of its own.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Config, WebhookTargets } from "../../engine/config.ts";
import type { Geocoder } from "../../engine/geo/geocoder.ts";
import type { TravelTime } from "../../engine/geo/travel-time.ts";
import type { Clock } from "../../engine/io/clock.ts";
import type { Log } from "../../engine/io/log.ts";
import type { Bus } from "../../engine/io/nats/nats.ts";
import type { AccessStore } from "../../engine/store/access.ts";
import type { FleetStore } from "../../engine/store/fleet.ts";
import type { Random } from "../../engine/io/random.ts";
import type { PartnerStore } from "../../engine/store/partners.ts";
import type { Store } from "../../engine/store/port.ts";
import type { DeliveryId, NodeId } from "../../proto/ids.ts";
import type { Subjects } from "../../proto/subjects.ts";
import type { LedgerEntry } from "../../proto/views.ts";
import type { AdmissionLimits } from "../access/admission.ts";
import type { ProbeKind } from "../backend/postgres-circuit.ts";
import type { CityMap } from "../page/city-map.ts";
import type { Fence } from "./fence.ts";
import type { GatewayMetrics } from "./metrics.ts";
import type { Notifier } from "../events/notify/notifier.ts";

export type GatewayConfig = Pick<
  Config,
  | "publicHost"
  | "publicPort"
  | "portShared"
  | "publicUrl"
  | "authKey"
  | "serviceArea"
  | "shards"
  | "settings"
> &
  Partial<
    Pick<Config, "listener" | "authKeyPrevious" | "trustedProxies" | "doors" | "courierPhone">
  >;

export type Outward = {
  /** For what `Bus` leaves out: requests with headers, consumers. */
  readonly nats: NatsConnection;
  readonly prefix: string;
  readonly store: PartnerStore;
  readonly webhookTargets: WebhookTargets;
  readonly notifier: Notifier | null;
  /**
   * Seals anew what is not under the current signing key; see `webhooks/sealed.ts`. Set by
   * `createCore`.
   */
  readonly reseal?: () => Promise<readonly string[]>;
};

export type Deps = {
  /** This run of this process; nodes send frames to it by this name. */
  readonly gateway: NodeId;
  readonly config: GatewayConfig;
  readonly store: Store;
  /** Where revocations are kept; without it, as in a simulation, none can be made. */
  readonly access?: AccessStore;
  /** The fleet as estimates see it; without it they are those of an average courier. */
  readonly fleet?: FleetStore;
  /** Whether Postgres takes writes, asked on a connection of its own. Rejects when it does not. */
  readonly probe: (what: ProbeKind) => Promise<void>;
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly clock: Clock;
  /** For ids, secrets and names. */
  readonly random: Random;
  readonly admission: AdmissionLimits;
  /** One for all that comes from nodes. */
  readonly fence: Fence;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  readonly geocoder: Geocoder;
  readonly travel: TravelTime;
  /** Streets for the tracking page; without them it draws a plan. */
  readonly map?: CityMap | null;
  /**
   * Doors and messages beyond our own clients: partners on NATS, webhooks, notices. Absent: none of
   * them.
   */
  readonly outward?: Outward | null;
  /**
   * The decisions about one delivery, oldest first. Rejects with `unavailable` while the ledger is
   * away.
   */
  readonly ledger: (delivery: DeliveryId) => Promise<readonly LedgerEntry[]>;
};
