// Brings the tables of the database that HEXDISPATCH_POSTGRES_URL names up to date and says what it
// did. For deployments, as a step of its own before nodes and gateways start; `npm start` does the
// same by itself. Told to end, it ends with 1, because what waits for it must not start: the
// migration under way is undone by the server.

import { EXIT } from "../engine/service.ts";
import { catchSignals } from "../engine/io/signals.ts";
import { migrate } from "../engine/store/migrate.ts";

const { ending } = catchSignals();
ending.addEventListener("abort", () => {
  process.stderr.write(`told to end (${String(ending.reason)}): the migration did not finish\n`);
  process.exit(EXIT.failed);
});
const url = process.env["HEXDISPATCH_POSTGRES_URL"];
if (!url) {
  process.stderr.write("HEXDISPATCH_POSTGRES_URL is not set\n");
  process.exit(EXIT.settings);
}
try {
  const applied = await migrate(url);
  process.stdout.write(`migrations applied: ${applied.join(", ") || "none were missing"}\n`);
} catch (error) {
  process.stderr.write(`the migration failed: ${(error as Error).message}\n`);
  process.exit(EXIT.failed);
}
