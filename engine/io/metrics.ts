/**
 * Metrics of one process: a prom-client registry behind three small functions, so that names and
 * units are checked in one place. Every name begins with `hexdispatch_` and ends in its unit
 * (`_seconds`, `_bytes`), in `_total` for counters, or in nothing for plain numbers.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import { aheadOfMachineMs } from "./clock.ts";
import { droppedLogLines } from "./log.ts";

const NAME_PATTERN = /^hexdispatch_[a-z][a-z0-9_]*$/;

/**
 * 60 bounds from 0.5 ms growing by 1.15, up to about 1.9 s: 15 % precision wherever the median
 * lies.
 */
export const DELAY_BUCKETS_S: readonly number[] = Array.from(
  { length: 60 },
  (_, i) => Math.round(0.0005 * 1.15 ** i * 1e7) / 1e7,
);

/** Bounds for work that may take from 0.1 ms to 10 s. */
export const WORK_BUCKETS_S: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

export class Metrics {
  readonly registry = new Registry();

  constructor(role: "node" | "gateway") {
    this.registry.setDefaultLabels({ role });
    collectDefaultMetrics({
      register: this.registry,
      prefix: "hexdispatch_process_",
      // Every 10 ms, its default, the monitor itself is a load; the longest delays it sees all the
      // same.
      eventLoopMonitoringPrecision: 100,
    });
  }

  /** Something that only grows. The name ends in `_total`. */
  counter<L extends string = never>(name: string, help: string, labels: readonly L[] = []) {
    checkName(name, name.endsWith("_total"));
    return new Counter({ name, help, labelNames: [...labels], registers: [this.registry] });
  }

  /**
   * A counter of one label whose values are known beforehand, for what happens thousands of times a
   * second: counting is one addition, and the registry looks only when it is scraped.
   */
  tally<V extends string>(
    name: string,
    help: string,
    label: string,
    values: readonly V[],
  ): (value: V) => void {
    checkName(name, name.endsWith("_total"));
    const counts = new Map<V, number>(values.map((value) => [value, 0]));
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [value, count] of counts) this.inc({ [label]: value }, count);
      },
    });
    return (value) => void counts.set(value, (counts.get(value) ?? 0) + 1);
  }

  /**
   * Something that only grows and is counted elsewhere: `read` is asked at each scrape. The name
   * ends in `_total`.
   */
  total(name: string, help: string, read: () => number): void {
    checkName(name, name.endsWith("_total"));
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  /** Something that goes up and down; `read`, if given, is asked at each scrape. */
  gauge(name: string, help: string, read?: () => number) {
    checkName(name, !name.endsWith("_total"));
    const registers = [this.registry];
    if (read === undefined) return new Gauge({ name, help, registers });
    return new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  }

  /** A distribution of seconds. The name ends in `_seconds`. */
  histogram<L extends string = never>(
    name: string,
    help: string,
    labels: readonly L[] = [],
    buckets: readonly number[] = WORK_BUCKETS_S,
  ) {
    checkName(name, name.endsWith("_seconds"));
    const registers = [this.registry];
    return new Histogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers });
  }

  /** In the text format of Prometheus. */
  text(): Promise<string> {
    return this.registry.metrics();
  }
}

function checkName(name: string, endsWell: boolean): void {
  if (!NAME_PATTERN.test(name) || !endsWell) throw new Error(`"${name}" is no name for a metric`);
}

/**
 * From the receipt of a create at the gateway to the offer's frame handed to the courier's socket,
 * by the ordinal of the offer within its delivery. Filled by the gateway, which alone sees both
 * ends.
 */
export const offerDelayHistogram = (metrics: Metrics) =>
  metrics.histogram(
    "hexdispatch_offer_delay_seconds",
    "From the receipt of a create to the offer on the courier's socket.",
    ["ordinal"],
    DELAY_BUCKETS_S,
  );

/** Measures how late the event loop is; what the process shows first when it is overloaded. */
export function watchEventLoop(metrics: Metrics): () => void {
  const STEP_MS = 100;
  let worstS = 0;
  let expected = performance.now() + STEP_MS;
  metrics.gauge(
    "hexdispatch_event_loop_lag_seconds",
    "The longest delay of the event loop since the last scrape.",
    () => {
      const worst = worstS;
      worstS = 0;
      return worst;
    },
  );
  metrics.gauge(
    "hexdispatch_clock_ahead_seconds",
    "How far this process is ahead of its machine's clock, which was set while it ran.",
    () => aheadOfMachineMs() / 1_000,
  );
  metrics.total(
    "hexdispatch_log_lines_dropped_total",
    "Log lines that were lost: their reader stood still or was gone.",
    droppedLogLines,
  );
  const timer = setInterval(() => {
    const now = performance.now();
    worstS = Math.max(worstS, (now - expected) / 1_000, 0);
    expected = now + STEP_MS;
  }, STEP_MS);
  timer.unref();
  return () => clearInterval(timer);
}
