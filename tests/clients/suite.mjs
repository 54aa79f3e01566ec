// What the JavaScript suites share: the server under test, checks, and an independent proof verifier.
import assert from "node:assert/strict";
import { RLP } from "@ethereumjs/rlp";
import { verifyMerkleProof } from "@ethereumjs/mpt";
import { bytesToHex, hexToBytes } from "@ethereumjs/util";

/** What the runner says in the environment. */
export function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the suites by \`cargo xtask test --clients\``);
  return value;
}

export const rpcUrl = setting("ANFS_RPC_URL");
export const wsUrl = setting("ANFS_WS_URL");
/** Funded accounts: { address, private_key }. */
export const accounts = JSON.parse(setting("ANFS_ACCOUNTS"));

const CHECK_MS_MAX = 60_000;
let passed = 0;
let failed = 0;

/** Runs a check, reports it, and goes on whatever comes of it. */
export async function check(name, work) {
  try {
    await within(CHECK_MS_MAX, work());
    passed += 1;
    console.log(`ok - ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok - ${name}\n  ${String(error?.stack ?? error).replaceAll("\n", "\n  ")}`);
  }
}

/** Ends the suite: the last line is what the runner reads. */
export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}

/** The promise's value, or a failure when it takes longer than a client would wait. */
export function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One raw call over HTTP; throws the JSON-RPC error object. */
export async function raw(method, params = [], url = rpcUrl) {
  const answer = await post({ jsonrpc: "2.0", id: 1, method, params }, url);
  if (answer.error) throw Object.assign(new Error(answer.error.message), { rpc: answer.error });
  return answer.result;
}

/** Posts any JSON body. */
export async function post(body, url = rpcUrl) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}

/** Checks an eth_getProof answer, account and slots, against a state root with @ethereumjs/mpt. */
export async function verifyProof(proof, stateRoot) {
  const nodes = (list) => list.map((node) => hexToBytes(node));
  const options = (root) => ({ root: hexToBytes(root), useKeyHashing: true });
  const account = await verifyMerkleProof(
    hexToBytes(proof.address),
    nodes(proof.accountProof),
    options(stateRoot),
  );
  assert.ok(account, "the proof shows that the account does not exist");
  const [nonce, balance, storageHash, codeHash] = RLP.decode(account).map((field) => bytesToHex(field));
  const number = (hex) => (hex === "0x" ? 0n : BigInt(hex));
  assert.equal(number(nonce), BigInt(proof.nonce));
  assert.equal(number(balance), BigInt(proof.balance));
  assert.equal(storageHash, proof.storageHash);
  assert.equal(codeHash, proof.codeHash);
  for (const slot of proof.storageProof) {
    const key = hexToBytes(`0x${BigInt(slot.key).toString(16).padStart(64, "0")}`);
    const leaf = await verifyMerkleProof(key, nodes(slot.proof), options(storageHash));
    const value = leaf ? number(bytesToHex(RLP.decode(leaf))) : 0n;
    assert.equal(value, BigInt(slot.value));
  }
}

/** The storage slot of `mapping(address => uint256)` at slot 0, given keccak-256 over bytes. */
export function mappingSlot(address, keccak) {
  return keccak(`0x${address.slice(2).toLowerCase().padStart(64, "0")}${"0".repeat(64)}`);
}
