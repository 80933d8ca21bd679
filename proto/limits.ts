/**
 * Every bound that clients, operators and other processes meet, and the default of every timing and
 * radius. The unit stands last in the name. Bounds are fixed; what an operator may tune is in
 * `DISPATCH_DEFAULTS` and read from the environment by `engine/config.ts` as HEXDISPATCH_ + the
 * name (for example HEXDISPATCH_WAVE_MS).
 */

/** Fixed when a cluster is created; the id of a delivery has room for this many. */
export const SHARDS_MAX = 4096;
export const SHARDS_DEFAULT = 64;

/** The doors. */
export const FRAME_MAX_BYTES = 16_384;
export const FRAME_DEPTH_MAX = 6;
/** Values in one frame, arrays included: a full batch of pings has 803. */
export const FRAME_ITEMS_MAX = 1_024;
export const PINGS_PER_BATCH_MAX = 100;
/** A moving app pings once in seconds; the burst is for what it kept while offline. */
export const PINGS_PER_COURIER_PER_S = 100;
export const PINGS_BURST = 500;
/** Unreadable frames that a session may send before it is closed. */
export const BAD_FRAMES_MAX = 5;
/** Frames beyond the rate before a session is closed. */
export const EXCESS_FRAMES_MAX = 500;
export const BODY_MAX_BYTES = 65_536;
/**
 * The request line and all header fields of a request: a shop's cookies come along to its tracking
 * pages.
 */
export const HEAD_MAX_BYTES = 32_768;
export const HEADER_FIELDS_MAX = 100;
/** From the first byte of a request to the end of its header fields, and to the end of its body. */
export const HEAD_TIMEOUT_MS = 15_000;
export const REQUEST_TIMEOUT_MS = 30_000;
/** How often what is late is looked for. */
export const REQUEST_LOOK_MS = 1_000;
/**
 * A connection without a request is kept for so long: longer than the balancers in front keep
 * theirs (60 s an AWS ALB and nginx towards its upstreams, 75 s nginx towards clients), or they
 * send a request into a connection that is being closed.
 */
export const KEEP_ALIVE_MS = 90_000;
/** The same for a proxy that we trust: Google's balancer keeps its connections for 600 s. */
export const PROXY_KEEP_ALIVE_MS = 620_000;
/**
 * Nothing was read or taken on a connection for so long, though something is under way: it is cut.
 */
export const CONNECTION_STALLED_MS = 40_000;
/** An answer that was not taken within this: the connection is cut. */
export const ANSWER_TAKEN_MAX_MS = 60_000;
/**
 * Answers of one process that nobody has taken yet; beyond it the oldest are cut with their
 * connections.
 */
export const ANSWERS_UNTAKEN_MAX_BYTES = 67_108_864;
/**
 * Requests of one connection that wait for their turn; no more is read before some are answered.
 */
export const PIPELINED_MAX_REQUESTS = 16;
/**
 * The same over all connections: beyond it those that came last are dropped, unanswered and not
 * begun.
 */
export const PIPELINED_ALL_MAX_REQUESTS = 20_000;
/** After so many requests a connection ends with its answer. */
export const CONNECTION_MAX_REQUESTS = 100_000;
/**
 * After the last answer what the client still sends is read for so long, so that no reset overtakes
 * the answer.
 */
