// Planted bugs of outages: what the process takes a refusal, a silence or a closed door for.

import type { Planted } from "./planted-bug.ts";

export const BUGS_OF_OUTAGES: readonly Planted[] = [];
