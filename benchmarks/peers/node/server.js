// The naive service in Node: SubmitOrder of the same contract over a function of two inserts.
// node server.js ADDRESS PROTOS, with the database in PGHOST, PGPORT, PGDATABASE and PGUSER.
'use strict'

const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')
const { Pool } = require('pg')

const [address, protos] = process.argv.slice(2)
const loaded = protoLoader.loadSync('blotter/orders/v1/order_service.proto', {
  includeDirs: protos.split(':'), keepCase: true, enums: String, longs: Number
})
const { OrderService } = grpc.loadPackageDefinition(loaded).blotter.orders.v1

const pool = new Pool({ max: Number(process.env.POOL_SIZE ?? 8) })
const text = 'SELECT * FROM submit_order($1, $2, $3, $4, $5, $6, $7)'

function timestamp (date) {
  const milliseconds = date.getTime()
  return { seconds: Math.floor(milliseconds / 1000), nanos: (milliseconds % 1000) * 1e6 }
}

function SubmitOrder (call, callback) {
  const { client_order_id, symbol, side, order_type, quantity, price } = call.request
  const [trader] = call.metadata.get('x-trader-id')
  if (!symbol || !(quantity > 0)) {
    callback({ code: grpc.status.INVALID_ARGUMENT, details: 'symbol and quantity are required' })
    return
  }
  const values = [trader, client_order_id, symbol, side.slice(5), order_type.slice(11), quantity, price || null]
  // A named statement is prepared once on each connection.
  pool.query({ name: 'submit', text, values }).then(({ rows: [row] }) => {
    callback(null, {
      order: {
        order_id: row.id,
        trader_id: row.trader_id,
        client_order_id: row.client_order_id,
        symbol: row.symbol,
        side: `SIDE_${row.side}`,
        order_type: `ORDER_TYPE_${row.order_type}`,
        quantity: row.quantity,
        price: row.price,
        status: `ORDER_STATUS_${row.status}`,
        filled_quantity: row.filled_quantity,
        create_time: timestamp(row.created_at),
        update_time: timestamp(row.updated_at)
      }
    })
  }, error => callback({ code: grpc.status.INTERNAL, details: error.message }))
}

const server = new grpc.Server()
server.addService({ SubmitOrder: OrderService.service.SubmitOrder }, { SubmitOrder })
server.bindAsync(address, grpc.ServerCredentials.createInsecure(), error => {
  if (error) throw error
})