export const LINGER_MS = 2_000;
/** A peer has so long to answer the close of its WebSocket. */
export const SOCKET_CLOSE_MS = 5_000;
/** Connections that wait to be accepted. */
export const BACKLOG_MAX_CONNECTIONS = 2_048;
export const ADDRESS_MAX_CHARS = 200;
export const NOTES_MAX_CHARS = 1_000;
export const NAME_MAX_CHARS = 80;
export const PHONE_MIN_CHARS = 5;
export const PHONE_MAX_CHARS = 24;
export const EXTERNAL_ID_MAX_CHARS = 128;
export const REASON_MAX_CHARS = 200;
export const IDEMPOTENCY_KEY_MAX_CHARS = 255;
export const TOKEN_MAX_CHARS = 2_048;
export const PAGE_MAX_ROWS = 100;
export const PAGE_DEFAULT_ROWS = 20;
export const AVAILABLE_MAX_ROWS = 20;
export const WEIGHT_MAX_KG = 1_000;
/** Metres of uncertainty above which a fix says nothing. */
export const ACCURACY_MAX_M = 10_000;
/** A delivery may be asked for so long ahead: seven days. */
export const READY_AHEAD_MAX_MS = 604_800_000;
/** A tracking link opens nothing so long after the delivery ended. */
export const LINK_AFTER_END_MS = 3_600_000;
export const COURIER_CAPACITY_MAX_DELIVERIES = 20;
/** Proxies in a row that X-Forwarded-For is followed through, from the nearest one on. */
export const FORWARDED_MAX_HOPS = 32;
export const HELLO_TIMEOUT_MS = 10_000;
/**
 * A socket from which nothing comes for so long is closed; longer than a reader may stand still.
 */
export const SOCKET_IDLE_S = 120;
/**
 * What clients are told: a server that is silent for so long is gone; after half of it they ask.
 */
export const SERVER_SILENT_MS = 60_000;
export const SOCKET_BUFFER_MAX_BYTES = 262_144;
export const TRACKS_PER_SESSION_MAX = 128;
export const FRAMES_PER_SESSION_PER_S_MAX = 50;
/**
 * Positions: a reader says with every so many frames that it has seen them, and with any that comes
 * so late after that.
 */
export const SEEN_EVERY_FRAMES = 8;
export const SEEN_EVERY_MS = 60_000;
/**
 * Frames of positions under way to a reader who has not said that it saw them: then it gets no
 * more.
 */
export const UNSEEN_MAX_FRAMES = 12;
/**
 * The same sooner, when what it should have said has not come for so long; after the second span it
 * is tried once more.
 */
export const UNSEEN_MAX_MS = 3_000;
export const UNSEEN_PROBE_MS = 15_000;
/** Status events that a follower is told of at once after it was away. */
export const PASSED_EVENTS_MAX = 64;
/**
 * Sockets that one gateway lets come back in a second after a loss: clients spread themselves by
 * it.
 */
export const COME_BACK_SOCKETS_PER_S = 1_000;
export const COME_BACK_WITHIN_MAX_MS = 20_000;
export const COURIER_COME_BACK_WITHIN_MAX_MS = 3_000;
export const IDEMPOTENCY_KEPT_H = 48;
/**
 * A node asks Postgres so often whether it can commit; without an answer for the second span it
 * says that it cannot.
 */
export const FITNESS_PROBE_MS = 250;
export const UNABLE_AFTER_MS = 1_000;
/**
 * It says that it can again after so long without a failure, twice as long after each relapse, up
 * to the second.
 */
export const ABLE_AFTER_MS = 500;
export const ABLE_AFTER_MAX_MS = 60_000;
/**
 * Shards of a node that has said for so long that it cannot commit go to one that could all that
 * time.
 */
export const BLOCKED_KEEPS_MS = 2_000;
/** A token that is older than 366 days has expired, whatever it says. */
export const TOKEN_LIFE_MAX_MS = 31_622_400_000;
/** A revocation outlives the longest token. */
export const REVOCATIONS_KEPT_H = 8_808;
/** Rows of one statement; a reading goes on until a page is not full. */
export const REVOCATIONS_PAGE_ROWS = 5_000;
/**
 * All are read anew this often: what was purged is forgotten, and whatever was edited by hand is
 * learned.
 */
export const REVOCATIONS_REREAD_MS = 3_600_000;
/**
 * How much the clock of whoever issues tokens may differ; a token issued further ahead is refused.
 */
export const TOKEN_CLOCK_SKEW_MS = 5_000;

