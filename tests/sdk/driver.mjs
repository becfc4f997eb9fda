// SPDX-License-Identifier: GPL-2.0-or-later
// E2B's SDK for JavaScript, driven by a test; driver.py documents the protocol. The first argument is the folder of node_modules.
import { createHash } from 'node:crypto'
import { subscribe } from 'node:diagnostics_channel'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const found = createRequire(process.argv[2] + '/').resolve('e2b')
const { Sandbox } = await import(pathToFileURL(found.replace(/\.js$/, '.mjs')))

let sandbox
const handles = new Map() // pid: CommandHandle
const watches = new Map() // path: { handle, events }

const say = message => process.stdout.write(JSON.stringify(message) + '\n')

function pattern(size) {
  const data = Buffer.alloc(size)
  const one = Buffer.from(Uint8Array.from({ length: 65521 }, (_, j) => (j * 31 + (j >> 8)) & 255))
  for (let at = 0; at < size; at += one.length) one.copy(data, at)
  return data
}

// Before about 2.13 the SDK has no sandboxUrl and takes a sandbox's address from getHost() alone.
function at(url) {
  if (!url) return Sandbox
  return class extends Sandbox {
    getHost() {
      return new URL(url).host
    }
  }
}

const outcome = result => ({ stdout: result.stdout, stderr: result.stderr, exit_code: result.exitCode })

const callbacks = (call, tell) =>
  call.stream ? { onStdout: text => tell({ stdout: text }), onStderr: text => tell({ stderr: text }) } : {}

const milliseconds = call => ('timeout' in call ? { timeoutMs: call.timeout * 1000 } : {})

const patience = call => ({ requestTimeoutMs: (call.timeout ?? 60) * 1000 })

// The wait begins at once, so that an early failure is not an unhandled rejection.
const keep = (handle, slot) =>
  handles.set(handle.pid, { handle, slot, ended: handle.wait().then(value => ({ value }), error => ({ error })) })

