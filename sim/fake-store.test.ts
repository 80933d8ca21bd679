/**
 * The fake passes the suite that Postgres passes (`engine/store/store.itest.ts`): else the
 * simulator proves nothing.
 */
import { storeContract } from "../engine/store/contract.ts";
import { asStore } from "./fake-port.ts";
import { FakeStore } from "./fake-store.ts";

storeContract("the store in memory", async () => {
  let aheadMs = 0;
  const store = asStore(new FakeStore(() => Date.now() + aheadMs));
  return {
    stores: [store, store],
    setClock: async (ms) => {
      aheadMs = ms;
    },
    close: async () => undefined,
  };
});