/** Partners, webhooks, notices. */
export const PARTNER_REQUESTS_PER_S = 200;
export const PARTNER_REQUESTS_BURST = 400;
/**
 * Refusals that a partner who is too fast still gets an answer to; what is beyond is dropped and
 * counted.
 */
export const PARTNER_REFUSALS_PER_S = 50;
export const PARTNER_REFUSALS_BURST = 400;
/** Requests of one partner that a gateway has under way. */
export const PARTNER_UNDER_WAY_MAX_REQUESTS = 400;
/** Answers to `$SRV` questions: of one partner, and of all who ask in our own account. */
export const PARTNER_DISCOVERY_PER_S = 10;
export const PARTNER_DISCOVERY_BURST = 50;
export const OWN_DISCOVERY_PER_S = 50;
export const OWN_DISCOVERY_BURST = 200;
/** How old the counts of `$SRV.STATS` may be. */
export const DISCOVERY_STATS_KEPT_MS = 1_000;
/** A name that is no partner's is looked up in Postgres no more often than this. */
export const PARTNERS_MISS_MS = 250;
/**
 * What the NATS server grants each partner's account. A body of BODY_MAX_BYTES and its headers fit
 * into a message.
 */
export const PARTNER_CONNECTIONS_MAX = 64;
export const PARTNER_SUBSCRIPTIONS_PER_CONNECTION_MAX = 256;
export const PARTNER_MESSAGE_MAX_BYTES = 131_072;
/** How long the gateways believe what they know of the partners. */
export const PARTNERS_KNOWN_MS = 2_000;
export const QUOTE_TTL_MS = 900_000;
export const QUOTE_MAX_CHARS = 1_000;
/** Events that a partner has under way, unacknowledged. */
export const PARTNER_ACK_PENDING_MAX = 512;
/**
 * An event that a partner did not acknowledge for so long is given again. What was under way over a
 * connection that died comes only then, and what follows it must wait, so it is no longer than an
 * election of the stream's servers.
 */
export const PARTNER_ACK_WAIT_MS = 5_000;
/**
 * The same for our own workers; well below WEBHOOK_GAP_WAIT_MS, or a gap would be given up before
 * it is filled.
 */
export const EVENT_ACK_WAIT_MS = 5_000;
export const WEBHOOKS_PER_OWNER_MAX = 10;
export const WEBHOOK_URL_MAX_CHARS = 500;
/** From the look-up of the address to the end of the answer. */
export const WEBHOOK_TIMEOUT_MS = 15_000;
/** What of an answer is read; the rest is cut off. */
export const WEBHOOK_ANSWER_MAX_BYTES = 4_096;
export const WEBHOOKS_UNDER_WAY_MAX = 32;
/** A gateway that died with messages under way: another takes them after this. */
export const WEBHOOK_LEASE_MS = 60_000;
/** An event waits so long for an earlier one that the stream has not brought. */
export const WEBHOOK_GAP_WAIT_MS = 10_000;
/** After a rotation the old secret signs as well for so long. */
export const WEBHOOK_OLD_SECRET_MS = 86_400_000;
export const WEBHOOK_KEPT_H = 168;
export const NOTICE_TIMEOUT_MS = 10_000;
export const NOTICE_ATTEMPTS_MAX = 8;
/** Of what is older, customers are not told any more. */
export const NOTICE_AGE_MAX_MS = 3_600_000;
export const NOTICES_KEPT_H = 336;

/** Test mode. */
/** Deliveries of tests that the robots of one node serve at a time; more wait. */
export const TESTS_SERVED_MAX = 500;
/** Robots of one test: the first, and those who replace it. */
export const ROBOTS_PER_TEST_MAX = 9;
/** How often a robot acts and says where it is. */
export const ROBOT_STEP_MS = 1_000;
/** A test that nobody is to accept becomes unfilled after this. */
export const TEST_UNFILLED_AFTER_MS = 15_000;
/** Tests and their robots are deleted so long after they ended, as their keys are. */
export const TESTS_KEPT_H = 48;

