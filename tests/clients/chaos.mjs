// cast keeps sending while generators of a devnet of its own are killed by `anfs devnet chaos`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { ended, succeed } from "./programs.mjs";
import { check, finish, raw, setting } from "./suite.mjs";

const anfs = setting("ANFS_PROGRAM");
const WAITING_LANES = 3;
const ASYNC_LANES = 2;
/** Transactions of a lane that does not wait for receipts which may be open at a time. */
const WINDOW = 6;
/** Wei that each transfer moves. */
const VALUE = 1_000_003n;
const recipient = "0x00000000000000000000000000000000000c4a05";

/** A devnet with one generator and four verifiers: its process, what it has logged, and its description. */
async function startDevnet() {
  const env = { ...process.env, ANFS_LOG: "warn,anfs_node=info", NO_COLOR: "1" };
  const args = ["devnet", "--ephemeral", "--json", "--port", "0", "--slot-ms", "100"];
  const child = spawn(anfs, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr.on("data", (data) => (log += data));
  for await (const line of createInterface({ input: child.stdout })) {
    return { child, logged: () => log, ...JSON.parse(line) };
  }
  throw new Error(`the devnet did not start: ${log}`);
}

const devnet = await startDevnet();
process.on("exit", () => devnet.child.kill("SIGKILL"));
const url = devnet.rpc_url;
const call = (method, ...params) => raw(method, params, url);
const view = () => call("anfs_view");

/** Asks again, a block's time apart, until the answer is a good one. The suite's limit ends what never comes. */
async function until(ask) {
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function chaos(...args) {
  const all = ["devnet", "chaos", "--rpc-url", url, "--json", ...args];
  const { code, out, err } = await ended(spawn(anfs, all, { stdio: ["ignore", "pipe", "pipe"] }));
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

/** What cast has been told of each account's transfers: their hashes, in order. */
const lanes = devnet.accounts.slice(0, WAITING_LANES + ASYNC_LANES).map((account) => ({ account, hashes: [] }));
let stopped = false;

/** Sends one transfer by cast, which prints what it is asked for, whoever is stopped at that very moment. */
const send = (transfer, ...args) => succeed("cast", "send", "--rpc-url", url, ...transfer, ...args);

/** One transfer, the same whenever it is made again. */
function transfer({ private_key }, nonce) {
  const fees = ["--gas-limit", "21000", "--gas-price", "20gwei", "--priority-gas-price", "1gwei"];
  return ["--private-key", private_key, "--nonce", String(nonce), ...fees, "--value", String(VALUE), recipient];
}

/** Sends and waits for the receipt, again and again. */
async function waitingLane({ account, hashes }) {
  for (let nonce = 0; !stopped; nonce += 1) {
    const receipt = JSON.parse(await send(transfer(account, nonce), "--json"));
    assert.equal(receipt.status, "0x1");
    hashes.push(receipt.transactionHash);
  }
}

/** Sends without waiting for receipts, some ahead of the chain. */
async function asyncLane({ account, hashes }) {
  for (let nonce = 0; !stopped; nonce += 1) {
    const settled = async () => Number(await call("eth_getTransactionCount", account.address, "latest"));
    await until(async () => stopped || nonce - (await settled()) < WINDOW);
    const next = transfer(account, nonce);
    const hash = await send(next, "--async");
    if (nonce === 0) {
      const made = await succeed("cast", "mktx", "--rpc-url", url, ...next);
      assert.equal(hash, await succeed("cast", "keccak", made), "a transfer's hash is what it is made from");
    }
    hashes.push(hash);
  }
}

const work = Promise.all(
  lanes.map((lane, index) => (index < WAITING_LANES ? waitingLane(lane) : asyncLane(lane))),
);
// Whatever goes wrong in a lane is told where the lanes are waited for.
work.catch(() => (stopped = true));

/** Every lane has got so many more transactions acknowledged. */
async function flow(more) {
  const before = lanes.map((lane) => lane.hashes.length);
  await until(() => stopped || lanes.every((lane, index) => lane.hashes.length >= before[index] + more));
  assert.ok(!stopped, "a lane has failed");
}

const killed = [];

/** Kills whoever acts as generator, and waits until another one does. */
async function killTheActingOne() {
  const before = await view();
  const { seats } = await chaos("kill", "acting");
  const victim = seats.find((seat) => seat.acting && !seat.running).seat;
  const after = await until(async () => {
    const now = await view();
    return now.view > before.view && now.open ? now : undefined;
  });
  assert.notEqual(after.acting, victim);
  killed.push(victim);
  await flow(2);
}

await check("cast goes on sending when the generator is killed and a verifier takes over", async () => {
  await flow(3);
  await killTheActingOne();
  assert.deepEqual(killed, [0]);
});

await check("cast goes on when the old generator is back and its successor is killed", async () => {
  const { seats } = await chaos("start", "0");
  assert.ok(seats.find((seat) => seat.seat === 0).running);
  await killTheActingOne();
  assert.notEqual(killed[1], 0);
});

await check("every acknowledged hash has a good receipt, and the balances add up to the wei", async () => {
  stopped = true;
  await work;
  const funds = 10_000n * 10n ** 18n;
  let sent = 0n;
  for (const { account, hashes } of lanes) {
    let paid = 0n;
    for (const hash of hashes) {
      const receipt = await until(() => call("eth_getTransactionReceipt", hash));
      assert.equal(receipt.status, "0x1", hash);
      paid += VALUE + BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice);
    }
    assert.equal(Number(await call("eth_getTransactionCount", account.address, "latest")), hashes.length);
    assert.equal(BigInt(await call("eth_getBalance", account.address, "latest")), funds - paid);
    sent += BigInt(hashes.length);
  }
  assert.equal(BigInt(await call("eth_getBalance", recipient, "latest")), sent * VALUE);
});

await check("anfs_view, the metrics and the log tell of both takeovers", async () => {
  const now = await view();
  assert.ok(now.view >= 2, JSON.stringify(now));
  assert.notEqual(now.acting, killed[1]);
  assert.ok(now.lastChange.reason.length > 0);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const changed = [...metrics.matchAll(/^anfs_shard_views_changed_total\{.*\} (\d+)$/gm)];
  assert.ok(Math.max(...changed.map((found) => Number(found[1]))) >= 2, metrics);
  const log = devnet.logged();
  for (const seat of killed) assert.ok(log.includes(`seat ${seat} was stopped on purpose`), log);
  assert.ok(log.includes(`view ${now.view} is open: this seat acts as sequence generator`), log);
});

finish();
