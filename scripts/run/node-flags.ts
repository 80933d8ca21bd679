/**
 * With which flags of Node every process of ours runs, here and in `deploy/entrypoint.sh`. The
 * young generation is larger than usual: at hundreds of deliveries a second most garbage lives for
 * milliseconds, and with the usual 16 MB a part of it is copied into the old generation and
 * collected there at many times the price.
 */
export const NODE_FLAGS: readonly string[] = ["--enable-source-maps", "--max-semi-space-size=32"];

/** The module that every process of ours loads first, from the top of the checkout or the image. */
export const FIRST_MODULE = "dist/engine/io/signals-first.js";
