/**
 * Microseconds since 1970, finer than `Date.now()`: for measuring delays of a millisecond, and for
 * nothing else. It does not follow steps of the system's clock after the start of the process.
 */
export const nowUs = (): number => Math.round((performance.timeOrigin + performance.now()) * 1000);
