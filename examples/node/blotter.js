'use strict';
// A client for Blotter: identity, TLS, tokens, errors with their details, retries, and streams that resume.

const { setTimeout: sleep } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const FILES = [
  'blotter/orders/v1/order_service.proto',
  'blotter/audit/v1/audit_service.proto',
  'google/rpc/error_details.proto',
  'google/rpc/status.proto',
];

// Field names as in the contract; 64-bit integers as decimal strings, because a Number has only 53 bits.
const LOADING = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

const CHANNEL = {
  'grpc.keepalive_time_ms': 30_000, // detects a server that disappeared without closing the connection
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2_000,
};

/** Return whether the target is on this host; a token is not sent further without TLS. */
const isLoopback = (target) => /^(localhost|127(\.\d{1,3}){3}|\[::1\]):\d+$/.test(target);

/** Return the delay in ms if the server has not set one: exponential, with jitter. */
const backoff = (attempt) => Math.min(200 * 2 ** attempt, 5_000) * (0.5 + Math.random() / 2);

/** An error of a call. `reason`, `violations` and `retryAfter` (ms) are taken from its details, if it has any. */
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
    // An error without details is gRPC's own: the connection failed.
    this.retryable = Boolean(delay) || (!info && ['UNAVAILABLE', 'CANCELLED'].includes(this.code));
  }
}

class Trader {
  /**
   * `folder` is the folder that `blotter protos` has written. `rootCertificates`, `certificate` and `key` are PEM in
   * Buffers: the authorities of the service's certificate, and the client's own certificate if the service requires
   * one. `token` is a function that returns the bearer token of each call; with it, `traderId` may be undefined.
   */
  constructor(target, traderId, folder, { rootCertificates, certificate, key, token } = {}) {
    if (token && !rootCertificates && !isLoopback(target)) {
      throw new Error(`a token is not sent to ${target} without TLS`);
    }
    const credentials = rootCertificates
      ? grpc.credentials.createSsl(rootCertificates, key, certificate)
      : grpc.credentials.createInsecure();
    this.types = protoLoader.loadSync(FILES, { ...LOADING, includeDirs: [folder] });
    const { OrderService } = grpc.loadPackageDefinition(this.types).blotter.orders.v1;
    this.orders = new OrderService(target, credentials, CHANNEL);
    this.traderId = traderId;
    this.token = token;
  }

  /** Return the metadata of one call. */
  identity() {
    const metadata = new grpc.Metadata();
    if (this.traderId) metadata.set('x-trader-id', this.traderId);
    if (this.token) metadata.set('authorization', `Bearer ${this.token()}`);
    return metadata;
  }

  /** Make one call. */
  call(method, request) {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + 10_000 };
      this.orders[method](request, this.identity(), options, (error, response) =>
        error ? reject(this.decode(error)) : resolve(response));
    });
  }

  /** Make one call, and retry it for up to a minute if the error allows it. A submit needs a `client_order_id`, a replace a `request_key`. */
  async callWithRetry(method, request) {
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
   * Yield the messages of WatchOrders. After an interruption the stream resumes after the last message that the caller
   * has handled, and the error is passed to `onInterruption`. After TOKEN_EXPIRED it resumes with the next token, unless
   * that one is refused too. An interruption within the snapshot starts a new snapshot. To resume after a restart of the program, store the last `resume_token` and pass it in the request.
   */
  async *watchOrders({ onInterruption = () => {}, ...request } = {}) {
    let expired = false;
    for (let attempt = 0; ; attempt += 1) {
      const stream = this.orders.WatchOrders(request, this.identity());
      stream.on('error', () => {}); // handled below; without a listener a cancelled stream ends the process
      try {
        for await (const message of stream) {
          attempt = 0;
          expired = false;
          yield message;
          if (message.resume_token) request.resume_token = message.resume_token;
        }
        return;
      } catch (error) {
        const interruption = this.decode(error);
        const renewable = interruption.reason === 'TOKEN_EXPIRED' && Boolean(this.token) && !expired;
        if (!interruption.retryable && interruption.reason !== 'SLOW_CONSUMER' && !renewable) throw interruption;
        expired ||= renewable;
        onInterruption(interruption);
        await sleep(interruption.retryAfter ?? backoff(attempt));
      } finally {
        stream.cancel();
      }
    }
  }

  /** Return a BlotterError with the details in the trailing metadata of gRPC's error: a google.rpc.Status. */
  decode(error) {
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
