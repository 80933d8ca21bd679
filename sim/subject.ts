/** Subjects of NATS with their wildcards, and messages as the fakes pass them on. */

export type Message = {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Where answers and acks go. */
  readonly reply: string | undefined;
  /** For streams: the same id again is not taken. */
  readonly id: string | undefined;
};

/** Whether a pattern with `*` and `>` means the subject; both cut into tokens. */
export function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === ">") return subject.length > i;
    if (i >= subject.length) return false;
    if (pattern[i] !== "*" && pattern[i] !== subject[i]) return false;
  }
  return pattern.length === subject.length;
}

export const isWild = (subject: string): boolean => subject.includes("*") || subject.includes(">");