/** The runtime. */
export const MAILBOX_MAX_MSGS = 1_024;
export const ACTORS_MAX = 1_000_000;
export const WRITE_BATCH_MAX_ROWS = 200;
export const WRITE_QUEUE_MAX_ROWS = 20_000;
/**
 * Statements of one kind of command that a process has under way: what comes meanwhile shares the
 * next.
 */
export const WRITE_STATEMENTS_MAX = 1;
/** Where more than one may run, so long the next waits for company. */
export const WRITE_WINDOW_MS = 1;
/**
 * Between the beginnings of two statements of a kind, so that what comes in numbers shares them; a
 * lone command waits for none.
 */
export const CREATE_PACE_MS = 3;
export const ROUND_PACE_MS = 3;
export const ACCEPT_PACE_MS = 5;
/** Picked up, delivered, canceled: nobody sees ten milliseconds of these. */
export const CHANGE_PACE_MS = 10;
export const OUTBOX_BATCH_MAX_ROWS = 500;
export const SWEEP_MAX_ROWS = 1_000;
export const SHARD_MESSAGES_MAX = 500;
export const LEDGER_ENTRIES_MAX = 64;
/**
 * Couriers asked for one delivery; after that it only waits for those who have an offer, or its
 * deadline.
 */
export const ASKED_MAX_COURIERS = 999;
/** Deliveries that one cell keeps in its backlog; the newest beyond it look again by themselves. */
export const BACKLOG_MAX_DELIVERIES = 1_000;
/** Pings refused in a row that agree with each other: then the courier really is there. */
export const PINGS_DOUBTED_MAX = 3;
/**
 * A ping whose number is this much lower, with a newer time, comes from an app that was installed
 * anew.
 */
export const PING_SEQ_RESET_PINGS = 100;
export const NATS_REQUEST_TIMEOUT_MS = 1_000;
/**
 * Below this a nats-server silently drops features that we ask for (seen on 2.10: streams are made
 * without them).
 */
export const NATS_VERSION_MIN = "2.10.0";
export const POSTGRES_VERSION_MIN = 15;

/** Processes, their output and their files. */
/** How long a gateway that ends still takes new connections, unless it is told another time. */
export const DRAIN_DEFAULT_MS = 5_000;
export const DRAIN_MAX_MS = 600_000;
/** A gateway waits so long for a port that one which drains still holds, and looks so often. */
export const PORT_WAIT_MS = 15_000;
export const PORT_RETRY_MS = 250;
/**
 * What a gateway may take to end beside that: goodbyes to sockets, last messages, connections
 * closed.
 */
export const GATEWAY_STOP_MAX_MS = 25_000;
/** What a node may take to end: shards handed over, work under way finished, positions saved. */
export const NODE_STOP_MAX_MS = 15_000;
/** Log lines that wait for a reader who is slow; beyond it the newest are dropped. */
export const OUTPUT_BUFFER_MAX_BYTES = 1_048_576;
/**
 * Open files that are kept from clients: admin door, log, libraries, outgoing calls, and some to
 * spare.
 */
export const FILES_RESERVED = 64;
/**
 * Of the connections that are left, a twentieth, at least so many, is for requests and never for
 * sockets.
 */
export const REQUEST_CONNECTIONS_MIN = 16;
/** However few files may be open, so many connections are taken. */
export const CONNECTIONS_MIN = 8;
/** NATS as it fails. */
/**
 * So long a start waits for a server that does not answer or refuses us; then the process ends with
 * code 1.
 */
