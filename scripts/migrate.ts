// Brings the tables of the database that HEXDISPATCH_POSTGRES_URL names up to date and says what it
// did. For deployments, as a step of its own before nodes and gateways start; `npm start` does the
// same by itself.

import { migrate } from "../engine/store/migrate.ts";

const url = process.env["HEXDISPATCH_POSTGRES_URL"];
if (!url) {
  process.stderr.write("HEXDISPATCH_POSTGRES_URL is not set\n");
  process.exit(2);
}
try {
  const applied = await migrate(url);
  process.stdout.write(`migrations applied: ${applied.join(", ") || "none were missing"}\n`);
} catch (error) {
  process.stderr.write(`the migration failed: ${(error as Error).message}\n`);
  process.exit(1);
}
