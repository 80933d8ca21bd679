// Which lines of which files a change touches, from the text of `git diff --unified=0`, in the form
// that the mutation tester takes: `file:from-to`. Pure.

/**
 * Code with unit tests; the rest is covered by real servers, for which a run per mutant is too
 * dear.
 */
const MUTABLE = /^(actors|engine|gateway|proto|sdk)\//;
const NOT_MUTABLE = /\.(i?test|d)\.ts$|\/(testing|contract|vectors|examples)\//;

/** Whether the mutation tester is let loose on a file. */
export const isMutable = (file: string): boolean => MUTABLE.test(file) && !NOT_MUTABLE.test(file);

/**
 * `file:from-to` for each run of lines that the diff adds or changes. What it only removes is
 * nowhere.
 */
export function changedRanges(diff: string): string[] {
  let file = "";
  const ranges: string[] = [];
  for (const line of diff.split("\n")) {
    const name = /^\+\+\+ b\/(.+)$/.exec(line)?.[1];
    if (name !== undefined) file = name;
    const hunk = /^@@ -\S+ \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (hunk === null) continue;
    const [from, count] = [Number(hunk[1]), Number(hunk[2] ?? 1)];
    if (count > 0) ranges.push(`${file}:${from}-${from + count - 1}`);
  }
  return ranges;
}