export const NATS_START_WAIT_MS = 15_000;
/** Between two attempts to connect; longer from one refusal of our credentials to the next. */
export const NATS_RECONNECT_MS = 200;
export const NATS_REFUSED_RECONNECT_MAX_MS = 2_000;
/** A trouble that lasts is logged again after so long. */
export const NATS_TROUBLE_LOG_MS = 30_000;
/** Different texts of errors that are remembered, so that each is logged once in a while. */
export const NATS_TROUBLES_MAX = 64;
/** A subscription that the server refused is asked for again after so long. */
export const NATS_RESUBSCRIBE_MS = 5_000;
/** So long after it was last met, a refused subject keeps a process unready. */
export const NATS_PERMISSION_SHOWN_MS = 15_000;
/**
 * Below this, messages of ours do not fit into the server's `max_payload`: a create with its
 * headers, say.
 */
export const NATS_PAYLOAD_MIN_BYTES = 131_072;
/**
 * How often streams are made sure of, how far apart two attempts are, and how much later a failing
 * one comes.
 */
export const STREAMS_LOOK_MS = 10_000;
export const STREAMS_GAP_MS = 1_000;
export const STREAMS_RETRY_MAX_MS = 10_000;
/** One call of JetStream's API while streams are made sure of. */
export const STREAMS_CALL_TIMEOUT_MS = 3_000;
/** An answer of `/readyz` is good for so long: many who ask share one look. */
export const READY_KEPT_MS = 500;

/** The store. */
/** Connections of one process, unless it is told another number. */
export const POSTGRES_POOL_CONNECTIONS = 4;
/** Statements of one process that wait for a connection; more are refused as `overloaded`. */
export const POSTGRES_WAITING_MAX_STATEMENTS = 2_000;
export const POSTGRES_CONNECT_TIMEOUT_MS = 2_000;
/**
 * The server gives a statement up after this; on our side it counts as unanswered a little later.
 */
export const POSTGRES_STATEMENT_TIMEOUT_MS = 2_500;
/**
 * Less than a statement's time: a row or table that somebody holds is told from a server that is
 * slow.
 */
export const POSTGRES_LOCK_TIMEOUT_MS = 1_000;
/**
 * Commands of a failed batch that are repeated by themselves at the same time, each on a
 * connection.
 */
export const ISOLATED_LANES_MAX = 2;
/** One that was not sent for so long is refused as `unavailable`. */
export const ISOLATED_WAIT_MAX_MS = 2_000;
/** A row that was held is kept out of batches for so long. */
export const HELD_KEY_MS = 5_000;
/** A pool whose sessions are worth nothing is replaced, not more often than this. */
export const POSTGRES_RENEW_EVERY_MS = 1_000;
/** A command that has not been sent for so long is refused as `unavailable`. */
export const STORE_WAIT_MAX_MS = 3_000;
/**
 * A new delivery becomes due for the sweep only now, so that the telling, which is faster, comes
 * first.
 */
export const FIRST_SWEEP_AFTER_MS = 1_000;
export const POSITIONS_BATCH_MAX_ROWS = 1_000;
export const PURGE_BATCH_MAX_ROWS = 5_000;
/** Deliveries whose people are forgotten in one statement. */
export const PERSONAL_BATCH_MAX_ROWS = 500;

/** How often a gateway reads the fleet for its estimates, and how old what it read may become. */
export const FLEET_READ_MS = 5_000;
export const FLEET_AGE_MAX_MS = 30_000;
export const FLEET_MAX_COURIERS = 20_000;
export const FLEET_MAX_DELIVERIES = 50_000;

/**
 * How often a gateway asks whether Postgres is there, and how long it waits for the answer.
 * Together below a second.
 */
export const PROBE_EVERY_MS = 250;
export const PROBE_TIMEOUT_MS = 600;
/** How long its commit may take: a disk may be busy for a moment. */
export const PROBE_WRITE_TIMEOUT_MS = 2_000;
/** How often such a question commits a row: a full disk refuses nothing less. */
export const PROBE_WRITE_EVERY_MS = 1_000;
/** An outage is said in the log once in so long for each of its codes. */
export const OUTAGE_LOG_EVERY_MS = 30_000;
/**
 * How long a gateway waits for the stream to acknowledge a create that Postgres cannot take, and
 * how often it tries.
 */
