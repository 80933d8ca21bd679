// Planted bugs that a named test must find. What the simulator finds is in `sim/mutants.ts`; here
// are the kinds that it cannot see: what needs many rows, two of something, days of time, or a real
// server. A row whose text or test is no longer there fails loudly: it has to follow the code.

import type { Planted } from "./planted-bug.ts";
import { BUGS_OF_ESTIMATES } from "./planted-estimates.ts";
import { BUGS_OF_OUTAGES } from "./planted-outages.ts";
import { BUGS_OF_ROWS } from "./planted-rows.ts";
import { BUGS_OF_TIMES } from "./planted-times.ts";
import { BUGS_OF_TWO } from "./planted-two.ts";

export const PLANTED: readonly Planted[] = [
  ...BUGS_OF_ROWS,
  ...BUGS_OF_TWO,
  ...BUGS_OF_TIMES,
  ...BUGS_OF_ESTIMATES,
  ...BUGS_OF_OUTAGES,
];
