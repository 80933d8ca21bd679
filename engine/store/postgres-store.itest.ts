/** The store's contract over a real Postgres, through two stores with pools of their own. */
import { installClock } from "../../scripts/testing/database-clock.ts";
import { testDatabase } from "../../scripts/testing/services.ts";
import { storeContract } from "./contract.ts";
import { migrate } from "./migrate.ts";
import { openPostgresStore } from "./postgres-store.ts";

storeContract("the store over Postgres", async () => {
  const database = await testDatabase();
  const clock = await installClock(database.url);
  await migrate(database.url);
  const open = (name: string) =>
    openPostgresStore({ url: database.url, applicationName: name, connections: 6 });
  const stores = [open("first"), open("second")] as const;
  return {
    stores,
    setClock: (aheadMs) => clock.set(aheadMs),
    close: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await clock.close();
      await database.drop();
    },
  };
});
