// Foundry's programs, as the suites start them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const program = (name) => `${here}node_modules/@foundry-rs/${name}-linux-amd64/bin/${name}`;

/** Starts a Foundry program without colours, and without the user's own settings. */
export function start(name, args) {
  const env = { ...process.env, NO_COLOR: "1", FOUNDRY_DISABLE_NIGHTLY_WARNING: "1" };
  return spawn(program(name), args, { cwd: here, env, stdio: ["ignore", "pipe", "pipe"] });
}

/** Waits for the end of a program; gives exit code and output. */
export async function ended(child) {
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const [code] = await once(child, "close");
  return { code, out: out.trim(), err: err.trim() };
}

/** Runs it to its end; gives exit code and output. */
export const run = (name, ...args) => ended(start(name, args));

/** Runs it to its end, which must be a good one; gives its output. */
export async function succeed(name, ...args) {
  const { code, out, err } = await run(name, ...args);
  assert.equal(code, 0, `${name} ${args.join(" ")}\n${out}\n${err}`);
  return out;
}
