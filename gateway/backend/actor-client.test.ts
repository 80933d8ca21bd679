import { expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import type { Deps } from "../base/deps.ts";
import { createActorClient } from "./actor-client.ts";

it("the relay is nudged at once, and then no more often than it looks", async () => {
  const clock = new VirtualClock();
  const subjects = subjectsFor("hd");
  const nudges: number[] = [];
  const bus = {
    publish: (subject: string) => {
      if (subject === subjects.outbox) nudges.push(clock.now());
      return true;
    },
  };
  const startedAt = clock.now();
  const actorClient = createActorClient({ bus, subjects, clock } as unknown as Deps);
  for (let i = 0; i < 5; i++) {
    actorClient.nudgeOutbox();
    await clock.advance(3);
  }
  await clock.advance(1_000);
  actorClient.nudgeOutbox();
  expect(nudges.map((at) => at - startedAt)).toEqual([0, 20, 1_015]);
});
