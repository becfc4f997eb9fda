// SPDX-License-Identifier: GPL-2.0-or-later
// E2B's JavaScript SDK as a program that tests talk to; the same calls as driver.py.
import { createHash, randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

// The SDK is installed elsewhere: WEFT_NODE_SDK is the folder that has node_modules.
const require = createRequire(process.env.WEFT_NODE_SDK + '/')
const { Sandbox } = await import(pathToFileURL(require.resolve('e2b')))

const sandboxes = {}
const handles = {}
const sha256 = (data) => createHash('sha256').update(data).digest('hex')
const run = async (sandbox, command, timeout = 60) =>
	(await sandboxes[sandbox].commands.run(command, { timeoutMs: timeout * 1000 })).stdout

const calls = {
	async create({ sandbox, url }) {
		sandboxes[sandbox] = await Sandbox.create({ debug: true, ...(url ? { sandboxUrl: url } : {}) })
	},
	run: ({ sandbox, command, timeout }) => run(sandbox, command, timeout),
	run_many: ({ sandbox, command, count }) => Promise.all(Array.from({ length: count }, () => run(sandbox, command))),
	async run_sequence({ sandbox, command, count }) {
		const times = []
		for (let i = 0; i < count; i++) {
			const begun = performance.now()
			await run(sandbox, command)
			times.push(performance.now() - begun)
		}
		return times
	},
	async start({ sandbox, command, name, stdin = false }) {
		handles[name] = await sandboxes[sandbox].commands.run(command, { background: true, stdin, timeoutMs: 0 })
		handles[name].wait().catch(() => {})
		return handles[name].pid
	},
	wait: async ({ name }) => (await handles[name].wait()).stdout,
	disconnect: ({ name }) => handles[name].disconnect(),
	kill: ({ name }) => handles[name].kill(),
	send: ({ sandbox, name, text }) => sandboxes[sandbox].commands.sendStdin(handles[name].pid, text),
	processes: async ({ sandbox }) => (await sandboxes[sandbox].commands.list()).map((process) => process.pid),
	async write({ sandbox, path, text }) {
		await sandboxes[sandbox].files.write(path, text)
	},
	read: ({ sandbox, path }) => sandboxes[sandbox].files.read(path),
	async upload({ sandbox, path, size }) {
		const data = randomBytes(size)
		await sandboxes[sandbox].files.write(path, data.buffer.slice(data.byteOffset, data.byteOffset + size))
		return sha256(data)
	},
	download: async ({ sandbox, path }) => sha256(await sandboxes[sandbox].files.read(path, { format: 'bytes' })),
	exists: ({ sandbox, path }) => sandboxes[sandbox].files.exists(path),
	listing: async ({ sandbox, path }) => (await sandboxes[sandbox].files.list(path)).map((entry) => entry.name),
	async rename({ sandbox, path, to }) {
		await sandboxes[sandbox].files.rename(path, to)
	},
	remove: ({ sandbox, path }) => sandboxes[sandbox].files.remove(path),
	make_dir: ({ sandbox, path }) => sandboxes[sandbox].files.makeDir(path),
	async watch({ sandbox, path, then }) {
		const seen = []
		const watcher = await sandboxes[sandbox].files.watchDir(path, (event) => seen.push(event.name))
		await sandboxes[sandbox].files.write(`${path}/${then}`, 'x')
		const deadline = performance.now() + 5000
		while (performance.now() < deadline && !seen.includes(then)) await new Promise((resolve) => setTimeout(resolve, 10))
		await watcher.stop()
		return seen
	},
	running: ({ sandbox }) => sandboxes[sandbox].isRunning({ requestTimeoutMs: 5000 }),
}

const answer = async ({ id, call, ...request }) => {
	const begun = performance.now()
	const reply = { id }
	try {
		reply.value = (await calls[call](request)) ?? null
	} catch (error) {
		reply.error = `${error.name}: ${error.message}`
	}
	reply.ms = performance.now() - begun
	process.stdout.write(JSON.stringify(reply) + '\n')
}

createInterface({ input: process.stdin })
	.on('line', (line) => answer(JSON.parse(line)))
	.on('close', () => process.exit(0))
