/** The node's own metrics, named in one place. Labels are from closed lists; never an id. */
import type { Kind } from "../proto/posts.ts";
import type { StreamKey } from "../proto/subjects.ts";
import type { HostCount } from "./host/ports.ts";
import type { IntakeCount } from "./streams/intake.ts";
import type { Metrics } from "./io/metrics.ts";
import type { ReplicaCount } from "./cells/replica.ts";
import type { RouterCount } from "./cluster/router.ts";
import type { PublishCount } from "./streams/stream-publisher.ts";

export type RuntimeMetrics = ReturnType<typeof runtimeMetrics>;

/** Makes them; once for each registry. */
export function runtimeMetrics(metrics: Metrics) {
  const steps = metrics.tally<Kind>("hexdispatch_steps_total", "Steps of actors.", "kind", [
    "delivery",
    "courier",
    "cell",
  ]);
  const host = metrics.counter(
    "hexdispatch_host_troubles_total",
    "Messages refused, steps that threw and the like, by kind of trouble and of actor.",
    ["what", "kind"],
  );
  const router = metrics.counter(
    "hexdispatch_router_troubles_total",
    "Messages between actors that did not get through, by kind of trouble.",
    ["what"],
  );
  const replica = metrics.counter(
    "hexdispatch_replica_troubles_total",
    "Batches of courier records that were missed, late or broken.",
    ["what"],
  );
  const published = metrics.counter(
    "hexdispatch_stream_messages_total",
    "Messages to streams that nobody waits for, by stream and by what became of them.",
    ["stream", "what"],
  );
  const intake = metrics.counter(
    "hexdispatch_intake_worked_total",
    "Creates of the intake, by what became of them; `buried` ones are for people to look at.",
    ["what"],
  );
  return {
    step: steps,
    intake: (what: IntakeCount) => intake.inc({ what }),
    host: (what: HostCount, kind: Kind) => host.inc({ what, kind }),
    router: (what: RouterCount, messages: number) => router.inc({ what }, messages),
    replica: (what: ReplicaCount) => replica.inc({ what }),
    published: (stream: StreamKey) => {
      const count = published.labels({ stream, what: "published" });
      return (what: PublishCount) =>
        what === "published" ? count.inc() : published.inc({ stream, what });
    },
    commits: metrics.histogram(
      "hexdispatch_actor_commit_seconds",
      "From an actor's wish to write to the store's answer.",
    ),
    events: metrics.counter("hexdispatch_events_published_total", "Events put on the stream."),
    resumed: metrics.counter(
      "hexdispatch_sweep_resumed_total",
      "Due deliveries that the sweep found.",
    ),
    ledgerDropped: metrics.counter(
      "hexdispatch_ledger_lines_dropped_total",
      "Lines of the decision ledger that did not reach their stream.",
    ),
    historyDropped: metrics.counter(
      "hexdispatch_history_rows_dropped_total",
      "Positions that were dropped because the store was away for too long.",
    ),
    framesDropped: metrics.counter(
      "hexdispatch_session_frames_dropped_total",
      "Frames for sessions that were dropped because NATS was away.",
    ),
  };
}
