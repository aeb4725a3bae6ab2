// SPDX-License-Identifier: Apache-2.0
//
// Opens a file of scripts/trace2json in Perfetto's own trace processor, as the viewer does, and says what became of it.
//
//     node scripts/tools/perfetto.js trace_processor.wasm trace.json [SQL]...
//
// trace_processor.wasm is part of a build of Perfetto's user interface. The module sees the trace and nothing else of this machine. Exit
// status 1: an error or loss on import, slices or arrows that are missing, or an arrow that does not end where it should.
'use strict';

const fs = require('fs');
const text = new TextDecoder();
function load(path) {
	let memory, table;
	const fail = (name) => () => { throw new Error('import ' + name + ' called'); };
	const view = () => new DataView(memory.buffer);
	const imports = {
		abort() { throw new Error('abort'); },
		emscripten_get_now: () => performance.now(),
		gettimeofday(ptr) { const ms = Date.now(); view().setInt32(ptr, ms / 1000 | 0, true); view().setInt32(ptr + 4, ms % 1000 * 1000, true); return 0; },
		sysconf: (n) => n === 30 ? 16384 : -1,
		emscripten_resize_heap(size) {
			try { memory.grow((size - memory.buffer.byteLength + 65535) >>> 16); return 1; } catch (e) { return 0; }
		},
		emscripten_memcpy_big(to, from, n) { new Uint8Array(memory.buffer).copyWithin(to, from, from + n); return to; },
		setTempRet0() {},
		__sys_getpid: () => 42,
		__sys_geteuid32: () => 0,
		environ_sizes_get(a, b) { view().setInt32(a, 0, true); view().setInt32(b, 0, true); return 0; },
		environ_get: () => 0,
		fd_fdstat_get: () => 0,
		fd_close: () => 0,
		fd_sync: () => 0,
		fd_write(fd, iov, count, out) {
			let all = 0;
			for (let i = 0; i < count; i++) {
				const at = view().getUint32(iov + i * 8, true), n = view().getUint32(iov + i * 8 + 4, true);
				process.stderr.write(text.decode(new Uint8Array(memory.buffer, at, n)));
				all += n;
			}
			view().setInt32(out, all, true);
			return 0;
		},
		__sys_mmap2: (addr, len) => { const p = api.memalign(65536, len); new Uint8Array(memory.buffer, p, len).fill(0); return p; },
		__sys_munmap: () => 0,
		__sys_mprotect: () => 0,
	};
	const module = new WebAssembly.Module(fs.readFileSync(path));
	const given = {};
	for (const item of WebAssembly.Module.imports(module)) {
		given[item.module] = given[item.module] || {};
		given[item.module][item.name] = imports[item.name] || fail(item.name);
	}
	const api = new WebAssembly.Instance(module, given).exports;
	memory = api.memory; table = api.__indirect_function_table;
	return { api, table, memory: () => new Uint8Array(memory.buffer) };
}
// A WASM function (i32, i32) -> () that calls JS.
function callback(f) {
	const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 2, 127, 127, 0, 2, 7, 1, 1, 101, 1, 102, 0, 0, 7, 5, 1, 1, 102, 0, 0]);
	return new WebAssembly.Instance(new WebAssembly.Module(bytes), { e: { f } }).exports.f;
}
const varint = (n) => { const out = []; while (n > 127) { out.push(n % 128 | 128); n = Math.floor(n / 128); } out.push(n); return out; };
const field = (n, data) => Buffer.concat([Buffer.from(varint(n << 3 | 2)), Buffer.from(varint(data.length)), data]);
const number = (n, v) => Buffer.from([...varint(n << 3), ...varint(v)]);
function* fields(data) {
	let at = 0;
	const read = () => { let v = 0n, s = 0n; for (;;) { const b = BigInt(data[at++]); v |= (b & 127n) << s; if (b < 128n) return v; s += 7n; } };
	while (at < data.length) {
		const key = Number(read()), id = key >> 3;
		if ((key & 7) === 0) yield [id, read()];
		else if ((key & 7) === 2) { const n = Number(read()); yield [id, data.subarray(at, at + n)]; at += n; }
		else if ((key & 7) === 1) { yield [id, data.readDoubleLE(at)]; at += 8; }
		else throw new Error('wire type ' + (key & 7));
	}
}
class Processor {
	constructor(path) {
		this.wasm = load(path);
		const { api, table } = this.wasm;
		api.emscripten_stack_init && api.emscripten_stack_init();
		api.__wasm_call_ctors();
		this.replies = [];
		table.grow(1);
		table.set(table.length - 1, callback((at, n) => this.replies.push(Buffer.from(this.wasm.memory().slice(at, at + n)))));
		this.buffer = api.trace_processor_rpc_init(table.length - 1, 32 << 20);
		this.sequence = 0;
	}
	// TraceProcessorRpc: seq 1, request 2, response 3; arguments from 101 on (protos/perfetto/trace_processor/trace_processor.proto).
	call(method, ...more) {
		const rpc = field(1, Buffer.concat([number(1, this.sequence++), number(2, method), ...more]));
		this.replies = [];
		for (let at = 0; at < rpc.length; at += 32 << 20) {
			const piece = rpc.subarray(at, at + (32 << 20));
			this.wasm.memory().set(piece, this.buffer);
			this.wasm.api.trace_processor_on_rpc_request(piece.length);
		}
		return this.replies.flatMap((reply) => [...fields(reply)].map(([, message]) => message));
	}
	load(trace) {
		const size = 1 << 20;
		for (let at = 0; at < trace.length; at += size) this.answer(this.call(1, field(101, trace.subarray(at, at + size))));
		this.answer(this.call(2));
	}
	answer(messages) {
		for (const m of messages) for (const [id, v] of fields(m)) {
			if (id === 5) throw new Error('fatal: ' + v);
			if (id === 201) for (const [i, e] of fields(v)) if (i === 2) throw new Error('append: ' + e);
		}
	}
	// QueryResult: columns 1, error 2, batches 3; batch: cells 1, varints 2 (packed), doubles 3, blobs 4, strings 5 (NUL-separated).
	query(sql) {
		const rows = []; let columns = [], flat = [];
		for (const m of this.call(3, field(103, field(1, Buffer.from(sql))))) for (const [id, result] of fields(m)) {
			if (id !== 203) continue;
			for (const [i, v] of fields(result)) {
				if (i === 1) columns.push(v.toString());
				else if (i === 2 && v.length) throw new Error(v.toString());
				else if (i === 3) {
					let cells = [], ints = [], doubles = [], strings = [];
					for (const [j, w] of fields(v)) {
						if (j === 1) cells = [...w];
						else if (j === 2) { let x = 0n, s = 0n; for (const b of w) { x |= BigInt(b & 127) << s; s += 7n; if (b < 128) { ints.push(BigInt.asIntN(64, x)); x = 0n; s = 0n; } } }
						else if (j === 3) for (let k = 0; k < w.length; k += 8) doubles.push(w.readDoubleLE(k));
						else if (j === 5) strings = w.toString().split('\0');
					}
					for (const c of cells) flat.push(c === 1 ? null : c === 2 ? Number(ints.shift()) : c === 3 ? doubles.shift() : strings.shift());
				}
			}
		}
		while (flat.length) rows.push(Object.fromEntries(columns.map((c) => [c, flat.shift()])));
		return rows;
	}
}

