/** What NATS refuses or complains of, as a metric of a process: one counter by kind. */
import type { Metrics } from "../metrics.ts";
import { NATS_TROUBLES } from "./watch.ts";
import type { NatsTrouble } from "./watch.ts";

/** Makes the counter; the function counts one trouble. Once for each registry. */
export const natsMetrics = (metrics: Metrics): ((what: NatsTrouble) => void) =>
  metrics.tally(
    "hexdispatch_nats_troubles_total",
    "Credentials or subjects that NATS refused, unfit servers, messages too large for it, other errors.",
    "what",
    NATS_TROUBLES,
  );