export const INTAKE_ACK_TIMEOUT_MS = 700;
export const INTAKE_ATTEMPTS = 3;
/** Its id is being stored: so long until it is tried again. */
export const INTAKE_UNDER_WAY_MS = 50;
/**
 * Creates of the intake that its worker has in hand at a time, those included that failed and wait.
 */
export const INTAKE_HELD_MAX = 500;
/**
 * A create that was acknowledged is given up (buried, for people) only after the database has
 * refused its data so often and over so long, and has taken a harmless write after each refusal.
 */
export const INTAKE_REFUSALS_MIN = 8;
export const INTAKE_REFUSED_MIN_MS = 60_000;
/** Buried creates that are listed at once. */
export const INTAKE_BURIED_LIST_MAX = 1_000;
/**
 * What cannot be read is perhaps of a newer version, and waits so long for a node of that version.
 */
export const INTAKE_UNREADABLE_MIN_MS = 600_000;
/** A stream that did not say whether it has a key is not asked for others for so long. */
export const INTAKE_QUIET_MS = 2_000;

/** What an operator may tune. Ranges are checked by `engine/config.ts`. */
export const DISPATCH_DEFAULTS = {
  /** Couriers asked in one wave. 1 to 20. */
  WAVE_COURIERS: 3,
  /** Nobody accepted for so long: the next wave opens, wider. */
  WAVE_MS: 2_000,
  /** How long one offer stays valid on a phone; people need 15 to 30 s. */
  OFFER_TTL_MS: 20_000,
  /** A hold that is not followed by its offer ends by itself after this. */
  HOLD_TTL_MS: 5_000,
  /** How long a wave waits for couriers' answers to its hold requests. */
  HOLD_WAIT_MS: 250,
  /** Offers (and holds) that one courier may have at the same time. */
  OFFERS_PARALLEL_MAX: 3,
  /** Reach of wave 1; an empty reach opens the next at once. */
  WAVE_1_RADIUS_M: 1_000,
  /** Reach of wave 2. */
  WAVE_2_RADIUS_M: 2_500,
  /** Reach of wave 3 and all later ones. */
  WAVE_3_RADIUS_M: 5_000,
  /** Candidates ranked by travel time in one search. */
  CANDIDATES_MAX: 24,
  /**
   * A delivery in the backlog looks again after so long even if nobody woke it: a message may be
   * lost.
   */
  WAIT_LOOK_MS: 30_000,
  /** A delivery nobody took for so long becomes unfilled. */
  SEARCH_DEADLINE_MS: 900_000,
  /**
   * The search for a delivery that is ready later begins so long before: to find a courier and for
   * the way to the pickup.
   */
  SEARCH_AHEAD_MS: 600_000,
  /** A position older than this does not make a candidate. */
  STALE_MS: 60_000,
  /** An assigned courier unheard of for so long is dark: warned, then replaced. */
  DARK_MS: 90_000,
  /** An assigned courier who moved less than STILL_M towards the pickup in so long stands still. */
  STILL_MS: 180_000,
  /** Less than this is not moving. */
  STILL_M: 50,
  /** An assigned courier who moved this much further from the pickup than at best retreats. */
  RETREAT_M: 500,
  /** After the warning, so long to mend it before the search for a replacement begins. */
  WARN_MS: 60_000,
  /**
   * How often a courier actor repeats how each delivery it carries stands; heals lost confirms and
   * ends.
   */
  REMIND_MS: 60_000,
  /** Arrival: nearer than the first on two pings in a row; left again beyond the second. */
  ARRIVE_M: 60,
  /** Beyond this an arrived courier has left again. */
  LEAVE_M: 120,
  /** Pings implying more than this speed are not believed (teleports). 278 m/s is 1,000 km/h. */
  PING_SPEED_MAX_MPS: 278,
  /**
   * A courier whose pings are implausible is offered nothing while its doubt is above this: 100 for
   * each jump, halved by time.
   */
  PING_DOUBT_MAX: 50,
  /** After so long a doubt is half of what it was. */
  PING_DOUBT_HALF_MS: 30_000,
  /** How far a ping's own time may be ahead of ours. */
  PING_AHEAD_MAX_MS: 30_000,
  /** How old a ping may be to move the position; older ones are history. */
  PING_AGE_MAX_MS: 60_000,
  /** How many times as fast as usual the robots of tests are. 1: a test takes about a minute. */
  ROBOT_PACE: 1,
  /** How often a courier app should ping. */
  PING_INTERVAL_MS: 10_000,
  /** The same while it has an offer to answer or carries something. */
  PING_BUSY_INTERVAL_MS: 5_000,
  /** The same near the door where it is expected. */
  PING_NEAR_INTERVAL_MS: 2_000,
  /** What counts as near the door. */
  PING_NEAR_M: 300,
  /** Pings are batched at the gateway for so long. */
  PING_BATCH_MS: 10,
  /** Courier records are batched at the node for so long. */
  CELLS_BATCH_MS: 50,
  /** Positions go to watchers once in so long. */
  POSITIONS_MS: 1_000,
  /**
   * A followed delivery is read again after so long even if no event told of a change: an event may
   * be lost.
   */
  FOLLOW_REREAD_MS: 30_000,
  /** How often an owner looks for due deliveries that nobody works on. */
  SWEEP_MS: 1_000,
  /** How often last-known positions are saved. */
  LAST_KNOWN_MS: 30_000,
  /** How often the track history is written, in bulk. */
  HISTORY_MS: 2_000,
  /** The track history is kept for so many hours. */
  TRACKS_KEPT_H: 720,
  /** Phones, notes and addresses of a delivery are forgotten so many hours after its end. */
  PERSONAL_KEPT_H: 2_160,
  /** Between two heartbeats of a node. */
  BEAT_MS: 100,
  /** A node that was silent for so long is suspected, and its shards are taken. */
  SUSPECT_MS: 500,
  /**
   * A starting node listens for so long before it may own anything: it must know who else is there.
   */
  JOIN_MS: 600,
  /**
   * A better-ranked node must have been alive for so long before it is handed a shard: links that
   * flap move nothing.
   */
  SETTLE_MS: 1_000,
  /** How often owners tell their followers what they must have folded. */
  DIGEST_MS: 2_000,
  /** H3 resolution of cells; 8 is about 0.5 km edge. */
  CELL_RESOLUTION: 8,
  /**
   * H3 resolution of the parents by which cells are put on shards. Set when a cluster is created.
   */
  SHARD_RESOLUTION: 6,
} as const;

export type DispatchSettings = { readonly [K in keyof typeof DISPATCH_DEFAULTS]: number };

/**
 * When the search for a delivery begins: at once, or SEARCH_AHEAD_MS before what was ordered for
 * later is ready, which is when its time to search (SEARCH_DEADLINE_MS) begins to count. The door
 * and the actor must agree on it.
 */
export function searchStart(
  job: { readonly createdAt: number; readonly searchUntil: number },
  settings: DispatchSettings,
): number {
  const { SEARCH_DEADLINE_MS, SEARCH_AHEAD_MS } = settings;
  return Math.max(job.createdAt, job.searchUntil - SEARCH_DEADLINE_MS - SEARCH_AHEAD_MS);
}

/** The served area where no other is set: San Francisco and its neighbours, degrees. */
export const SERVICE_AREA_DEFAULT = {
  west: -122.55,
  south: 37.6,
  east: -122.3,
  north: 37.9,
} as const;

/** How deep below the city folder its map is looked for. */
export const CITY_FOLDER_DEPTH_MAX = 8;
/** What a gateway keeps of the map in memory, gzipped: a city's tiles are a few megabytes. */
export const MAP_CACHE_BYTES = 33_554_432;
