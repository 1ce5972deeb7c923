// PostGraphile over the same function, as its documentation sets it up for production: no watching, no GraphiQL.
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { makePgService } from 'postgraphile/adaptors/pg'

// PostGraphile calls this function of Node 22; Node 20 runs it all the same.
Promise.withResolvers ??= function () {
  const made = {}
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

export default {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({
    connectionString: process.env.DATABASE_URL,
    schemas: ['public'],
    poolConfig: { max: Number(process.env.POOL_SIZE ?? 8) }
  })],
  grafserv: { watch: false, graphiql: false },
  grafast: { explain: false }
}
