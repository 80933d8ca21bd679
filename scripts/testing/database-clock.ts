// A clock that a test may set, for one database of a shared server: functions of its own stand
// before the built-in ones in the search path, so that every statement and every default that asks
// for the time asks them. Call before `migrate`.

import { connectOnce } from "../services/postgres.ts";

const INSTALL = `
create schema clock;
create table clock.ahead (ms float8 not null);
insert into clock.ahead values (0);
create function clock.clock_timestamp() returns timestamptz language sql volatile as
  $$ select pg_catalog.clock_timestamp() + (select ms from clock.ahead) * interval '1 ms' $$;
create function clock.now() returns timestamptz language sql stable as
  $$ select pg_catalog.now() + (select ms from clock.ahead) * interval '1 ms' $$;
do $$ begin
  execute format('alter database %I set search_path = clock, pg_catalog, public', current_database());
end $$`;

export interface DatabaseClock {
  /** Sets it to so much more than the truth, milliseconds; negative: less. */
  set(aheadMs: number): Promise<void>;
  close(): Promise<void>;
}

export async function installClock(url: string): Promise<DatabaseClock> {
  const admin = connectOnce(url);
  await admin.unsafe(INSTALL);
  return {
    async set(aheadMs) {
      await admin`update clock.ahead set ms = ${aheadMs}`;
    },
    close: () => admin.end({ timeout: 1 }),
  };
}
