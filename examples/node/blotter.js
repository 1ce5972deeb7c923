'use strict';
// What a client needs besides gRPC: identity, errors with their details, calls that are repeated, streams that go on.

const { setTimeout: sleep } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const FILES = [
  'blotter/orders/v1/order_service.proto',
  'blotter/audit/v1/audit_service.proto',
  'google/rpc/error_details.proto',
  'google/rpc/status.proto',
];

// Field names as in the contract; 64-bit integers as decimal strings, because a number holds only 53 bits.
const LOADING = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

const CHANNEL = {
  'grpc.keepalive_time_ms': 30_000, // notices a server that is gone without a word
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2_000,
};

/** How long to wait where the server has not said it: longer each time, and not the same time for all clients. */
const backoff = (attempt) => Math.min(200 * 2 ** attempt, 5_000) * (0.5 + Math.random() / 2);

/** An error of a call. `reason`, `violations` and `retryAfter` (ms) are from its details, where it has any. */
class BlotterError extends Error {
  constructor(error, details) {
    const info = details['google.rpc.ErrorInfo'];
    super(error.details, { cause: error });
    this.code = grpc.status[error.code];
    this.reason = info?.reason;
    this.metadata = info?.metadata ?? {};
    this.violations = details['google.rpc.BadRequest']?.field_violations ?? [];
    const delay = details['google.rpc.RetryInfo']?.retry_delay;
    if (delay) this.retryAfter = Number(delay.seconds) * 1000 + delay.nanos / 1e6;
    // Without details it is gRPC's own error: the connection failed.
    this.retryable = Boolean(delay) || (!info && ['UNAVAILABLE', 'CANCELLED'].includes(this.code));
  }
}

class Trader {
  /** `folder` is what `blotter protos` has written. */
  constructor(target, traderId, folder) {
    this.types = protoLoader.loadSync(FILES, { ...LOADING, includeDirs: [folder] });
    const { OrderService } = grpc.loadPackageDefinition(this.types).blotter.orders.v1;
    this.orders = new OrderService(target, grpc.credentials.createInsecure(), CHANNEL);
    this.identity = new grpc.Metadata();
    this.identity.set('x-trader-id', traderId);
  }

  /** Make one call. */
  call(method, request) {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + 10_000 };
      this.orders[method](request, this.identity, options, (error, response) =>
        error ? reject(this.decoded(error)) : resolve(response));
    });
  }

  /** Make one call, again for up to a minute when that may help. Submits need their own `client_order_id`. */
  async callAgain(method, request) {
    const end = Date.now() + 60_000;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.call(method, request);
      } catch (error) {
        if (!error.retryable || Date.now() > end) throw error;
        await sleep(error.retryAfter ?? backoff(attempt));
      }
    }
  }

  /**
   * Yield the messages of WatchOrders. After a cut it goes on behind the last message that the caller has handled, and
   * reports the cut to `onCut`. A cut within the snapshot starts a new snapshot. `resume_token` goes on across restarts
   * of this program, if the last one is kept.
   */
  async *watchOrders({ onCut = () => {}, ...request } = {}) {
    for (let attempt = 0; ; attempt += 1) {
      const stream = this.orders.WatchOrders(request, this.identity);
      stream.on('error', () => {}); // read below; without a listener a cancelled stream would end the process
      try {
        for await (const message of stream) {
          attempt = 0;
          yield message;
          if (message.resume_token) request.resume_token = message.resume_token;
        }
        return;
      } catch (error) {
        const cut = this.decoded(error);
        if (!cut.retryable && cut.reason !== 'SLOW_CONSUMER') throw cut;
        onCut(cut);
        await sleep(cut.retryAfter ?? backoff(attempt));
      } finally {
        stream.cancel();
      }
    }
  }

  /** Return gRPC's error with the details that its trailing metadata holds: a google.rpc.Status of Any messages. */
  decoded(error) {
    const details = {};
    for (const bytes of error.metadata?.get('grpc-status-details-bin') ?? []) {
      for (const any of this.types['google.rpc.Status'].deserialize(bytes).details) {
        const name = any.type_url.split('/').pop();
        if (this.types[name]) details[name] = this.types[name].deserialize(any.value);
      }
    }
    return new BlotterError(error, details);
  }

  close() {
    this.orders.close();
  }
}

module.exports = { BlotterError, Trader };
