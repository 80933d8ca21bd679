// Set-up of the vitest projects that run the tests of REST, the SDK and the attacks behind a proxy:
// leaves out what only makes sense straight, each with its reason. A test (straight-only.test.ts)
// sees to it that each name still exists.

import { beforeEach } from "vitest";
import { STRAIGHT_ONLY } from "./straight-only.ts";
import { via } from "./via.ts";

beforeEach(({ task, skip }) => {
  const why = STRAIGHT_ONLY[task.name];
  if (why !== undefined && why.via.includes(via)) skip(why.reason);
});
