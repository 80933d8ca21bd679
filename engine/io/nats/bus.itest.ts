/**
 * The bus over a real NATS keeps its contract, which is the one that the simulator's fake keeps.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import { setTimeout as sleep } from "node:timers/promises";
import { streamName } from "../../../proto/subjects.ts";
import { testNatsUrl, testPrefix } from "../../../scripts/testing/services.ts";
import { streamCellsLog } from "../../cells/reader.ts";
import { ensureStreams } from "../../streams/streams.ts";
import { busContract } from "../contract/bus.ts";
import { connectNats, natsBus } from "./nats.ts";

busContract("NATS", async () => {
  const prefix = testPrefix();
  const [one, two] = [
    await connectNats({ url: testNatsUrl(), name: "a" }),
    await connectNats({ url: testNatsUrl(), name: "b" }),
  ];
  const manager = await jetstreamManager(one, { checkAPI: false });
  await ensureStreams(manager, prefix, 1);
  const [a, b] = [natsBus(one), natsBus(two)];
  return {
    a,
    b,
    cells: streamCellsLog(one, streamName(prefix, "CELLS")),
    prefix,
    // Polling: what is waited for happens in another process.
    pass: () => sleep(2).then(() => undefined),
    close: async () => {
      for (const key of ["CELLS", "LEDGER", "EVENTS", "INTAKE"] as const) {
        await manager.streams.delete(streamName(prefix, key));
      }
      await a.close();
      await b.close();
    },
  };
});