function check(processor, events) {
	const count = (...phases) => events.filter((event) => phases.includes(event.ph)).length;
	const bad = processor.query("select name, value from stats where severity in ('error', 'data_loss') and value > 0");
	const [{ slices }] = processor.query('select count(*) slices from slice');
	const [{ arrows }] = processor.query('select count(*) arrows from flow');
	const [{ astray }] = processor.query(
		"select count(*) astray from flow join slice a on slice_out = a.id join slice b on slice_in = b.id " +
		"where a.name not like 'signal %' or b.name like 'signal %' or b.name like 'vector %' or b.ts < a.ts");
	const [{ unnamed }] = processor.query(
		'select count(*) unnamed from slice join thread_track t on track_id = t.id join thread using (utid) ' +
		'left join process using (upid) where thread.name is null or process.name is null');
	console.log({ bad, slices, arrows, astray, unnamed });
	return bad.length === 0 && slices === count('X', 'i') && arrows === count('f') && astray === 0 && unnamed === 0;
}

const [wasm, file, ...queries] = process.argv.slice(2);
const trace = fs.readFileSync(file);
const processor = new Processor(wasm);
processor.load(trace);
for (const sql of queries) {
	console.table(processor.query(sql));
}
process.exitCode = check(processor, JSON.parse(trace).traceEvents) ? 0 : 1;
