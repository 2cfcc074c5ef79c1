// Prints the report of a module that `make wasm` has built: node report.mjs FILE.wasm
import { readFile } from "node:fs/promises";

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]));
const { memory, run, report } = instance.exports;
const length = run();
process.stdout.write(Buffer.from(memory.buffer, report(), length));
