/**
 * The signals that ask a process to end, caught from the first line on. Until somebody listens they
 * are remembered: a process told to end while it loads its modules ends as soon as it can. As
 * process 1 of a container this matters more than elsewhere, because there the kernel drops every
 * signal that has no handler.
 *
 * SIGTERM is what service managers send, SIGINT a terminal's Ctrl-C, SIGHUP a terminal that was
 * closed. A second request hastens the end (the waiting for load balancers is cut short, nothing
 * else); what comes within a second of the first is taken for the same request, since npm and some
 * service managers send two signals for one.
 */
export const END_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
export type EndSignal = (typeof END_SIGNALS)[number];

/** Two signals closer together than this are one request, milliseconds. */
export const SAME_REQUEST_MS = 1_000;

export type EndRequests = {
  /** Aborted at the first request; its reason is the signal's name. */
  readonly ending: AbortSignal;
  /** Aborted at the second one. */
  readonly hurry: AbortSignal;
};

let caught: EndRequests | null = null;

/**
 * Installs the handlers; later calls give the same two requests. `ignored` signals change nothing
 * from then on.
 */
export function catchSignals(ignored: readonly EndSignal[] = []): EndRequests {
  if (caught !== null) return caught;
  const ending = new AbortController();
  const hurry = new AbortController();
  caught = { ending: ending.signal, hurry: hurry.signal };
  let firstAt = 0;
  const onSignal = (signal: EndSignal): void => {
    if (ignored.includes(signal)) return;
    if (!ending.signal.aborted) {
      firstAt = performance.now();
      ending.abort(signal);
    } else if (performance.now() - firstAt >= SAME_REQUEST_MS) hurry.abort(signal);
  };
  for (const signal of END_SIGNALS) process.on(signal, onSignal);
  return caught;
}