const calls = {
  async create(call) {
    const network = call.private ? { network: { allowPublicTraffic: false } } : {}
    const url = call.url ? { sandboxUrl: call.url } : {}
    const lifecycle = call.wakes ? { lifecycle: { onTimeout: 'pause', autoResume: true } } : {}
    sandbox = await at(call.url).create({ debug: !call.full, ...url, ...network, ...lifecycle })
    return { sandbox: sandbox.sandboxId, token: sandbox.trafficAccessToken ?? null }
  },
  async attach(call) {
    sandbox = await Sandbox.connect(call.sandbox)
    return { sandbox: sandbox.sandboxId }
  },
  async sandboxes() {
    const all = await Sandbox.list().nextItems()
    return Object.fromEntries(all.map(one => [one.sandboxId, one.state]))
  },
  async info() {
    return { state: (await sandbox.getInfo()).state }
  },
  async pause() {
    await (sandbox.pause ?? sandbox.betaPause).call(sandbox)
  },
  async destroy() {
    return { destroyed: await Sandbox.kill(sandbox.sandboxId) }
  },
  async host(call) {
    return { host: sandbox.getHost(call.port) }
  },
  async run(call, tell) {
    const user = call.user ? { user: call.user } : {}
    return outcome(await sandbox.commands.run(call.cmd, { ...user, ...milliseconds(call), ...callbacks(call, tell) }))
  },
  async start(call, tell) {
    const options = { background: true, timeoutMs: (call.timeout ?? 0) * 1000, ...(call.stdin ? { stdin: true } : {}) }
    const slot = { early: [] } // events from before the wait
    const hear = callbacks({ stream: true }, event => (slot.tell ? slot.tell(event) : slot.early.push(event)))
    const handle = await sandbox.commands.run(call.cmd, { ...options, ...hear })
    keep(handle, slot)
    return { pid: handle.pid }
  },
  async connect(call) {
    const handle = await sandbox.commands.connect(call.pid, { timeoutMs: 0 })
    keep(handle, { early: [] })
    return { pid: handle.pid }
  },
  async wait(call, tell) {
    const one = handles.get(call.pid)
    one.slot.early.splice(0).forEach(tell)
    one.slot.tell = tell
    const { value, error } = await one.ended
    if (error) throw error
    return outcome(value)
  },
  async leave(call) {
    await handles.get(call.pid).handle.disconnect()
    handles.delete(call.pid)
  },
  async kill(call) {
    return { killed: await sandbox.commands.kill(call.pid) }
  },
  async stdin(call) {
    await sandbox.commands.sendStdin(call.pid, call.data)
  },
  async ps() {
    return { pids: (await sandbox.commands.list()).map(one => one.pid) }
  },
  async write(call) {
    const data = 'size' in call ? new Blob([pattern(call.size)]) : call.data
    await sandbox.files.write(call.path, data, patience(call))
    return {}
  },
  async read(call) {
    if (!call.digest) return { data: await sandbox.files.read(call.path) }
    const data = await sandbox.files.read(call.path, { format: 'bytes', ...patience(call) })
    return { size: data.length, sha256: createHash('sha256').update(data).digest('hex') }
  },
  async list(call) {
    return { names: (await sandbox.files.list(call.path)).map(one => one.name).sort() }
  },
  async exists(call) {
    return { exists: await sandbox.files.exists(call.path) }
  },
  async rename(call) {
    return { path: (await sandbox.files.rename(call.path, call.to)).path }
  },
  async remove(call) {
    await sandbox.files.remove(call.path)
  },
  async mkdir(call) {
    return { made: await sandbox.files.makeDir(call.path) }
  },
  async watch(call) {
    const events = []
    const handle = await sandbox.files.watchDir(call.path, event => void events.push([event.type, event.name]), { timeoutMs: 0 })
    watches.set(call.path, { handle, events })
  },
  async watched(call) {
    return { events: watches.get(call.path).events.splice(0) }
  },
  async unwatch(call) {
    await watches.get(call.path).handle.stop()
    watches.delete(call.path)
  },
  async health() {
    return { running: await sandbox.isRunning() }
  },
  async sequence(call) {
    const times = []
    for (let j = 0; j < call.count; j++) {
      const began = performance.now()
      await sandbox.commands.run(call.cmd)
      times.push(performance.now() - began)
    }
    return { times }
  },
  async burst(call) {
    const limit = { timeoutMs: (call.timeout ?? 60) * 1000, ...patience(call) }
    const one = index => sandbox.commands.run(call.cmd.replaceAll('I', String(index)), limit)
    const settled = await Promise.allSettled(Array.from({ length: call.count }, (_, index) => one(index)))
    return { outcomes: settled.map(all => (all.status === 'fulfilled' ? all.value.stdout : String(all.reason))) }
  }
}

// When the SDK, after a failure, began to ask for the sandbox's health.
let probed
subscribe('undici:request:create', ({ request }) => {
  if (request.path === '/health') probed = performance.now()
})

async function serve(call) {
  const began = performance.now()
  const since = moment => Math.round((moment - began) * 1000) / 1000
  const tell = event => say({ id: call.id, event, ms: since(performance.now()) })
  probed = undefined
  try {
    const result = await calls[call.call](call, tell)
    say({ id: call.id, ok: true, result: result ?? null, ms: since(performance.now()) })
  } catch (error) {
    const ms = since(performance.now())
    const told = probed === undefined ? ms : since(probed)
    const name = error?.constructor?.name ?? typeof error
    say({ id: call.id, ok: false, error: name, message: String(error?.message ?? error), ms, told_ms: told, exit_code: error?.exitCode ?? null })
  }
}

say({ ready: true })
createInterface({ input: process.stdin }).on('line', line => serve(JSON.parse(line))).on('close', () => process.exit(0))
