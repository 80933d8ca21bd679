/**
 * The gateway's own metrics, named in one place. Labels hold routes, roles and codes; never an id.
 */
import { offerDelayHistogram } from "../../engine/io/metrics.ts";
import type { Metrics } from "../../engine/io/metrics.ts";
import { clientTable, serverTable } from "../../proto/frames.ts";

const CLIENT_TYPES = [...Object.keys(clientTable), "bad"];
/** Types of the frames that we send, by their code: the second byte of an encoded frame. */
const SERVER_TYPES = new Map(
  Object.entries(serverTable).map(([type, row]) => [row.code as number, type]),
);

export type GatewayMetrics = ReturnType<typeof gatewayMetrics>;

/** Makes them; once for each registry. */
export function gatewayMetrics(metrics: Metrics) {
  return {
    ...troubleMetrics(metrics),
    offerDelay: offerDelayHistogram(metrics),
    requests: metrics.histogram(
      "hexdispatch_http_request_duration_seconds",
      "From the headers of a request to its answer.",
      ["route", "status"],
    ),
    connections: metrics.counter(
      "hexdispatch_ws_connections_total",
      "Sessions that said a valid hello.",
      ["session_role"],
    ),
    disconnects: metrics.counter(
      "hexdispatch_ws_disconnects_total",
      "WebSockets that ended, by close code.",
      ["code"],
    ),
    received: metrics.tally(
      "hexdispatch_ws_frames_total",
      "Frames received, by type; `bad` for what could not be read.",
      "type",
      CLIENT_TYPES,
    ),
    sent: countSent(metrics),
    dropped: metrics.counter(
      "hexdispatch_ws_dropped_total",
      "Frames that were not sent, by reason.",
      ["reason"],
    ),
    pings: metrics.counter("hexdispatch_pings_total", "Position reports, by what became of them.", [
      "outcome",
    ]),
    authFailures: metrics.counter(
      "hexdispatch_auth_failures_total",
      "Credentials that were refused, by code.",
      ["code"],
    ),
    limited: metrics.counter(
      "hexdispatch_rate_limited_total",
      "Requests refused for being too many, by scope.",
      ["scope"],
    ),
    replayed: metrics.counter(
      "hexdispatch_idempotent_replays_total",
      "Answers that were given again under their key.",
    ),
    unsaid: metrics.counter(
      "hexdispatch_unsaid_messages_total",
      "Messages to actors that were dropped because NATS was away; the relay or the sweep heals them.",
    ),
  };
}

/** What is away, refused or out of date. */
function troubleMetrics(metrics: Metrics) {
  return {
    intake: metrics.counter(
      "hexdispatch_intake_creates_total",
      "Creates that went to the intake because Postgres was away, by what became of them.",
      ["outcome"],
    ),
    away: metrics.gauge("hexdispatch_postgres_away", "1 while this gateway finds Postgres away."),
    shed: metrics.counter(
      "hexdispatch_shed_total",
      "Requests refused as overloaded at the doors, by kind.",
      ["kind"],
    ),
    admission: metrics.gauge(
      "hexdispatch_admission_level",
      "0: all is taken, 1: no reads, 2: no creates either, 3: nothing.",
    ),
    fenced: metrics.counter(
      "hexdispatch_fenced_messages_total",
      "Messages of nodes that were dropped because their shard has a newer owner.",
      ["what"],
    ),
  };
}

/** Counts an encoded frame that was handed to a socket. */
function countSent(metrics: Metrics): (bytes: Uint8Array) => void {
  const count = metrics.tally(
    "hexdispatch_ws_frames_sent_total",
    "Frames sent to clients after their hello, by type.",
    "type",
    [...SERVER_TYPES.values()],
  );
  return (bytes) => count(SERVER_TYPES.get(bytes[1] ?? 0) ?? "unknown");
}
