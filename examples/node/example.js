'use strict';
// Enters orders, one per second, and watches them. If the server is restarted meanwhile, each event is received once.

const { randomUUID } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const { Trader } = require('./blotter');

const {
  BLOTTER_TARGET: target = 'localhost:50051',
  TRADER_ID: traderId = '11111111-0000-4000-8000-000000000000', // Ada, a demo trader of the embedded database
  PROTOS: folder = `${__dirname}/protos`,
  ORDERS: count = '10',
  TLS_CA: authority, // the file of the certificate authority; undefined: no TLS
  TLS_CERT: certificate, // the files of the client's own certificate and of its key, if the service requires them
  TLS_KEY: key,
  TOKEN_FILE: tokenFile, // the file of the bearer token, which is read before each call
} = process.env;

async function main() {
  const trader = new Trader(target, traderId, folder, {
    rootCertificates: authority && readFileSync(authority),
    certificate: certificate && readFileSync(certificate),
    key: key && readFileSync(key),
    token: tokenFile && (() => readFileSync(tokenFile, 'utf8').trim()),
  });
  const run = randomUUID().slice(0, 8);
  const order = (number) => ({
    client_order_id: `${run}-${number}`,
    symbol: 'AAPL',
    side: 'SIDE_BUY',
    order_type: 'ORDER_TYPE_LIMIT',
    quantity: 100,
    price: '585.33',
  });

  // One error names all invalid fields.
  await trader.call('SubmitOrder', { ...order(0), quantity: -1, price: 'much' }).catch(show);

  let watching;
  await new Promise((ready) => { watching = watch(trader, run, ready); });
  for (let number = 1; number <= Number(count); number += 1) {
    await trader.callWithRetry('SubmitOrder', order(number));
    await sleep(1000);
  }

  // Repeating a submit returns the same order; the same key with another content is an error.
  const { replayed } = await trader.callWithRetry('SubmitOrder', order(1));
  console.log(`submitted again: replayed ${replayed}`);
  await trader.callWithRetry('SubmitOrder', { ...order(1), quantity: 200 }).catch(show);
  // No gateway has the order, so that it is cancelled at once; else the cancel would be a request to the venue.
  await trader.callWithRetry('CancelOrder', {
    client_order_id: `${run}-${count}`, request_key: `${run}-cancel`, reason: 'the last one',
  });
  console.log(`${await watching} events, each once and in order`);
  trader.close();
}

/** Print the events of this run's orders until one is cancelled; return how many there were. */
async function watch(trader, run, ready) {
  let events = 0;
  let last = 0n; // a trader's events are numbered without gaps
  for await (const message of trader.watchOrders({ onInterruption: show })) {
    if (message.message === 'snapshot_complete') {
      last = BigInt(message.snapshot_complete.last_sequence);
      console.log(`the snapshot is complete up to event ${last}`);
      ready();
    }
    for (const { sequence, action, order, reason } of message.events?.events ?? []) {
      if (BigInt(sequence) !== last + 1n) throw new Error(`event ${sequence} came after event ${last}`);
      last += 1n;
      if (!order.client_order_id.startsWith(run)) continue;
      events += 1;
      console.log(`${sequence} ${action} ${order.client_order_id} ${order.quantity} at ${order.price} ${reason}`);
      if (action === 'ACTION_CANCELLED') return events;
    }
  }
  throw new Error('the server ended the stream');
}

function show(error) {
  console.log(`${error.code} ${error.reason ?? ''}: ${error.message}`);
  for (const { field, description } of error.violations ?? []) console.log(`  ${field}: ${description}`);
  if (error.retryAfter !== undefined) console.log(`  retry after ${error.retryAfter} ms`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
