# One image for both processes: `docker run hexdispatch node` or `docker run hexdispatch gateway`
# (or `migrate`, once, before them). Settings come from HEXDISPATCH_* variables; nothing is kept on
# disk, and it runs as an ordinary user.
#
# Told to end, a gateway serves on for HEXDISPATCH_DRAIN_MS (5 s) and then has up to 25 s more, a node 15 s: `docker stop -t`
# has to allow for both. It works as process 1; `docker run --init` buries orphans besides, of which there are none.

FROM node:22-bookworm-slim AS base
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

FROM base AS build
RUN npm ci --include=dev
COPY . .
RUN npm run build

FROM base AS packages
RUN npm ci --omit=dev

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production \
    HEXDISPATCH_PUBLIC_HOST=0.0.0.0 \
    HEXDISPATCH_PUBLIC_PORT=8080 \
    HEXDISPATCH_ADMIN_HOST=0.0.0.0 \
    HEXDISPATCH_ADMIN_PORT=9090 \
    HEXDISPATCH_NODE_ADMIN_PORT=9090
COPY --from=packages /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY deploy/entrypoint.sh ./
USER node
EXPOSE 8080 9090
# Liveness, not readiness: an outage of NATS or Postgres must not make anybody restart this. Balancers ask /readyz.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HEXDISPATCH_ADMIN_PORT}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/bin/sh", "/app/entrypoint.sh"]
CMD ["gateway"]
