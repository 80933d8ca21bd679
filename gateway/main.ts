/**
 * The entry of the gateway's process. It catches signals before it loads anything else, which takes
 * the better part of a second and more on a busy machine: as process 1 of a container a signal that
 * nobody listens to is lost.
 */
import { catchSignals } from "../engine/io/signals.ts";

const { ending } = catchSignals();
// While it loads, nothing is open: told to end, it is gone at once.
const leave = (): void => process.exit(0);
ending.addEventListener("abort", leave, { once: true });
const { main } = await import("./process.ts");
ending.removeEventListener("abort", leave);
await main();
